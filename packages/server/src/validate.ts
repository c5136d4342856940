import { IncipitError } from '@incipit/engine/api'
import type { z } from 'zod'
import { ServerError } from './errors.ts'

/** The marker a schema puts on an issue whose value is well-formed but asks for something this server does not do. */
export const unsupported = { params: { code: 'unsupported' } } as const

/**
 * Checks a request body and returns the parsed value.
 *
 * @throws IncipitError `invalid_request` naming the parameter, e.g. `messages[0].role`
 * @throws ServerError `unsupported` naming the parameter
 */
export function validate<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  throw failure(result.error.issues)
}

type Issue = z.core.$ZodIssue

function failure(issues: readonly Issue[]): Error {
  // One error names one parameter, as OpenAI's shape demands; the first in schema order is as good as any.
  const issue = deepest(issues)
  if (issue === undefined) return new IncipitError('invalid_request', 'the request body is invalid')
  const param = paramName(issue.path)
  const message = param === '' ? `the request body: ${issue.message}` : `${param}: ${issue.message}`
  const named = param === '' ? {} : { param }
  if (issue.code === 'custom' && issue.params?.code === 'unsupported') {
    return new ServerError('unsupported', message, named)
  }
  return new IncipitError('invalid_request', message, named)
}

/**
 * The issue that says most. A failed union reports one list of issues per member ("expected string", "element 2 must
 * be ..."): the member that the value followed furthest is the one the client meant.
 */
function deepest(issues: readonly Issue[]): Issue | undefined {
  const issue = issues[0]
  if (issue?.code !== 'invalid_union') return issue
  let best: Issue = issue
  for (const member of issue.errors) {
    const inner = deepest(member)
    if (inner === undefined || inner.path.length === 0) continue
    const path = [...issue.path, ...inner.path]
    if (isFurther(path, best.path)) best = { ...inner, path }
  }
  return best
}

/** Deeper inside, or as deep and at a later element. */
function isFurther(path: readonly PropertyKey[], other: readonly PropertyKey[]): boolean {
  if (path.length !== other.length) return path.length > other.length
  for (const [i, key] of path.entries()) {
    const rival = other[i]
    if (typeof key === 'number' && typeof rival === 'number' && key !== rival) return key > rival
  }
  return false
}

function paramName(path: readonly PropertyKey[]): string {
  let name = ''
  for (const key of path) {
    if (typeof key === 'number') name += `[${key}]`
    else name += name === '' ? String(key) : `.${String(key)}`
  }
  return name
}
