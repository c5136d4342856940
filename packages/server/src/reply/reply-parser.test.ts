import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertTold, told } from '../../test/parts.ts'
import { toolFormat } from '../tools/tool-format.ts'
import { ReplyParser } from './reply-parser.ts'
import type { ReplyShape } from './reply-shape.ts'

const hermes = toolFormat('{% if tools %}<tool_call>')
const think = { start: '<think>', end: '</think>' }
const tool = (name: string, properties: object = {}) => ({
  name,
  parameters: { type: 'object', properties },
  strict: false,
})
const tools = { format: hermes, tools: [tool('weather'), tool('time')] }

const call = (name: string, json: string) => `${hermes.begin(name)}${json}${hermes.end}`
const xml = toolFormat('{% if tools %}<tool_call>\\n<function=<parameter=')
const gemma = toolFormat('{% if tools %}<|tool_call>call:')
const typed = [tool('weather', { city: { type: 'string' }, days: { type: 'integer' } }), tool('time')]
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
    'calls as Qwen3-Coder writes them',
    { tools: { format: xml, tools: typed } },
    'So:\n<tool_call>\n<function=weather>\n<parameter=city>\nParis "\n}<\n</parameter>\n<parameter=days>\n2\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=time>\n</function>\n</tool_call>',
    ['content: So:', 'weather({"city": "Paris \\"\\n}<", "days": 2})', 'time({})'],
  ],
  [
    'such a call that is cut off',
    { tools: { format: xml, tools: typed } },
    '<tool_call>\n<function=weather>\n<parameter=city>\nPar\n</param',
    ['weather({"city": "Par…'],
  ],
  [
    'calls as Gemma 4 writes them',
    { tools: { format: gemma, tools: typed } },
    '<|tool_call>call:weather{city:<|"|>Paris "}<<|"|>,days:2}<tool_call|><|tool_call>call:time{}<tool_call|>',
    ['weather({"city": "Paris \\"}<", "days": 2})', 'time({})'],
  ],
  [
    'such a call that is cut off in a text',
    { tools: { format: gemma, tools: typed } },
    '<|tool_call>call:weather{city:<|"|>Par<|"',
    ['weather({"city": "Par…'],
  ],
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
  test(`${name}, wherever its pieces end`, () => assertTold(() => new ReplyParser(shape), text, expected))
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
  assert.equal(named('{% if tools %}<tool_call>\\n<function=x>\\n<parameter=y>'), 'qwen-xml')
  assert.equal(named('{% if tools %}<tool_call>\n<function=x>\n<parameter=y>'), 'qwen-xml')
  assert.equal(named("{% if tools %}'<|tool_call>call:'"), 'gemma')
  assert.equal(named('{% if tools %}<|python_tag|>'), 'llama-3')
  assert.equal(named('{{ messages }}'), 'generic')
  assert.equal(toolFormat(undefined).native, false)
})
