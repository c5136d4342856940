/** A line of the report; the name is empty where it goes on from the line before. */
export type Row = readonly [name: string, value: string]

/** Rows for a list of values, the first of them with the name. */
export function rowsOf(name: string, values: readonly string[]): Row[] {
  return values.map((value, i) => [i === 0 ? name : '', value])
}
