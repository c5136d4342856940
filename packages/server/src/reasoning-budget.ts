import { z } from 'zod'

// -1 is how llama-server and vLLM say that there is no bound.
const budget = z.int().min(-1).nullish()

/** Most tokens of reasoning, by llama-server's names and vLLM's. */
export const reasoningBudgetFields = {
  thinking_budget_tokens: budget,
  reasoning_budget_tokens: budget,
  thinking_token_budget: budget,
}

type BudgetFields = z.infer<z.ZodObject<typeof reasoningBudgetFields>>

/** The bound that a body names, and the field that it stands in. */
export function reasoningBudgetOf(body: BudgetFields): { readonly param: string; readonly tokens: number } | undefined {
  const names = Object.keys(reasoningBudgetFields) as (keyof BudgetFields)[]
  const param = names.find((name) => typeof body[name] === 'number')
  const tokens = param === undefined ? -1 : body[param]!
  return param === undefined || tokens < 0 ? undefined : { param, tokens }
}
