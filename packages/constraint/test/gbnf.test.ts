import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Constraints } from '../src/index.ts'
import { allows, tokensOf, vocabulary } from './fixtures.ts'

const constraints = new Constraints(vocabulary)

function judged(grammar: string, text: string): 'complete' | 'begun' | 'refused' {
  using matcher = constraints.compile({ type: 'grammar', grammar })
  for (const token of tokensOf(text)) {
    if (!allows(matcher.mask(), token)) return 'refused'
    matcher.advance(token)
  }
  return matcher.ending === 'no' ? 'begun' : 'complete'
}

function check(grammar: string, cases: Record<string, string>): void {
  for (const [text, expected] of Object.entries(cases)) {
    assert.equal(judged(grammar, text), expected, `${JSON.stringify(text)} of ${grammar}`)
  }
}

test('texts, sets, repetitions, groups', () => {
  check('root ::= "a" [b-d]+ ("x" | "yz")? # and that is all', {
    ab: 'complete',
    abcdx: 'complete',
    abyz: 'complete',
    aby: 'begun',
    a: 'begun',
    ax: 'refused',
    abxx: 'refused',
  })
  check('root ::= [^a\\]\\-]{2,3} "é\\x21\\u00e4\\n"', {
    'bcé!ä\n': 'complete',
    'bcdé!ä\n': 'complete',
    ba: 'refused',
    'b]': 'refused',
    'b-': 'refused',
  })
  check('root ::= "a"{2} "b"{1,} .', { 'aab\n': 'complete', aabb: 'complete', aab: 'begun', ab: 'refused' })
  check('root ::= [a-] ""', { '-': 'complete', b: 'refused' })
})

test('rules over several lines, comments, and names of rules', () => {
  const grammar = `
# a list
root ::= item ("," item)*   # of items
item-1 ::= "x" |
  "y"
item ::= (
    item-1
  | number
)
number ::= [0-9]+
`
  check(grammar, { x: 'complete', 'x,y,12': 'complete', 'x,': 'begun', 'x,z': 'refused' })
})

test('recursion', () => {
  const arithmetic = `root ::= expr "\\n"
expr ::= term ([-+*/] term)*
term ::= num | "(" expr ")"
num ::= [0-9]+`
  check(arithmetic, {
    '1+(2*3)-4\n': 'complete',
    '((1))\n': 'complete',
    '(1': 'begun',
    '(1))': 'refused',
    '1+*': 'refused',
  })
  const json = `root   ::= object
value  ::= object | array | string | number | ("true" | "false" | "null") ws
object ::= "{" ws ( string ":" ws value ("," ws string ":" ws value)* )? "}" ws
array  ::= "[" ws ( value ("," ws value)* )? "]" ws
string ::= "\\"" ( [^"\\\\\\x7F\\x00-\\x1F] | "\\\\" (["\\\\bfnrt] | "u" [0-9a-fA-F]{4}) )* "\\"" ws
number ::= ("-"? ([0-9] | [1-9] [0-9]{0,15})) ("." [0-9]+)? ([eE] [-+]? [0-9] [1-9]{0,15})? ws
ws ::= | " " | "\\n" [ \\t]{0,20}`
  check(json, {
    '{"a": [1, {"b": "c\\"d"}], "e": null}': 'complete',
    '{}': 'complete',
    '{"a": [1, {"b"': 'begun',
    '{"a": }': 'refused',
    '[1]': 'refused',
    '{"a" 1}': 'refused',
  })
})

test('what is wrong is said with its line', () => {
  const wrong: [string, RegExp][] = [
    ['a ::= "b"', /no rule "root"/],
    ['root ::= b', /"root" uses "b"/],
    ['root ::= "a"\nb = "c"', /line 2 .*"::=" is missing/],
    ['root ::= ("a"', /line 1 .*"\)" is missing/],
    ['root ::= "a', /line 1 .*" is missing/],
    ['root ::= [a', /line 1 .*\] is missing/],
    ['root ::= "a" )', /line 1 .*unexpected/],
    ['root ::= "\\q"', /unknown escape \\q/],
    ['root ::= "\\x4"', /\\x needs 2 digits/],
    ['root ::= []', /empty set/],
    ['root ::= "a"{x}', /repetition/],
    ['root ::= <think>', /tokens cannot be named/],
    [`root ::= ${'('.repeat(5000)}`, /too deeply/],
  ]
  for (const [grammar, message] of wrong) {
    assert.throws(
      () => constraints.compile({ type: 'grammar', grammar }),
      { name: 'ConstraintError', message },
      grammar,
    )
  }
})
