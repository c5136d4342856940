import { StreamLanguage, type StreamParser } from '@codemirror/language'
import { classHighlighter, highlightCode } from '@lezer/highlight'

type Language = StreamLanguage<unknown>

// Each comes when it is wanted.
const clike = () => import('@codemirror/legacy-modes/mode/clike')
const script = () => import('@codemirror/legacy-modes/mode/javascript')
const parsers: Readonly<Record<string, () => Promise<StreamParser<unknown>>>> = {
  c: async () => (await clike()).c,
  cpp: async () => (await clike()).cpp,
  css: async () => (await import('@codemirror/legacy-modes/mode/css')).css,
  go: async () => (await import('@codemirror/legacy-modes/mode/go')).go,
  java: async () => (await clike()).java,
  javascript: async () => (await script()).javascript,
  json: async () => (await script()).json,
  python: async () => (await import('@codemirror/legacy-modes/mode/python')).python,
  rust: async () => (await import('@codemirror/legacy-modes/mode/rust')).rust,
  shell: async () => (await import('@codemirror/legacy-modes/mode/shell')).shell,
  sql: async () => (await import('@codemirror/legacy-modes/mode/sql')).standardSQL,
  typescript: async () => (await script()).typescript,
}

/** The languages that have colours. */
export const languageNames: readonly string[] = Object.keys(parsers)

const aliases: Readonly<Record<string, string>> = {
  js: 'javascript',
  jsx: 'javascript',
  mjs: 'javascript',
  ts: 'typescript',
  tsx: 'typescript',
  py: 'python',
  sh: 'shell',
  bash: 'shell',
  console: 'shell',
  'c++': 'cpp',
  rs: 'rust',
}

const loaded = new Map<string, Promise<Language>>()

/** The language of a name as it stands behind a fence, where it is one of ours. */
export function languageOf(name: string): Promise<Language> | undefined {
  const key = aliases[name.toLowerCase()] ?? name.toLowerCase()
  const parser = Object.hasOwn(parsers, key) ? parsers[key] : undefined
  if (parser === undefined) return undefined
  const known = loaded.get(key) ?? parser().then((parser) => StreamLanguage.define(parser))
  loaded.set(key, known)
  return known
}

/** Tells code piece by piece, each with its classes. */
export function tell(code: string, language: Language, put: (text: string, classes: string) => void): void {
  highlightCode(code, language.parser.parse(code), classHighlighter, put, () => put('\n', ''))
}
