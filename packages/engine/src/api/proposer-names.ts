/** Who may append guesses to the tail: docs/architecture.md says what each of them does. */
export const proposerNames = [
  'skim',
  'exit',
  'lookup',
  'opening',
  'prediction',
  'grammar',
  'draft',
  'heads',
  'experts',
  'mtp',
] as const

export type ProposerName = (typeof proposerNames)[number]
