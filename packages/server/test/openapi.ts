import assert from 'node:assert/strict'
import type { z } from 'zod'
import type { Served } from './serve.ts'

export type JsonSchema = z.core.JSONSchema.BaseSchema

interface OpenApiOperation {
  operationId: string
  tags: string[]
  security?: object[]
  requestBody?: { content: { 'application/json': { schema: JsonSchema } } }
  responses: Record<string, { description: string; content?: Record<string, { schema: JsonSchema }> }>
}

/** The parts of an OpenAPI document that the tests look at. */
export interface OpenApi {
  security: object[]
  paths: Record<string, Partial<Record<'get' | 'post' | 'delete', OpenApiOperation>>>
  components: { schemas: Record<string, JsonSchema> }
}

/** What a server says of itself. */
export async function openApiOf(server: Served, headers: Record<string, string> = {}): Promise<OpenApi> {
  const answer = await server.get('/openapi.json', { headers })
  assert.equal(answer.status, 200)
  return (await answer.json()) as OpenApi
}
