import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dedented } from './dedent.ts'
import { editPrompt, rewriteIn } from './edit-prompt.ts'
import { replacementsOf } from './rewrite.ts'
import { textEdits } from './text-edits.ts'
import { wordChange } from './word-change.ts'

const edit = { before: 'let total = 0', after: 'let sum = 0' }
const rename = wordChange(edit)
const before = 'for (const v of values) total += v\nreturn total'

/** What is offered of a rewrite whose tokens are words. */
function offered(text: string, { least = 0.25, probability = 0.9 } = {}): string[] {
  const said = (text.match(/\s*\S+/g) ?? []).map((text) => ({ text, probability }))
  return replacementsOf(before, { text, said }, rename, least).map(
    ({ from, to, text }) => `${before.slice(from, to)}>${text}`,
  )
}

test('the words of a line that change', () => {
  assert.deepEqual(offered('for (const v of values) sum += v\nreturn sum'), ['total>sum', 'total>sum'])
})

test('lines that the change does not concern, or that do not look like it, stay as they are', () => {
  assert.deepEqual(offered('for (const w of values) total += w\nreturn sum'), ['total>sum'])
  assert.deepEqual(offered('for (const v of values) total += v\nreturn other'), [])
  assert.deepEqual(offered('return sum'), [])
  assert.deepEqual(offered(before), [])
})

test('nothing that the model did not hold likely', () => {
  assert.deepEqual(offered('for (const v of values) sum += v\nreturn total', { probability: 0.2 }), [])
  assert.deepEqual(offered('for (const v of values) sum += v\nreturn total', { probability: 0.2, least: 0.1 }), [
    'total>sum',
  ])
})

test('a prompt has the last edits and the region, and expects the names to be replaced', () => {
  const prompt = editPrompt([edit], `  ${before.replace('\n', '\n  ')}`, 0, rename)!
  assert.equal(
    prompt.messages.at(-1)!.content,
    `Edit:\n- ${edit.before}\n+ ${edit.after}\nCode:\n\`\`\`\n${before}\n\`\`\``,
  )
  assert.equal(prompt.beginsWith, '```\nfor (const v of values) ')
  assert.equal(prompt.predicted, `\`\`\`\n${before.replaceAll('total', 'sum')}\n\`\`\``)
  assert.equal(editPrompt([edit], '```total', 0, rename), undefined)
})

test('the code of a reply, with or without a fence, and how likely its pieces are', () => {
  const reply = ['```', 'ts\nreturn', ' sum', '\n```', '\nDone.'].map((text, i) => ({ text, probability: i / 10 }))
  assert.deepEqual(rewriteIn(reply), {
    text: 'return sum',
    said: [
      { text: 'return', probability: 0.1 },
      { text: ' sum', probability: 0.2 },
    ],
  })
  assert.equal(rewriteIn([{ text: 'return sum', probability: 1 }]).text, 'return sum')
})

test('as edits of the document: its indentation and line ends', () => {
  const lines = dedented('    a\n\n      b')
  assert.deepEqual(lines, { text: 'a\n\n  b', indent: '    ' })
  const [first, second] = textEdits(
    [
      { from: 0, to: 1, text: 'x\n  y' },
      { from: 5, to: 6, text: 'z' },
    ],
    { first: 10, last: 12, place: 10 },
    lines,
    '\r\n',
  )
  assert.deepEqual(first, {
    range: { start: { line: 10, character: 4 }, end: { line: 10, character: 5 } },
    newText: 'x\r\n      y',
  })
  assert.deepEqual(second!.range.start, { line: 12, character: 6 })
})
