/** ggml type ids. */
export const types = { q4_0: 2, q8_0: 8, q4_K: 12, q6_K: 14, mxfp4: 39 } as const
