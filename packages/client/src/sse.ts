/**
 * The data of each server-sent event of a byte stream (WHATWG HTML, section 9.2.6): the `data:` lines of an event
 * joined by line feeds. Lines may end in LF, CRLF or CR, chunks may be cut anywhere. Comments and the fields `event`,
 * `id` and `retry` are skipped; an event that the end of the stream cuts off is dropped, as the standard says.
 * Leaving the loop early cancels the stream.
 */
export async function* parseServerSentEvents(
  stream: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>,
): AsyncGenerator<string, void, undefined> {
  let data: string | undefined
  for await (const line of linesOf(stream)) {
    if (line === '') {
      if (data !== undefined) yield data
      data = undefined
      continue
    }
    const value = dataOf(line)
    if (value !== undefined) data = data === undefined ? value : `${data}\n${value}`
  }
}

/** Value of a `data` field, without the one space after the colon; undefined for every other line. */
function dataOf(line: string): string | undefined {
  if (line === 'data') return ''
  if (!line.startsWith('data:')) return undefined
  return line.slice(line[5] === ' ' ? 6 : 5)
}

async function* linesOf(stream: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>): AsyncGenerator<string> {
  // Drops a byte order mark at the start of the stream and holds back characters that are cut by a chunk.
  const decoder = new TextDecoder()
  let rest = ''
  // A carriage return ends its line at once; a line feed right after it belongs to the same line end.
  let afterReturn = false
  for await (const chunk of chunksOf(stream)) {
    const text = decoder.decode(chunk, { stream: true })
    if (text === '') continue
    const from = afterReturn && text.startsWith('\n') ? 1 : 0
    afterReturn = text.endsWith('\r')
    const lines = (rest + text.slice(from)).split(/\r\n|\n|\r/)
    // Without a line end the last line is unfinished, and so is its event.
    rest = lines.pop() ?? ''
    yield* lines
  }
}

/** Async iteration over a ReadableStream, which not every browser has built in. */
async function* chunksOf(stream: AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  if (!('getReader' in stream)) {
    yield* stream
    return
  }
  const reader = stream.getReader()
  let ended = false
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      yield value
    }
    ended = true
  } finally {
    // A consumer that stops early must not leave the request running. Cancelling a failed stream fails again; the
    // failure itself is already on its way to the consumer.
    if (!ended) await reader.cancel().catch(() => {})
    reader.releaseLock()
  }
}
