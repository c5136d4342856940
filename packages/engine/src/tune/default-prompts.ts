import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { ChatMessage } from '../api/request.ts'
import type { TunePrompt } from './prompts.ts'

interface Passage {
  id: string
  text: string
  questions: string[]
  tasks: string[]
}

interface Short {
  id: string
  prompt: string
}

const systems = [
  'You are a helpful assistant.',
  'You are a helpful assistant. Answer briefly and to the point.',
  'Answer using only the text that the user gives you. If the text does not say, say so.',
  'You are a friendly and precise assistant. Reply in the language of the request unless told otherwise.',
]

const user = (content: string): ChatMessage => ({ role: 'user', content })
const system = (content: string): ChatMessage => ({ role: 'system', content })

type Layout = (text: string, request: string, key: string) => ChatMessage[]

const layouts: Layout[] = [
  (text, ask) => [user(`${text}\n\n${ask}`)],
  (text, ask) => [user(`${ask}\n\n${text}`)],
  (text, ask) => [user(`Read this:\n\n"""\n${text}\n"""\n\n${ask}`)],
  (text, ask) => [user(`${ask}\n\n---\n${text}\n---`)],
  (text, ask, key) => [system(pick(systems, `system:${key}`)), user(`${text}\n\n${ask}`)],
  (text, ask, key) => [system(pick(systems, `system:${key}`)), user(`${ask}\n\nText:\n${text}`)],
  (text, ask) => [system(`You help users with the following document.\n\n${text}`), user(ask)],
]

const retrieval: Layout[] = [
  (docs, ask) => [user(`Use the following context to answer the question.\n\n${docs}\n\nQuestion: ${ask}\nAnswer:`)],
  (docs, ask) => [
    system('Answer the question from the documents. Do not use other knowledge.'),
    user(`${docs}\n\nQuestion: ${ask}`),
  ],
]

/**
 * The prompts `incipit tune` uses without a file of its own: every passage of `prompts/` with every question and task, in
 * one of several layouts, short requests, and beginnings of code. Deterministic; ordered by hash, so that any run of them
 * is a fair sample. All prompts about one passage are in the same split.
 */
export async function defaultPrompts(): Promise<TunePrompt[]> {
  const [passages, short, code] = await Promise.all([
    read<Passage>('passages.jsonl'),
    read<Short>('short.jsonl'),
    read<Short>('code.jsonl'),
  ])
  const prompts: (TunePrompt & { id: string })[] = []
  for (const passage of passages) {
    const split = splitOf(passage.id)
    for (const [i, ask] of passage.questions.entries()) {
      const id = `${passage.id}/q${i + 1}`
      // A task such as "give it a title" needs a single text: only questions are asked of two documents.
      const two = hash(`two:${id}`) % 4 === 0
      const text = two ? twoDocuments(passages, passage, id) : passage.text
      prompts.push({ id, split, messages: pick(two ? retrieval : layouts, `layout:${id}`)(text, ask, id) })
    }
    for (const [i, ask] of passage.tasks.entries()) {
      const id = `${passage.id}/t${i + 1}`
      prompts.push({ id, split, messages: pick(layouts, `layout:${id}`)(passage.text, ask, id) })
    }
  }
  for (const { id, prompt } of short) prompts.push({ id, split: splitOf(id), messages: [user(prompt)] })
  for (const { id, prompt } of code) prompts.push({ id, split: splitOf(id), prompt })
  return prompts.sort((a, b) => hash(`place:${a.id}`) - hash(`place:${b.id}`))
}

/** The passage and another one of the same split, in either order. */
function twoDocuments(passages: readonly Passage[], passage: Passage, key: string): string {
  const others = passages.filter((other) => other !== passage && splitOf(other.id) === splitOf(passage.id))
  const pair = [passage, pick(others, `other:${key}`)]
  if (hash(`order:${key}`) % 2 === 1) pair.reverse()
  return pair.map(({ text }, i) => `[Document ${i + 1}]\n${text}`).join('\n\n')
}

/** The salt was chosen so that both halves hold about as many prompts of each kind; no model had a say in it. */
function splitOf(id: string): 'fit' | 'calibrate' {
  return hash(`split688:${id}`) % 2 === 0 ? 'fit' : 'calibrate'
}

function hash(text: string): number {
  return createHash('sha256').update(`incipit:${text}`).digest().readUInt32BE(0)
}

function pick<T>(list: readonly T[], key: string): T {
  return list[hash(key) % list.length]!
}

async function read<T>(name: string): Promise<T[]> {
  const text = await readFile(new URL(`../../prompts/${name}`, import.meta.url), 'utf8')
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T)
}
