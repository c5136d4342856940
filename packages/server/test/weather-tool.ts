import assert from 'node:assert/strict'

/** A tool for tests of calls. Each dialect puts its own around it. */
export const weather = {
  name: 'get_weather',
  description: 'The weather in a city.',
  parameters: {
    type: 'object' as const,
    properties: { city: { type: 'string', maxLength: 12 }, unit: { type: 'string', enum: ['C', 'F'] } },
    required: ['city', 'unit'],
    additionalProperties: false,
  },
}

/** Asserts that this is a call of it, with the arguments that it takes. */
export function assertWeather(name: string, input: unknown): void {
  assert.equal(name, weather.name)
  const { city, unit, ...rest } = input as Record<string, unknown>
  assert.ok(typeof city === 'string' && ['C', 'F'].includes(String(unit)), JSON.stringify(input))
  assert.deepEqual(rest, {})
}
