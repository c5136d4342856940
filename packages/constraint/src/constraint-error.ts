/** What cannot be compiled, or a text that went where its constraint does not allow. */
export class ConstraintError extends Error {
  /** Why, without the place. */
  readonly reason: string
  /** Where in a schema, such as `properties.age`; '' for all of it, undefined for what is no schema. */
  readonly path: string | undefined

  constructor(reason: string, path?: string) {
    super(path ? `${path}: ${reason}` : reason)
    this.name = 'ConstraintError'
    this.reason = reason
    this.path = path
  }
}
