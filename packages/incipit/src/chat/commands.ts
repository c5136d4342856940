import { existsSync, statSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { type ChatMessage, type Policy, policies, type TierName, tierNames, tiers } from '@incipit/engine/api'
import { UsageError } from '../failure.ts'
import { summary } from '../reply/summary.ts'
import type { Conversation } from './conversation.ts'

interface ChatCommand {
  readonly argument?: string
  /** What the argument may be. */
  readonly choices?: readonly string[]
  readonly about: string
  /** What it prints is what people and models wrote, in Markdown; otherwise it is a message of the program. */
  readonly markdown?: true
  /**
   * @returns what is to be printed
   * @throws UsageError for a wrong argument; whatever the conversation throws
   */
  run(conversation: Conversation, argument: string): string | Promise<string>
}

/** What one may say to the program instead of to the model. */
const commands: Readonly<Record<string, ChatCommand>> = {
  help: {
    about: 'this list',
    run: () => help(),
  },
  model: {
    argument: '[name]',
    about: 'say which model answers, or go on with another one',
    async run(conversation, name) {
      if (name !== '') await conversation.changeModel(name)
      const { info } = conversation.engine
      return `${info.name} (${info.description}, context ${info.contextLength} tokens)`
    },
  },
  policy: {
    argument: '[name]',
    choices: policies,
    about: `what is shown: ${policies.join(', ')}`,
    run(conversation, name) {
      if (name !== '') conversation.change({ policy: oneOf<Policy>(name, policies, 'policy') })
      return `policy ${conversation.settings.policy}${conversation.lossy ? ' (LOSSY: text may differ from the model’s)' : ''}`
    },
  },
  tier: {
    argument: '[name]',
    choices: tierNames,
    about: `how soon the first word is wanted: ${tierNames.join(', ')}`,
    run(conversation, name) {
      if (name !== '') conversation.change({ tier: oneOf<TierName>(name, tierNames, 'tier') })
      const { tier } = conversation.settings
      return `tier ${tier}, first word wanted within ${tiers[tier].ttftMs} ms`
    },
  },
  system: {
    argument: '[text]',
    about: 'say the system message, or set it; - removes it',
    run(conversation, text) {
      if (text !== '') conversation.change({ system: text === '-' ? '' : text })
      return conversation.settings.system || 'no system message'
    },
  },
  stats: {
    about: 'what the last reply took, and what the engine has done',
    run({ engine, last, lossy }) {
      const stats = engine.stats()
      const proposers = Object.entries(stats.proposers).map(
        ([name, { accepted, drafted }]) => `${name} ${accepted} of ${drafted}`,
      )
      return [
        ...(last ? [summary(last, lossy)] : []),
        `${stats.promptTokens} prompt tokens, ${stats.cachedTokens} of them not computed again | ` +
          `${stats.generatedTokens} reply tokens | guesses right: ${proposers.join(', ') || 'none made'}`,
      ].join('\n')
    },
  },
  save: {
    argument: '<file>',
    about: 'write the conversation to a file',
    async run({ settings, turns }, file) {
      if (file === '') throw new UsageError('/save needs a file')
      await save(atHome(file), { incipit: 1, system: settings.system, turns })
      return `${turns.length} turns are in ${file}`
    },
  },
  load: {
    argument: '<file>',
    about: 'go on with a conversation from a file',
    markdown: true,
    async run(conversation, file) {
      if (file === '') throw new UsageError('/load needs a file')
      const { system, turns } = await saved(atHome(file))
      conversation.change({ system })
      conversation.restore(turns)
      // As they stood there when they were said.
      return turns.map(({ role, content }) => (role === 'user' ? `> ${content}` : `${content}\n`)).join('\n')
    },
  },
  new: {
    about: 'begin anew',
    run(conversation) {
      conversation.restore([])
      return 'a new conversation'
    },
  },
  quit: { about: 'the end, as Ctrl-D is', run: () => '' },
}

/** A line that is for the program: `/name argument`. Two slashes at its beginning are for the model, as one. */
export function commandOf(line: string): { name: string; argument: string } | undefined {
  const [, name, argument = ''] = /^\/([a-z]*)(?:\s+([\s\S]*))?$/.exec(line) ?? []
  return name === undefined ? undefined : { name, argument: argument.trim() }
}

/** How a line that is for the program may go on. */
export function completions(line: string): string[] {
  const [, name = '', argument] = /^\/([a-z]*)( \S*)?$/.exec(line) ?? []
  const possible =
    argument === undefined
      ? Object.keys(commands).map((name) => `/${name}`)
      : ((Object.hasOwn(commands, name) && commands[name]?.choices) || []).map((choice) => `/${name} ${choice}`)
  return line.startsWith('/') ? possible.filter((whole) => whole.startsWith(line)) : []
}

/**
 * @returns what is to be printed, and whether it is Markdown
 * @throws UsageError for a command that there is not, and as the command
 */
export async function runCommand(
  conversation: Conversation,
  name: string,
  argument: string,
): Promise<{ text: string; markdown: boolean }> {
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!command) throw new UsageError(`there is no /${name}; /help lists what there is`)
  return { text: await command.run(conversation, argument), markdown: command.markdown === true }
}

function help(): string {
  const entries = Object.entries(commands).map(([name, { argument, about }]): [string, string] => [
    `/${name}${argument ? ` ${argument}` : ''}`,
    about,
  ])
  const keys: [string, string][] = [
    ['Alt-Enter', 'a new line in the message, as a backslash at its end'],
    ['Tab', 'completes a command'],
    ['Ctrl-C', 'stop the reply; at the prompt, forget what is typed; twice, the end'],
    ['Ctrl-D', 'the end'],
  ]
  const width = Math.max(...[...entries, ...keys].map(([left]) => left.length))
  return [...entries, ...keys].map(([left, right]) => `${left.padEnd(width)}  ${right}`).join('\n')
}

interface Saved {
  incipit: 1
  system: string
  turns: ChatMessage[]
}

/** A path as a shell would have read it. */
function atHome(file: string): string {
  return file.replace(/^~(?=\/)/, homedir())
}

/** @throws UsageError when it cannot be written, or another kind of file has that name */
async function save(file: string, conversation: Saved): Promise<void> {
  const isFree = !existsSync(file) || statSync(file).size === 0 || (await saved(file).then(Boolean, () => false))
  if (!isFree) throw new UsageError(`${file} is there, and holds no conversation: it stays as it is`)
  try {
    await writeFile(file, `${JSON.stringify(conversation, undefined, 2)}\n`)
  } catch (error) {
    throw new UsageError(`the conversation cannot be written: ${(error as Error).message}`)
  }
}

/** @throws UsageError when it cannot be read, or is something else */
async function saved(file: string): Promise<Saved> {
  let value: unknown
  try {
    value = JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw new UsageError(`the conversation cannot be read: ${(error as Error).message}`)
  }
  if (!isSaved(value)) throw new UsageError(`${file} holds no conversation that /save has written`)
  return value
}

function isSaved(value: unknown): value is Saved {
  if (typeof value !== 'object' || value === null || !('incipit' in value) || value.incipit !== 1) return false
  const { system, turns } = value as Partial<Saved>
  const isTurn = (turn: ChatMessage) => typeof turn?.role === 'string' && typeof turn.content === 'string'
  return typeof system === 'string' && Array.isArray(turns) && turns.every(isTurn)
}

function oneOf<T extends string>(name: string, known: readonly T[], what: string): T {
  const found = known.find((one) => one === name)
  if (found === undefined) throw new UsageError(`there is no ${what} ${name}; there are ${known.join(', ')}`)
  return found
}
