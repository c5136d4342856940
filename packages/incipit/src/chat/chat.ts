import { createInterface } from 'node:readline'
import type { InputOptions } from '@incipit/engine/api'
import pc from 'picocolors'
import { failureLine } from '../failure.ts'
import { replyOutputs } from '../reply/output.ts'
import { wrapMarkdown } from '../terminal/word-wrap.ts'
import { wrap } from '../terminal/wrap.ts'
import { writeLine } from '../terminal/write-line.ts'
import { commandOf, completions, runCommand } from './commands.ts'
import { type ChatSettings, Conversation, type Engines } from './conversation.ts'
import { LineInput } from './line-input.ts'

export interface ChatOptions {
  model: string | undefined
  settings: ChatSettings
  sampling: InputOptions
  engines: Engines
}

/** Where messages come from. */
interface Messages {
  next(): Promise<string | undefined>
  /** Ctrl-C while a reply is written. */
  duringReply(onInterrupt: (() => void) | undefined): void
  read(share: number): void
  preview(text: string): void
  close(): void
}

/** Talks until the user ends it. */
export async function chat({ model, settings, sampling, engines }: ChatOptions): Promise<void> {
  const { stdin, stdout } = process
  const live = stdin.isTTY && stdout.isTTY && process.env.TERM !== 'dumb'
  let messages: Messages | undefined
  const conversation = await Conversation.begin(engines, {
    model,
    settings,
    sampling,
    events: { read: (share) => messages?.read(share), preview: (text) => messages?.preview(text) },
  })
  const say = (text: string, markdown = false) => {
    const lines = markdown ? wrapMarkdown : wrap
    stdout.write(`${live ? pc.dim(lines(text, stdout.columns)) : text}\n`)
  }
  try {
    const { info } = conversation.engine
    if (live) say(`${info.name}. It reads while you type; /help says more.`)
    if (!info.hasChatTemplate)
      await writeLine(process.stderr, `incipit: ${info.name} has no chat template: it continues the text`)
    messages = live
      ? new LineInput(stdin, stdout, (text) => revise(conversation, text, messages), completions)
      : plainLines()
    for (let line = await messages.next(); line !== undefined; line = await messages.next()) {
      const command = commandOf(line)
      if (command?.name === 'quit') break
      if (line.trim() === '') continue
      if (command) await obey(conversation, command, say)
      else await answer(conversation, line.replace(/^\/\//, '/'), messages)
    }
  } finally {
    messages?.close()
    await conversation.close()
  }
}

/** What is for the program is not for the model to read. */
function revise(conversation: Conversation, text: string, messages: Messages | undefined): void {
  const isCommand = text.startsWith('/') && !text.startsWith('//')
  conversation.revise(isCommand ? '' : text.replace(/^\/\//, '/'))
  if (isCommand) messages?.read(0)
}

async function obey(
  conversation: Conversation,
  { name, argument }: { name: string; argument: string },
  say: (text: string, markdown: boolean) => void,
): Promise<void> {
  try {
    const { text, markdown } = await runCommand(conversation, name, argument)
    say(text, markdown)
  } catch (error) {
    await complain(error)
  }
}

function complain(error: unknown): Promise<void> {
  return writeLine(process.stderr, `incipit: ${failureLine(error)}`)
}

async function answer(conversation: Conversation, text: string, messages: Messages): Promise<void> {
  const controller = new AbortController()
  messages.duringReply(() => controller.abort())
  const outputs = await replyOutputs(process.stdout, { json: false })
  const output = outputs({ lossy: conversation.lossy, wrap: !conversation.isCode })
  let failure: unknown
  try {
    for await (const event of conversation.send(text, controller.signal)) await output.event(event)
  } catch (error) {
    failure = error
  }
  output.close()
  messages.duringReply(undefined)
  if (output.midLine()) process.stdout.write('\n')
  if (failure !== undefined) await complain(failure)
  if (controller.signal.aborted && process.stdout.isTTY) process.stdout.write(`${pc.dim('(stopped)')}\n`)
  if (process.stdout.isTTY) process.stdout.write('\n')
}

/** Without a terminal: one message a line, nothing is shown but the replies. */
function plainLines(): Messages {
  const lines = createInterface({ input: process.stdin })
  const iterator = lines[Symbol.asyncIterator]()
  let interrupt: (() => void) | undefined
  const onSignal = () => {
    if (interrupt) interrupt()
    else process.exit(130)
  }
  process.on('SIGINT', onSignal)
  return {
    async next() {
      const { value, done } = await iterator.next()
      return done ? undefined : value
    },
    duringReply(onInterrupt) {
      interrupt = onInterrupt
    },
    read() {},
    preview() {},
    close() {
      process.off('SIGINT', onSignal)
      lines.close()
    },
  }
}
