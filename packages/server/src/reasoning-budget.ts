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

/** The bound that a body names. */
export function reasoningBudgetOf(body: BudgetFields): number | undefined {
  const said = body.thinking_budget_tokens ?? body.reasoning_budget_tokens ?? body.thinking_token_budget ?? -1
  return said < 0 ? undefined : said
}
