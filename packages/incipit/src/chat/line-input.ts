import { createInterface, type Interface } from 'node:readline'
import { PassThrough } from 'node:stream'
import type { ReadStream, WriteStream } from 'node:tty'
import pc from 'picocolors'
import { fit, Layout } from '../terminal/layout.ts'
import { Printable } from '../terminal/printable.ts'
import { wrap } from '../terminal/wrap.ts'
import { KeyFilter, lineEnd, markPastes, unmarkPastes } from './key-filter.ts'

const esc = '\u{1b}'
const ctrlC = '\u{3}'
/** The sign before the line, by how much of the message is read. */
const signs = ['○', '◔', '◑', '◕', '●'] as const
/** More characters at once are a paste. */
const pasted = 40
const longestHistory = 500
/** The sign follows no faster than this, in milliseconds. */
const signMs = 80

/**
 * Messages from a terminal, edited by Node's readline: history, word movements, Ctrl-R's relatives. While one is written
 * its text is told with every key, a sign before it says how much the model has read, and below it stands dim what the
 * reply would begin with.
 */
export class LineInput {
  readonly #stdin: ReadStream
  readonly #stdout: WriteStream
  readonly #onText: (text: string) => void
  readonly #complete: (line: string) => string[]
  readonly #filter = new KeyFilter()
  #history: string[] = []
  #editor: Interface | undefined
  #keys: PassThrough | undefined
  /** Lines that end with a backslash, before the one that is edited. */
  #above: string[] = []
  /** What was typed while nobody asked for it. */
  #ahead = ''
  /** Ctrl-C was the last key, and there was nothing to forget: once more is the end. */
  #ending = false
  #onInterrupt: (() => void) | undefined
  #share = 0
  #preview = ''
  #timer: NodeJS.Timeout | undefined
  readonly #take: (data: Buffer) => void

