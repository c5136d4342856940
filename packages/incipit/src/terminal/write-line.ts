/** Writes a line for people: on a terminal it breaks between words. */
export async function writeLine(stream: NodeJS.WriteStream, line: string): Promise<void> {
  if (!stream.isTTY) stream.write(`${line}\n`)
  else {
    const { wrap } = await import('./wrap.ts')
    stream.write(`${wrap(line, stream.columns)}\n`)
  }
}
