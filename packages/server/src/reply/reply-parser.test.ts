import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { toolFormat } from '../tools/tool-format.ts'
import type { Part } from './part.ts'
import { ReplyParser, type ReplyShape } from './reply-parser.ts'

const hermes = toolFormat('{% if tools %}<tool_call>')
const think = { start: '<think>', end: '</think>' }
const tools = { format: hermes, names: ['weather', 'time'] }

/** Parts of one kind in one piece, calls as `name(arguments)`, with a `…` where the arguments are cut off. */
function told(parts: readonly Part[]): string[] {
  const all: string[] = []
  let kind = ''
  for (const part of parts) {
    if (part.type === 'call') all.push(`${part.name}(…`)
    else if (part.type === 'arguments') all[all.length - 1] = `${all.at(-1)!.slice(0, -1)}${part.text}…`
    else if (part.type === 'call_end') all[all.length - 1] = `${all.at(-1)!.slice(0, -1)})`
    else if (kind === part.type) all[all.length - 1] += part.text
    else all.push(`${part.type}: ${part.text}`)
    kind = part.type
  }
  return all
}

function parsed(shape: ReplyShape, pieces: readonly string[]): string[] {
  const parser = new ReplyParser(shape)
  const parts = pieces.flatMap((piece) => parser.feed(piece))
  return told([...parts, ...parser.end()])
}

const call = (name: string, json: string) => `${hermes.begin(name)}${json}${hermes.end}`
const paris = call('weather', '{"city": "Paris }<"}')
const cases: [string, ReplyShape, string, string[]][] = [
  ['plain text is what it is', {}, '  a <think> b\n', ['content:   a <think> b\n']],
  ['text with tools', { tools }, ' a\n', ['content:  a\n']],
  ['a call', { tools }, paris, ['weather({"city": "Paris }<"})']],
  [
    'text before calls',
    { tools },
    `So:\n\n${paris}\n${call('time', '{}')}\n`,
    ['content: So:', 'weather({"city": "Paris }<"})', 'time({})'],
  ],
  ['text after a call', { tools }, `${paris}\nand so on `, ['weather({"city": "Paris }<"})', 'content: and so on ']],
  [
    'a call that is cut off',
    { tools },
    call('weather', '{"city": "Pa').slice(0, -hermes.end.length),
    ['weather({"city": "Pa…'],
  ],
  ['a call cut off in its name', { tools }, '<tool_call>\n{"name": "wea', []],
  ['what looks like a call', { tools }, 'a <tool_call> b', ['content: a <tool_call> b']],
  ['an unknown tool', { tools }, call('shell', '{}'), [`content: ${call('shell', '{}')}`]],
  ['arguments that are no object', { tools }, call('time', '12'), ['time(12)']],
  [
    'open reasoning',
    { reasoning: { ...think, at: 'open' } },
    'hm\n</think>\n\nyes',
    ['reasoning: hm\n', 'content: yes'],
  ],
  [
    'reasoning that may come',
    { reasoning: { ...think, at: 'optional' } },
    '<think>hm</think>yes',
    ['reasoning: hm', 'content: yes'],
  ],
  [
    'reasoning that does not come',
    { reasoning: { ...think, at: 'optional' } },
    ' <thin air> ',
    ['content:  <thin air> '],
  ],
  ['reasoning behind us', { reasoning: { ...think, at: 'closed' } }, 'yes', ['content: yes']],
  ['reasoning that is cut off', { reasoning: { ...think, at: 'open' } }, 'hm </thi', ['reasoning: hm </thi']],
  [
    'reasoning, then a call',
    { reasoning: { ...think, at: 'open' }, tools },
    `hm</think>\n\n${paris}`,
    ['reasoning: hm', 'weather({"city": "Paris }<"})'],
  ],
  [
    'a call in reasoning is none',
    { reasoning: { ...think, at: 'open' }, tools },
    `${paris}</think>no`,
    [`reasoning: ${paris}`, 'content: no'],
  ],
]

for (const [name, shape, text, expected] of cases) {
  test(`${name}, wherever its pieces end`, () => {
    assert.deepEqual(parsed(shape, [text]), expected)
    assert.deepEqual(parsed(shape, [...text]), expected)
    fc.assert(
      fc.property(fc.array(fc.nat(text.length), { maxLength: 6 }), (places) => {
        const cuts = [0, ...places.sort((a, b) => a - b), text.length]
        assert.deepEqual(
          parsed(
            shape,
            cuts.slice(1).map((to, i) => text.slice(cuts[i], to)),
          ),
          expected,
        )
      }),
      { numRuns: 30 },
    )
  })
}

test('a clone goes its own way', () => {
  const parser = new ReplyParser({ tools })
  parser.feed('a <tool')
  const copy = parser.clone()
  assert.deepEqual(told(copy.feed('box>')), ['content:  <toolbox>'])
  assert.deepEqual(told(parser.feed(paris.slice(5))), [`weather({"city": "Paris }<"})`])
})

test('templates tell how tools are called', () => {
  const named = (template: string) => toolFormat(template).name
  assert.equal(named('{% if tools %}[TOOL_CALLS]{{ name }}[ARGS]'), 'mistral')
  assert.equal(named('{% if tools %}[TOOL_CALLS][{'), 'mistral-list')
  assert.equal(named('{% if tools %}<|tool_call|>'), 'granite')
  assert.equal(named('{% if tools %}<tool_call>'), 'hermes')
  assert.equal(named('{% if tools %}<|python_tag|>'), 'llama-3')
  assert.equal(named('{{ messages }}'), 'generic')
  assert.equal(toolFormat(undefined).native, false)
})
