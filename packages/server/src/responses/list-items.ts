import { z } from 'zod'
import type { Item } from '../items/item.ts'

/** The query of `GET /v1/responses/{id}/input_items`. */
export const listQuery = z.object({
  after: z.string().optional(),
  limit: z.coerce.number().int().min(1).max(100).default(20),
  order: z.enum(['asc', 'desc']).default('desc'),
})

/** A page of items, as OpenAI has lists. */
export function listItems(items: readonly Item[], { after, limit, order }: z.infer<typeof listQuery>): object {
  const ordered = order === 'asc' ? items : items.toReversed()
  const rest = after === undefined ? ordered : ordered.slice(ordered.findIndex(({ id }) => id === after) + 1)
  const data = rest.slice(0, limit)
  return {
    object: 'list',
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: rest.length > data.length,
  }
}
