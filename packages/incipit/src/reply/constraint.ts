import { type Constraint, IncipitError } from '@incipit/engine/api'
import { Option } from 'commander'
import { readText } from '../text-file.ts'

/** What a reply must look like, as options of a command say it. */
export interface FormFlags {
  schema?: string
  grammar?: string
  regex?: string
  choice?: string[]
}

const names = ['schema', 'grammar', 'regex', 'choice'] as const

/** An option that says what the reply must look like; no two of them go together. */
export function form(flags: string, description: string): Option {
  const option = new Option(flags, description)
  return option.conflicts(names.filter((name) => name !== option.name()))
}

/** @throws IncipitError `invalid_request` for a file that cannot be read, or holds no JSON where a schema is wanted */
export async function constraintOf({ schema, grammar, regex, choice }: FormFlags): Promise<Constraint | undefined> {
  if (schema !== undefined) return { type: 'json_schema', schema: jsonOf(await readText(schema, 'schema'), schema) }
  if (grammar !== undefined) return { type: 'grammar', grammar: await readText(grammar, 'grammar') }
  if (regex !== undefined) return { type: 'regex', pattern: regex }
  return choice && { type: 'choice', choices: choice }
}

function jsonOf(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : cause
    throw new IncipitError('invalid_request', `--schema ${path} holds no JSON: ${why}`, { param: 'schema', cause })
  }
}
