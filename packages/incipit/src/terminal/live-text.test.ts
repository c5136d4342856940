import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { VtScreen } from '../../test/helpers/vt-screen.ts'
import { LiveText } from './live-text.ts'
import { graphemeWidth } from './width.ts'

const width = (character: string) => graphemeWidth(character).parts[0] ?? 0

/** Runs updates [committed, tail] on a fresh screen. */
function show(columns: number, rows: number, updates: readonly (readonly [string, string])[], finish = false) {
  const screen = new VtScreen(columns, rows, width)
  const live = new LiveText(screen, { wrap: true })
  for (const [committed, tail] of updates) live.update(committed, tail)
  if (finish) live.finish()
  return screen
}

/** What a terminal shows for text that was simply written to it. */
function written(columns: number, rows: number, text: string): string[] {
  const screen = new VtScreen(columns, rows, width)
  screen.write(text)
  return screen.lines()
}

describe('LiveText', () => {
  it('shows the tail dim behind the committed text and overwrites it in place', () => {
    const screen = show(20, 4, [
      ['Hello', ' world'],
      ['', ' there, friend'],
    ])
    assert.deepEqual(screen.lines('plain'), ['Hello'])
    assert.deepEqual(screen.lines(), ['Hello there, friend'])
  })

  it('turns a confirmed tail into plain text', () => {
    const screen = show(20, 4, [
      ['Hello', ' world'],
      [' world', ''],
    ])
    assert.deepEqual(screen.lines('plain'), ['Hello world'])
    assert.deepEqual(screen.lines('dim'), [])
  })

  it('moves a word that goes on beyond the row to the next one', () => {
    const screen = show(10, 4, [
      ['Some incip', ''],
      ['it', ' text'],
    ])
    assert.deepEqual(screen.lines('plain'), ['Some', 'incipit'])
    assert.deepEqual(screen.lines(), ['Some', 'incipit', 'text'])
  })

  it('moves a word with the tail that goes on with it, and back without', () => {
    const moved = show(10, 4, [['Some incip', 'it text']])
    assert.deepEqual(moved.lines('plain'), ['Some', 'incip'])
    assert.deepEqual(moved.lines(), ['Some', 'incipit', 'text'])
    const back = show(10, 4, [
      ['Some incip', 'it text'],
      ['', ' text'],
    ])
    assert.deepEqual(back.lines('plain'), ['Some incip'])
    assert.deepEqual(back.lines(), ['Some incip', 'text'])
  })

  it('does not move a word where there is no row for it', () => {
    assert.deepEqual(show(10, 1, [['Some incip', 'it text']]).lines(), ['Some incip'])
  })

  it('does not move a word that a resize may have broken', () => {
    const out = { columns: 10, rows: 5, text: '', write: (text: string) => (out.text += text) }
    const live = new LiveText(out, { wrap: true })
    live.update('Some incip', '')
    out.columns = 8
    live.resize()
    live.update('it', '')
    assert.equal(out.text, 'Some incipit')
  })

  it('breaks nothing when it is not to wrap', () => {
    const screen = new VtScreen(10, 5, width)
    new LiveText(screen, { wrap: false }).update('Some incipit', ' and a tail')
    assert.deepEqual(screen.lines(), ['Some incip', 'it and a t', 'ail'])
  })

  it('takes back a tail that wraps over several rows', () => {
    const screen = show(10, 6, [
      ['abc', 'defghijklmnopqrstuvwxyz'],
      ['X', ''],
    ])
    assert.deepEqual(screen.lines(), ['abcX'])
  })

  it('takes back a tail with newlines at the bottom of the screen', () => {
    const screen = show(10, 3, [
      ['1\n2\n3\n4', 'a\nb\nc'],
      ['!', ''],
    ])
    assert.deepEqual(screen.lines(), ['1', '2', '3', '4!'])
  })

  it('keeps the last character of a committed row that is exactly full', () => {
    for (const committed of ['0123456789', '01234567漢', 'a\n0123456789', '0123456789\n0123456789']) {
      const screen = show(10, 4, [
        [committed, 'tail'],
        ['', ''],
        ['', 'again'],
        ['Z', ''],
      ])
      assert.deepEqual(screen.lines(), written(10, 4, `${committed}Z`))
    }
  })

  it('cuts a tail longer than the screen with an ellipsis and shows it whole once committed', () => {
    const tail = Array.from({ length: 30 }, (_, line) => `line ${line}\n`).join('')
    const cut = show(12, 5, [['start ', tail]])
    assert.deepEqual(cut.lines('plain'), ['start'])
    assert.equal(cut.lines().length, 5)
    assert.match(cut.lines().at(-1) ?? '', /…$/)
    const committed = show(12, 5, [
      ['start ', tail],
      [tail, ''],
    ])
    assert.deepEqual(committed.lines(), written(12, 5, `start ${tail}`))
  })

  it('shows no tail on a line whose width is uncertain, and again on the next', () => {
    const family = '👩\u{200d}👩\u{200d}👧'
    assert.deepEqual(show(40, 4, [[`x ${family}`, ' guess']]).lines('dim'), [])
    assert.deepEqual(show(40, 4, [[`x ${family}\nnext`, ' guess']]).lines('dim'), ['', '     guess'])
  })

  it('lets no control sequence of the model reach the terminal, and shows it instead', () => {
    const screen = show(60, 4, [['a\u{1b}[2Jb\u{9b}c\u{7}d', '\u{1b}]0;title\u{7}']])
    assert.deepEqual(screen.lines('plain'), ['a␛[2Jb\u{fffd}c␇d'])
  })

  it('expands tabs to multiples of eight', () => {
    assert.deepEqual(show(40, 4, [['ab\tc\n\td', '\te']]).lines(), ['ab      c', '        d       e'])
  })

  it('ends the line on finish, and only when it is not empty', () => {
    assert.deepEqual(show(20, 4, [['abc', 'tail']], true).cursor, { row: 1, column: 0 })
    assert.deepEqual(show(20, 4, [['abc\n', 'tail']], true).cursor, { row: 1, column: 0 })
  })

  it('draws the tail again after a resize', () => {
    const out = { columns: 20, rows: 5, text: '', write: (text: string) => (out.text += text) }
    const live = new LiveText(out, { wrap: true })
    live.update('committed', ' tail')
    out.columns = 11
    out.text = ''
    live.resize()
    const screen = new VtScreen(11, 5, width)
    screen.write(`committed${out.text}`)
    assert.deepEqual(screen.lines('plain'), ['committed'])
    assert.deepEqual(screen.lines(), ['committed', 'tail'])
  })

  const unit = fc.constantFrom(
    'a',
    'b',
    ' ',
    ' ',
    '.',
    '\n',
    '漢',
    '字',
    'é',
    'e\u{301}',
    '😀',
    '한',
    '👩\u{200d}👧',
    '🇫🇷',
    '\t',
    '…',
  )
  const piece = fc.string({ unit, maxLength: 25 })
  const updates = fc.array(fc.tuple(piece, piece), { maxLength: 12 })

  const sizes = [fc.integer({ min: 2, max: 17 }), fc.integer({ min: 1, max: 6 })] as const
  const atOnce = (columns: number, rows: number, committed: string) => show(columns, rows, [[committed, '']])
  const unspaced = (lines: readonly string[]) => lines.join('').replaceAll(/\s/g, '')

  it('after any updates the plain cells hold the committed text, and nothing else', () => {
    fc.assert(
      fc.property(updates, ...sizes, (steps, columns, rows) => {
        const committed = steps.map(([text]) => text).join('')
        const expected = unspaced(atOnce(columns, rows, committed).lines())
        assert.equal(unspaced(show(columns, rows, steps).lines('plain')), expected)
        assert.equal(unspaced(show(columns, rows, steps, true).lines()), expected)
      }),
      { numRuns: 400 },
    )
  })

  it('after any updates the rows are those of the same text in one piece', () => {
    const certain = fc.string({ unit: fc.constantFrom(...'ab  .\n漢字éh😀한\t…」'), maxLength: 25 })
    fc.assert(
      fc.property(fc.array(fc.tuple(certain, certain), { maxLength: 12 }), ...sizes, (steps, columns, rows) => {
        const committed = steps.map(([text]) => text).join('')
        const expected = atOnce(columns, rows, committed)
        const screen = show(columns, rows, [...steps, ['', '']])
        assert.deepEqual(screen.lines('plain'), expected.lines())
        assert.deepEqual(screen.cursor, expected.cursor)
      }),
      { numRuns: 400 },
    )
  })

  it('keeps committed text on a terminal that draws emoji sequences narrower', () => {
    const narrow = (character: string) => (/\p{Regional_Indicator}/u.test(character) ? 1 : width(character))
    fc.assert(
      fc.property(updates, fc.integer({ min: 2, max: 17 }), (steps, columns) => {
        const screen = new VtScreen(columns, 5, narrow)
        const live = new LiveText(screen, { wrap: true })
        for (const [committed, tail] of steps) live.update(committed, tail)
        live.finish()
        const expected = new VtScreen(columns, 5, narrow)
        new LiveText(expected, { wrap: true }).update(steps.map(([text]) => text).join(''), '')
        assert.equal(unspaced(screen.lines()), unspaced(expected.lines()))
      }),
      { numRuns: 200 },
    )
  })
})
