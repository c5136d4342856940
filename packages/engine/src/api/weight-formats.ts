/** Formats that weights can be brought into, by llama.cpp's names. */
export const weightFormats = [
  'F16',
  'Q8_0',
  'Q6_K',
  'Q5_K_M',
  'Q5_1',
  'Q5_0',
  'Q4_K_M',
  'Q4_1',
  'Q4_0',
  'IQ4_NL',
] as const

export type WeightFormat = (typeof weightFormats)[number]