  /**
   * @param onText told the message with every key
   * @param complete how a line may go on, for the key Tab
   */
  constructor(
    stdin: ReadStream,
    stdout: WriteStream,
    onText: (text: string) => void,
    complete: (line: string) => string[],
  ) {
    this.#stdin = stdin
    this.#stdout = stdout
    this.#onText = onText
    this.#complete = complete
    const decoder = new TextDecoder()
    this.#take = (data) => this.#receive(decoder.decode(data, { stream: true }))
    stdin.setRawMode(true)
    stdin.on('data', this.#take)
    stdout.write(markPastes)
  }

  /** The next message; undefined when there will be none (Ctrl-D). */
  next(): Promise<string | undefined> {
    this.#above = []
    return new Promise((resolve) => {
      const keys = new PassThrough()
      const editor = createInterface({
        input: keys,
        output: this.#stdout,
        terminal: true,
        prompt: this.#prompt(),
        history: [...this.#history],
        historySize: longestHistory,
        escapeCodeTimeout: 50,
        completer: (line: string) => [this.#complete(line), line],
      })
      this.#keys = keys
      this.#editor = editor
      const end = (message: string | undefined) => {
        this.#erasePreview()
        this.#ending = false
        this.#editor = undefined
        this.#keys = undefined
        clearTimeout(this.#timer)
        this.#timer = undefined
        editor.close()
        resolve(message)
      }
      editor.on('line', (line) => {
        if (line.endsWith('\\')) {
          this.#above.push(line.slice(0, -1))
          editor.setPrompt(pc.dim('… '))
          editor.prompt()
          return
        }
        this.#remember([...this.#above, line].join(lineEnd))
        end(this.#messageOf(line))
      })
      editor.on('SIGINT', () => {
        this.#erasePreview()
        const isEmpty = editor.line === '' && this.#above.length === 0
        if (isEmpty && this.#ending) {
          this.#stdout.write('\n')
          end(undefined)
          return
        }
        this.#ending = isEmpty
        if (isEmpty) {
          const hint = '(Ctrl-C again, Ctrl-D or /quit ends the conversation)'
          this.#stdout.write(`\n${pc.dim(wrap(hint, this.#stdout.columns))}\n`)
        }
        this.#above = []
        // It goes where it stands, however many rows it has; Ctrl-Y brings it back.
        editor.write(null, { ctrl: true, name: 'e' })
        editor.write(null, { ctrl: true, name: 'u' })
        editor.setPrompt(this.#prompt())
        editor.prompt()
        this.#onText('')
      })
      editor.on('close', () => {
        if (this.#editor === editor) end(undefined)
      })
      editor.prompt()
      this.#feed(keys, this.#ahead)
      this.#ahead = ''
    })
  }

  /** How much of the message is read, 0 to 1. */
  read(share: number): void {
    this.#share = share
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#redraw()
    }, signMs)
  }

  /** What the reply would begin with. */
  preview(text: string): void {
    this.#preview = text
    if (this.#editor) this.#redraw()
  }

  /** While a reply is written: Ctrl-C calls this, and other keys wait for the next message. */
  duringReply(onInterrupt: (() => void) | undefined): void {
    this.#onInterrupt = onInterrupt
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#stdin.off('data', this.#take)
    this.#stdin.setRawMode(false)
    this.#stdin.pause()
    this.#stdout.write(unmarkPastes)
  }

  #receive(data: string): void {
    const keys = this.#filter.push(data)
    if (keys === '') return
    if (!this.#keys) {
      if (keys.includes(ctrlC)) {
        this.#ahead = ''
        this.#onInterrupt?.()
      } else this.#ahead += keys
      return
    }
    if (keys.replaceAll(ctrlC, '') !== '') this.#ending = false
    this.#feed(this.#keys, keys)
    // The editor reads its stream in the next turns; then its line is the new one.
    setImmediate(() => setImmediate(() => this.#changed()))
  }

  /**
   * One by one: of several characters at once readline does not notice that they begin a new row. But it measures the whole
   * line with each, so a paste goes in whole, and the line is drawn again.
   */
  #feed(keys: PassThrough, text: string): void {
    if (text.length <= pasted || /\p{Cc}/u.test(text)) {
      for (const key of text) keys.write(key)
      return
    }
    this.#editor?.write(text)
    this.#editor?.prompt(true)
  }

  #changed(): void {
    if (!this.#editor) return
    this.#onText(this.#messageOf(this.#editor.line))
    this.#drawPreview()
  }

  /** A message is one entry of the history, however many lines it has. */
  #remember(line: string): void {
    if (line.trim() === '') return
    this.#history = [line, ...this.#history.filter((other) => other !== line)].slice(0, longestHistory)
  }

  #messageOf(line: string): string {
    return [...this.#above, line].join('\n').replaceAll(lineEnd, '\n')
  }

  #prompt(): string {
    // Before anything is typed only the template is read.
    const share = this.#editor?.line ? this.#share : 0
    const sign = signs[Math.min(signs.length - 1, Math.floor(share * (signs.length - 1)))]!
    return `${pc.dim(sign)} `
  }

  #redraw(): void {
    const editor = this.#editor
    if (!editor) return
    if (this.#above.length === 0) editor.setPrompt(this.#prompt())
    // Draws the line again and erases what is below it, the cursor where it was.
    editor.prompt(true)
    this.#drawPreview()
  }

  /** One line below the message, dim; the cursor comes back. Only behind its end: nowhere else it is known what is below. */
  #drawPreview(): void {
    const editor = this.#editor
    if (!editor || editor.cursor !== editor.line.length) return
    const flat = new Printable().push(this.#preview.replaceAll(/\s+/g, ' ').trim())
    if (flat === '') return
    const { columns } = this.#stdout
    const whole = fit(new Layout(columns - 2), flat, 0).text
    const text = whole === flat ? whole : `${whole}…`
    // The row is made before the cursor is saved: a scroll in between would bring it back to another one.
    this.#stdout.write(`${esc}D${esc}[A${esc}7\r\n${esc}[2K${pc.dim(text)}${esc}8`)
  }

  #erasePreview(): void {
    this.#preview = ''
    // The cursor stands in the message, or below it after Enter; what is behind it there was the preview.
    this.#stdout.write(`${esc}[J`)
  }
}
