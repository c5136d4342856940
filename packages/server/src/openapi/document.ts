import { readFileSync } from 'node:fs'
import type { z } from 'zod'
import { jsonSchemaOf } from '../described-as.ts'
import { errorAnswer } from '../errors.ts'
import { dialects } from './dialects.ts'
import { failuresOf } from './failures.ts'
import type { Operation } from './operation.ts'

/** An operation and where it is. */
export interface DescribedRoute {
  readonly method: string
  /** As it was registered, such as `/v1/responses/:id`. */
  readonly url: string
  readonly operation: Operation
}

/**
 * A server's routes as an OpenAPI document, made of the schemas that requests are checked against and of those of the answers.
 *
 * @param secured the routes want the server's key
 */
export function openApiDocument(routes: readonly DescribedRoute[], secured: boolean): object {
  const components = new Components()
  const paths: Record<string, Record<string, object>> = {}
  for (const route of routes) {
    const path = openApiPath(route.url)
    paths[path] = { ...paths[path], [route.method.toLowerCase()]: operationObject(route, components) }
  }
  return {
    openapi: '3.1.1',
    info: {
      title: 'incipit',
      version: version(),
      summary: 'A language model server that speaks the APIs of OpenAI, Anthropic, Ollama and llama-server.',
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [{ url: '/' }],
    security: secured ? [{ bearer: [] }, { key: [] }] : [],
    tags: Object.entries(dialects).map(([name, { description }]) => ({ name, description })),
    paths,
    components: {
      schemas: components.schemas,
      ...(secured && {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer' },
          key: { type: 'apiKey', in: 'header', name: 'x-api-key' },
        },
      }),
    },
  }
}

/** A registered path in OpenAPI's spelling: `/v1/models/*` is `/v1/models/{name}`. */
export function openApiPath(url: string): string {
  return url.replace(/:(\w+)/g, '{$1}').replace('*', '{name}')
}

function operationObject({ method, url, operation }: DescribedRoute, components: Components): object {
  const { id, summary, dialect, input } = operation
  const inPath = [...openApiPath(url).matchAll(/\{(\w+)\}/g)].map(([, name]) => pathParameter(name!))
  const parameters = [...inPath, ...(method === 'POST' ? [] : queryParameters(input))]
  return {
    operationId: id,
    summary,
    tags: [dialect],
    ...(url === '/health' && { security: [] }),
    ...(parameters.length > 0 && { parameters }),
    ...(method === 'POST' && {
      requestBody: { required: true, content: { 'application/json': { schema: components.reference(input, id) } } },
    }),
    responses: { ...goodAnswer(operation, components), ...failures(method, operation, components) },
  }
}

/** Names may contain slashes and anything else. */
function pathParameter(name: string): object {
  return { name, in: 'path', required: true, schema: { type: 'string' } }
}

function queryParameters(input: z.ZodType): object[] {
  const { properties = {}, required = [] } = jsonSchemaOf(input)
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: 'query',
    required: required.includes(name),
    schema,
  }))
}

function goodAnswer({ id, answers, socket }: Operation, components: Components): object {
  if (socket) return { 101: { description: 'A WebSocket.' } }
  const types = Object.entries(answers)
  if (types.length === 0) return {}
  const content = types.map(([type, schema]) => {
    const name = type === 'application/json' ? `${id}Answer` : `${id}Event`
    return [type, { schema: components.reference(schema, name) }] as const
  })
  const streams = types.length > 1 || !types.some(([type]) => type === 'application/json')
  const description = streams ? 'The answer; of a stream, one of its events.' : 'The answer.'
  return { 200: { description, content: Object.fromEntries(content) } }
}

/** What may go wrong, by status. */
function failures(method: string, operation: Operation, components: Components): Record<string, object> {
  const { errorOf, error } = dialects[operation.dialect]
  const byStatus = Map.groupBy(failuresOf(method, operation), (failure) => errorOf(failure, '').status)
  const schema = components.reference(error, `${operation.dialect}Error`)
  const answers = [...byStatus].map(([status, failures]) => {
    const codes = failures.map((failure) => `\`${errorAnswer(failure).body.error.code}\``).join(', ')
    return [status, { description: codes, content: { 'application/json': { schema } } }] as const
  })
  return Object.fromEntries(answers)
}

/** Schemas that operations refer to by name. Each stands there once. */
class Components {
  readonly schemas: Record<string, object> = {}
  readonly #names = new Map<z.ZodType, string>()

  /** @param name of the schema, where it has none yet */
  reference(schema: z.ZodType, name: string): object {
    const known = this.#names.get(schema) ?? name
    if (!this.#names.has(schema)) {
      this.#names.set(schema, known)
      this.schemas[known] = jsonSchemaOf(schema)
    }
    return { $ref: `#/components/schemas/${known}` }
  }
}

function version(): string {
  const path = new URL('../../package.json', import.meta.url)
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}
