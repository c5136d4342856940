import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { parseServerSentEvents } from './sse.ts'

async function* chunks(parts: Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* parts
}

async function parse(...parts: string[]): Promise<string[]> {
  return Array.fromAsync(parseServerSentEvents(chunks(parts.map((part) => new TextEncoder().encode(part)))))
}

test('each event gives its data', async () => {
  assert.deepEqual(await parse('data: one\n\ndata: {"two": 2}\n\n'), ['one', '{"two": 2}'])
})

test('data lines of one event are joined by line feeds', async () => {
  assert.deepEqual(await parse('data: a\ndata:\ndata: b\n\n'), ['a\n\nb'])
})

test('only the first space after the colon is dropped', async () => {
  assert.deepEqual(await parse('data:a\n\ndata:  b \n\ndata\n\ndata:\n\n'), ['a', ' b ', '', ''])
})

test('lines end in LF, CRLF or CR', async () => {
  assert.deepEqual(await parse('data: a\r\n\r\ndata: b\r\rdata: c\n\n'), ['a', 'b', 'c'])
})

test('comments, other fields and empty events give nothing', async () => {
  assert.deepEqual(await parse(': ping\n\nevent: x\nid: 1\nretry: 5\ndatabase: no\n\n: c\ndata: a\nevent: y\n\n\n\n'), [
    'a',
  ])
})

test('an event that the end cuts off is dropped', async () => {
  assert.deepEqual(await parse('data: a\n\ndata: b\n'), ['a'])
  assert.deepEqual(await parse('data: a\n\ndata: b'), ['a'])
})

test('a byte order mark at the start is not part of the first line', async () => {
  assert.deepEqual(await parse('\ufeffdata: a\n\n'), ['a'])
})

test('an event is given as soon as its empty line is there, even before the second half of CRLF', async () => {
  for (const ending of ['\n\n', '\r\n\r\n', '\r\r', '\r\n\r']) {
    let more = false
    const stream = (async function* () {
      yield new TextEncoder().encode(`data: a${ending}`)
      more = true
      yield new TextEncoder().encode('\ndata: b\n\n')
    })()
    const events = parseServerSentEvents(stream)
    assert.equal((await events.next()).value, 'a')
    assert.equal(more, false, JSON.stringify(ending))
    assert.equal((await events.next()).value, 'b')
  }
})

test('chunks may be cut at any byte', async () => {
  const line = fc.oneof(
    fc.string({ unit: fc.constantFrom('a', 'é', '€', '😀', ' ', ':') }).map((text) => `data: ${text}`),
    fc.constantFrom('', '', ': comment', 'event: x', 'data', 'data:é'),
  )
  const text = fc
    .array(fc.tuple(line, fc.constantFrom('\n', '\r\n', '\r')), { maxLength: 12 })
    .map((lines) => lines.map(([content, end]) => content + end).join(''))
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(120)), async (source, cuts) => {
      const bytes = new TextEncoder().encode(source)
      const bounds = [0, ...cuts.filter((cut) => cut < bytes.length).sort((a, b) => a - b), bytes.length]
      const parts = bounds.slice(1).map((end, i) => bytes.subarray(bounds[i]!, end))
      const whole = await Array.fromAsync(parseServerSentEvents(chunks([bytes])))
      assert.deepEqual(await Array.fromAsync(parseServerSentEvents(chunks(parts))), whole)
      const single = Array.from(bytes, (byte) => Uint8Array.of(byte))
      assert.deepEqual(await Array.fromAsync(parseServerSentEvents(chunks(single))), whole)
    }),
    { numRuns: full ? 300 : 80 },
  )
})

test('any data comes back as it was sent', async () => {
  const value = fc.string({ unit: fc.constantFrom('a', '€', ' ', ':', '\n', '😀') })
  await fc.assert(
    fc.asyncProperty(fc.array(value), fc.constantFrom('\n', '\r\n', '\r'), async (values, end) => {
      const source = values
        .map(
          (data) =>
            data
              .split('\n')
              .map((line) => `data: ${line}${end}`)
              .join('') + end,
        )
        .join('')
      assert.deepEqual(await parse(source), values)
    }),
  )
})

test('a ReadableStream is read, and cancelled when the loop is left early', async () => {
  let cancelled = false
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      controller.enqueue(new TextEncoder().encode('data: a\n\n'))
    },
    cancel() {
      cancelled = true
    },
  })
  for await (const data of parseServerSentEvents(stream)) {
    assert.equal(data, 'a')
    break
  }
  assert.equal(cancelled, true)
  assert.equal(stream.locked, false)
})

test('a stream that fails fails the loop with the same error', async () => {
  const failure = new Error('connection reset')
  const stream = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.error(failure)
    },
  })
  await assert.rejects(Array.fromAsync(parseServerSentEvents(stream)), failure)
})
