import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Situation } from './situation.ts'
import { cutSuggestion } from './stop-rules.ts'

/** A document with `|` for the cursor. */
function at(text: string, comment = '//'): Situation {
  const [before = '', after = ''] = text.split('|')
  const end = after.indexOf('\n')
  return {
    before,
    restOfLine: end < 0 ? after : after.slice(0, end),
    below: end < 0 ? '' : after.slice(end + 1),
    comment,
  }
}

function shown(document: string, raw: string, comment?: string): string {
  return cutSuggestion(raw, at(document, comment), true).text
}

/** Whether it ends by itself, although the model would go on. */
function ends(document: string, raw: string): boolean {
  return cutSuggestion(raw, at(document), false).complete
}

test('inside a line: up to its end', () => {
  assert.equal(shown('const a = |', '1\nconst b = 2'), '1')
  assert.ok(ends('const a = |', '1\n'))
  assert.ok(!ends('const a = |', '1'))
})

test('nothing at the end of a finished line', () => {
  assert.equal(shown('const a = 1|', '\nconst b = 2'), '')
})

test('on an empty line: lines as deep as the cursor, up to a paragraph', () => {
  const document = 'function f() {\n  |\n}\n'
  assert.equal(shown(document, 'const a = 1\n  return a\n}\n\nf()'), 'const a = 1\n  return a')
  assert.equal(shown(document, 'const a = 1\n\n  return a'), 'const a = 1')
  assert.ok(ends(document, 'return a\n}'))
})

test('behind what opens a block: its body, and what closes it', () => {
  assert.equal(shown('if (a) {|', '\n  b()\n}\nc()'), '\n  b()\n}')
  assert.ok(ends('if (a) {|', '\n  b()\n}\n'))
  assert.equal(shown('if (a) {|\n}', '\n  b()\n}\nc()'), '\n  b()')
  assert.equal(shown('def f(x):|', '\n    return x\n\nprint(f(1))', '#'), '\n    return x')
})

test('a bracket that closes nothing ends it, one whose opening stands before does not', () => {
  assert.equal(shown('f(|', 'a, b)'), 'a, b)')
  assert.equal(shown('f(|', 'a, b)) + 1'), 'a, b)')
  assert.equal(shown('const s = ")" + f(|', 'a) + g()'), 'a) + g()')
  assert.equal(shown('// (see there\nx = |', 'a) + 1'), 'a')
  assert.ok(ends('x = |', 'a)'))
})

test('what follows the cursor is not said again', () => {
  assert.equal(shown('  |\n  return total\n}', 'total += 1\n  return total'), 'total += 1')
  assert.equal(shown('const a = | + c', 'b + c'), 'b')
  assert.equal(shown('  |\n  done()\n', 'done()'), '')
  // Closing brackets are often the same; only those as deep are meant.
  assert.equal(shown('  a(() => {|\n})', '\n    b()\n  })'), '\n    b()\n  })')
})

test('the same line again and again ends it, and so do too many lines', () => {
  const lines = cutSuggestion('a()\n'.repeat(9), at('|'), false)
  assert.ok(lines.complete)
  assert.equal(lines.text, 'a()')
  const circle = cutSuggestion('if (a) {\n  b()\n}\n'.repeat(9), at('|'), false)
  assert.equal(circle.text, 'if (a) {\n  b()\n}')
  assert.equal(shown('  total += 1\n  |', 'total += 1\n  total += 1'), '')
  const many = Array.from({ length: 40 }, (_, i) => `a(${i})`).join('\n')
  assert.equal(shown('|', many).split('\n').length, 12)
})

test('every part of what is said leads to a beginning of what is shown in the end', () => {
  const documents = ['const a = |', 'if (a) {|\n}', 'function f() {\n  |\n}\n', 'f(|)', 'x|']
  const said = [
    'b(c, [d])\n',
    '\n  b()\n  c()\n}\n\nd()',
    'return (a)\n}\n\nconst z = 1\n',
    '  }  \n\n\n',
    ') + "(" // {\n',
  ]
  for (const document of documents) {
    for (const raw of said) {
      const whole = shown(document, raw)
      for (let length = 0; length <= raw.length; length++) {
        const cut = cutSuggestion(raw.slice(0, length), at(document), false)
        if (cut.complete) assert.equal(cut.text, whole, JSON.stringify([document, raw.slice(0, length)]))
      }
    }
  }
})
