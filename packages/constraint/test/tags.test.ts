import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Constraints, type Declared, type TagPart } from '../src/index.ts'
import { allows, control, type Judgement, judgementOf, naming, tokensOf, vocabulary } from './fixtures.ts'

// What stands in a tag that is no value of a schema, and replies that are nothing but tags.

const constraints = new Constraints(vocabulary)

const judged = (declared: Declared, text: string) => judgementOf(constraints.compile(declared), text)

function assertJudged(declared: Declared, cases: Record<string, Judgement>): void {
  for (const [text, expected] of Object.entries(cases)) assert.equal(judged(declared, text), expected, text)
}

const tagged = (parts: readonly TagPart[], separator?: string): Declared => ({
  type: 'structural_tag',
  triggers: ['<f>'],
  tags: [{ begin: '<f>', parts, separator, end: '</f>' }],
  atLeastOne: true,
  stopAfterFirst: true,
})

test('parts: text up to an end, values of schemas, what may be missing', () => {
  const parts = [
    { begin: '<a>\n', end: '\n</a>\n' },
    { begin: '<b>', schema: { type: 'integer' }, end: '</b>', optional: true },
    { begin: '<c>', pattern: 'yes|no/maybe', end: '</c>', optional: true },
  ]
  assertJudged(tagged(parts), {
    '<f><a>\nx <b> </a\n</a>\n<b>12</b><c>yes</c></f>': 'complete',
    '<f><a>\n\n</a>\n<c>no/maybe</c></f>': 'complete',
    '<f><a>\n\n</a>\n</f>': 'complete',
    '<f><a>\nx': 'begun',
    '<f><b>': 'refused',
    '<f><a>\n\n</a>\n<b>"': 'refused',
    '<f><a>\n\n</a>\n<c>yesno': 'refused',
    '<f><a>\n\n</a>\n<c>yes</c><b>': 'refused',
  })
})

test('a bound on the length of a text counts its characters', () => {
  assertJudged(tagged([{ begin: '', pattern: '(?s:.{1,3})', end: '</a>' }]), {
    '<f>äöü</a></f>': 'complete',
    '<f>a\nb</a></f>': 'complete',
    '<f></a></f': 'refused',
    '<f>abcd': 'refused',
  })
})

test('separators stand between parts that are there, and between items', () => {
  const number = (begin: string, optional: boolean) => ({ begin, schema: { type: 'integer' }, end: '', optional })
  const some = tagged([number('a:', true), number('b:', false), number('c:', true)], ',')
  assertJudged(some, {
    '<f>a:1,b:2,c:3</f>': 'complete',
    '<f>b:2</f>': 'complete',
    '<f>b:2,c:3</f>': 'complete',
    '<f>a:1,b:2</f>': 'complete',
    '<f>,': 'refused',
    '<f>a:1,c': 'refused',
    '<f>a:1</f': 'refused',
    '<f>b:2,</f': 'refused',
  })
  assertJudged(tagged([number('a:', true), number('b:', true)], ','), {
    '<f></f>': 'complete',
    '<f>a:1,b:2</f>': 'complete',
    '<f>b:2</f>': 'complete',
    '<f>b:2,': 'refused',
  })
  const list: TagPart = { begin: '[', items: number('', false), separator: ',', end: ']' }
  assertJudged(tagged([list]), {
    '<f>[]</f>': 'complete',
    '<f>[1,2,3]</f>': 'complete',
    '<f>[1,]': 'refused',
    '<f>[,': 'refused',
  })
})

const channels: Declared = {
  type: 'channels',
  before: [{ begin: '<|call|>think:', end: '<|call|>next' }],
  last: [
    { begin: '<|call|>say:', end: '' },
    { begin: '<|call|>name:', schema: { type: 'boolean' }, end: '' },
  ],
}

test('channels: any number of messages, and then a last one', () => {
  assertJudged(channels, {
    '<|call|>say:yes': 'complete',
    '<|call|>say:': 'complete',
    '<|call|>think:a <|cal<|call|>next<|call|>name:true': 'complete',
    '<|call|>think:a<|call|>next<|call|>think:b<|call|>next<|call|>say:c': 'complete',
    '<|call|>think:a': 'begun',
    '<|call|>name:"': 'refused',
    '<|call|>name:true ': 'refused',
    '<|call|>other': 'refused',
    a: 'refused',
    '': 'begun',
  })
  assert.throws(() => constraints.compile({ type: 'channels', before: [], last: [] }), /no tag/)
})

test('channels: what is a control token is meant as the token, and is no text', () => {
  const matcher = new Constraints(naming).compile(channels)
  assert.deepEqual(matcher.forced(), [control])
  const advance = (text: string) => {
    for (const token of tokensOf(text)) {
      assert.ok(allows(matcher.mask(), token), text)
      matcher.advance(token)
    }
  }
  matcher.advance(control)
  advance('think:')
  advance('a <|call|> is text here')
  assert.ok(allows(matcher.mask(), control))
  matcher.advance(control)
  assert.deepEqual(matcher.forced(), [...tokensOf('next'), control])
  advance('next')
  matcher.advance(control)
  advance('say:so')
  assert.equal(matcher.ending, 'may')
  assert.equal(allows(matcher.mask(), control), false)
})
