// Combines passages.jsonl, short.jsonl and code.jsonl into tune.jsonl.
// Run: node build.mjs. The result depends on nothing but the three files.
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'

const here = new URL('./', import.meta.url)
const read = (name) => readFileSync(new URL(name, here), 'utf8').trim().split('\n').map(JSON.parse)
const hash = (text) => createHash('sha256').update(`incipit:${text}`).digest().readUInt32BE(0)
const pick = (list, key) => list[hash(key) % list.length]
const splitOf = (id) => (hash(`split:${id}`) % 2 === 0 ? 'fit' : 'calibrate')

const passages = read('passages.jsonl')

const systems = [
  'You are a helpful assistant.',
  'You are a helpful assistant. Answer briefly and to the point.',
  'Answer using only the text that the user gives you. If the text does not say, say so.',
  'You are a friendly and precise assistant. Reply in the language of the request unless told otherwise.',
]

const user = (content) => ({ role: 'user', content })
const system = (content) => ({ role: 'system', content })

// Each layout turns (text, request, key) into messages.
const plain = [
  (text, ask) => [user(`${text}\n\n${ask}`)],
  (text, ask) => [user(`${ask}\n\n${text}`)],
  (text, ask) => [user(`Read this:\n\n"""\n${text}\n"""\n\n${ask}`)],
  (text, ask) => [user(`${ask}\n\n---\n${text}\n---`)],
  (text, ask, key) => [system(pick(systems, `system:${key}`)), user(`${text}\n\n${ask}`)],
  (text, ask, key) => [system(pick(systems, `system:${key}`)), user(`${ask}\n\nText:\n${text}`)],
  (text, ask) => [system(`You help users with the following document.\n\n${text}`), user(ask)],
]

// Two documents: the second one is a passage of the same split, so that none is seen in both.
const retrieval = [
  (docs, ask) => [user(`Use the following context to answer the question.\n\n${docs}\n\nQuestion: ${ask}\nAnswer:`)],
  (docs, ask) => [
    system('Answer the question from the documents. Do not use other knowledge.'),
    user(`${docs}\n\nQuestion: ${ask}`),
  ],
]

function withDistractor(passage, key) {
  const others = passages.filter((p) => p !== passage && splitOf(p.id) === splitOf(passage.id))
  const pair = [passage, pick(others, `other:${key}`)]
  if (hash(`order:${key}`) % 2) pair.reverse()
  return pair.map((p, i) => `[Document ${i + 1}]\n${p.text}`).join('\n\n')
}

const lines = []
for (const passage of passages) {
  const split = splitOf(passage.id)
  passage.questions.forEach((ask, i) => {
    const id = `${passage.id}/q${i + 1}`
    // A task such as "give it a title" needs a single text, so only questions are asked of two.
    const messages =
      hash(`two:${id}`) % 4 === 0
        ? pick(retrieval, `layout:${id}`)(withDistractor(passage, id), ask)
        : pick(plain, `layout:${id}`)(passage.text, ask, id)
    lines.push({ id, split, messages })
  })
  passage.tasks.forEach((ask, i) => {
    const id = `${passage.id}/t${i + 1}`
    lines.push({ id, split, messages: pick(plain, `layout:${id}`)(passage.text, ask, id) })
  })
}
for (const { id, prompt } of read('short.jsonl')) {
  lines.push({ id, split: splitOf(id), messages: [user(prompt)] })
}
for (const { id, prompt } of read('code.jsonl')) lines.push({ id, split: splitOf(id), prompt })

if (new Set(lines.map((l) => l.id)).size !== lines.length) throw new Error('an id is used twice')

// Mixed by hash, so that the first n lines are a fair sample of all kinds.
lines.sort((a, b) => hash(`place:${a.id}`) - hash(`place:${b.id}`) || (a.id < b.id ? -1 : 1))
writeFileSync(new URL('tune.jsonl', here), lines.map((l) => `${JSON.stringify(l)}\n`).join(''))
console.log(`${lines.length} lines written to tune.jsonl`)
