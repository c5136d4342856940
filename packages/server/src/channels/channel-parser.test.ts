import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assertTold } from '../../test/parts.ts'
import { ChannelParser, type ChannelShape } from './channel-parser.ts'

const weather = { name: 'weather', parameters: { type: 'object' }, strict: false }
const shape: ChannelShape = { reasoning: true, inAnswer: false, tools: [weather] }
const next = '<|end|><|start|>assistant'
const paris = '{"city": "Paris }<|end"}'

const cases: [string, Partial<ChannelShape>, string, string[]][] = [
  ['an answer', {}, '<|channel|>final<|message|>Yes <|end of it.', ['content: Yes <|end of it.']],
  [
    'thoughts, then an answer',
    {},
    `<|channel|>analysis<|message|>Hm.${next}<|channel|>final<|message|>Yes.<|return|>`,
    ['reasoning: Hm.', 'content: Yes.'],
  ],
  [
    'thoughts twice are two paragraphs',
    {},
    `<|channel|>analysis<|message|>Hm.${next}<|channel|>analysis<|message|>So.${next}<|channel|>final<|message|>Yes.`,
    ['reasoning: Hm.\n\nSo.', 'content: Yes.'],
  ],
  [
    'thoughts that nobody wants told apart',
    { reasoning: false },
    `<|channel|>analysis<|message|>Hm.${next}<|channel|>final<|message|>Yes.`,
    ['content: Hm.\n\nYes.'],
  ],
  [
    'a call whose channel names the function',
    {},
    `<|channel|>analysis<|message|>Hm.${next}<|channel|>commentary to=functions.weather <|constrain|>json<|message|>${paris}<|call|>`,
    ['reasoning: Hm.', `weather(${paris})`],
  ],
  [
    'a call whose role names it, behind a word about it',
    {},
    `<|channel|>commentary<|message|>I look.${next} to=functions.weather<|channel|>commentary json<|message|>${paris}`,
    ['content: I look.', `weather(${paris})`],
  ],
  [
    'a call that is cut off',
    {},
    '<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{"city": "Pa',
    ['weather({"city": "Pa…'],
  ],
  ['a header that is cut off', {}, '<|channel|>commentary to=functions.wea', []],
  [
    'a call of something else is text',
    {},
    '<|channel|>commentary to=functions.shell <|constrain|>json<|message|>{}',
    ['content: {}'],
  ],
  ['an answer that was begun', { inAnswer: true }, ' and so on.', ['content:  and so on.']],
  ['an answer without a header', {}, '{"sure": true}', ['content: {"sure": true}']],
]

for (const [name, over, text, expected] of cases) {
  test(`${name}, wherever its pieces end`, () =>
    assertTold(() => new ChannelParser({ ...shape, ...over }), text, expected))
}

test('a clone goes its own way', () => {
  const parser = new ChannelParser(shape)
  parser.feed('<|channel|>commentary to=functions.weather json<|message|>{"city": "')
  const copy = parser.clone()
  assert.deepEqual(
    copy.feed('Rome"}').map(({ type }) => type),
    ['arguments', 'call_end'],
  )
  assert.equal(parser.inContent, false)
  assert.deepEqual(
    parser.feed('Oslo"}').map(({ type }) => type),
    ['arguments', 'call_end'],
  )
})
