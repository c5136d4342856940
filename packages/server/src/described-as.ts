import { z } from 'zod'

const shapes = new WeakMap<object, z.ZodType>()

/**
 * Marks a schema whose check is written in code, such as one that ends at the first bad element: what it takes is what
 * another schema says, which describes it to readers and checks nothing.
 */
export function describedAs<S extends z.ZodType>(schema: S, shape: z.ZodType): S {
  shapes.set(schema, shape)
  return schema
}

/** What a value has to look like, as JSON schema. Rules that concern several fields are not in it. */
export function jsonSchemaOf(schema: z.ZodType): z.core.JSONSchema.BaseSchema {
  const { $schema: _, ...json } = z.toJSONSchema(schema, {
    io: 'input',
    // A transformation takes what stands before it.
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const shape = shapes.get(zodSchema)
      if (shape === undefined) return
      for (const key of Object.keys(jsonSchema)) delete jsonSchema[key]
      Object.assign(jsonSchema, jsonSchemaOf(shape))
    },
  })
  return json
}
