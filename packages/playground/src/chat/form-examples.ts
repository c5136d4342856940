export const exampleSchema = `{
  "type": "object",
  "properties": {
    "answer": { "type": "string" },
    "sure": { "type": "boolean" }
  },
  "required": ["answer", "sure"]
}`

export const exampleTools = `[
  {
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
      "type": "object",
      "properties": { "city": { "type": "string" } },
      "required": ["city"]
    }
  }
]`
