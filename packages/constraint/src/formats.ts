/*
 * Formats of JSON Schema. What cannot be decided by a regular expression to the letter is enforced more narrowly: a model
 * then says another value that is sound.
 */

const leap = '(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)'
const date = `(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))|${leap}-02-29)`
// Without leap seconds.
const minutes = '(?:[01][0-9]|2[0-3]):[0-5][0-9]'
const time = `${minutes}:[0-5][0-9](?:\\.[0-9]+)?(?:[zZ]|[+-]${minutes})`
// Without two dashes in a row, which begin names in other alphabets; at most 61 characters, and four labels.
const label = '[a-zA-Z0-9](?:-?[a-zA-Z0-9]){0,30}'

/** Formats whose values are exactly those of a pattern here. */
export const patterns: ReadonlyMap<string, string> = new Map([
  ['date', `^${date}$`],
  ['time', `^${time}$`],
  ['date-time', `^${date}[tT]${time}$`],
  ['hostname', `^${label}(?:\\.${label}){0,3}$`],
])

/** Formats that llguidance enforces. */
export const enforced: ReadonlySet<string> = new Set(['duration', 'email', 'ipv4', 'ipv6', 'uuid', 'uri'])

/** Formats of the standard that nobody enforces. Any other name is a note that the standard tells us to ignore. */
export const unenforced: ReadonlySet<string> = new Set([
  'idn-email',
  'idn-hostname',
  'uri-reference',
  'iri',
  'iri-reference',
  'uri-template',
  'json-pointer',
  'relative-json-pointer',
  'regex',
])
