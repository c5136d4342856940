import { ConstraintError } from './constraint-error.ts'

/*
 * llama.cpp's grammar notation (GBNF) as llguidance's Lark. There a text is cut into lexemes first, each as long as it can
 * be, while GBNF knows characters only. So whatever is regular becomes one lexeme as far as it reaches: a grammar without
 * recursion is exact, and in others the border between a regular run and a recursive rule may be met later than in GBNF.
 * What is said is always a text of the grammar.
 */

type Node =
  | { readonly kind: 'text'; readonly text: string }
  /** A set of characters as a regular expression. */
  | { readonly kind: 'set'; readonly pattern: string }
  | { readonly kind: 'rule'; readonly name: string }
  | { readonly kind: 'sequence'; readonly nodes: readonly Node[] }
  | { readonly kind: 'choice'; readonly nodes: readonly Node[] }
  | { readonly kind: 'repeat'; readonly node: Node; readonly least: number; readonly most: number | undefined }

/** @throws ConstraintError with the line */
export function gbnfToLark(grammar: string): string {
  const rules = new Parser(grammar).rules()
  if (!rules.has('root')) throw new ConstraintError('the grammar has no rule "root"')
  for (const [name, node] of rules) {
    for (const used of named(node)) {
      if (!rules.has(used)) throw new ConstraintError(`the rule "${name}" uses "${used}", which is not there`)
    }
  }
  return new Writer(rules).lark()
}

function* named(node: Node): Iterable<string> {
  if (node.kind === 'rule') yield node.name
  else if (node.kind === 'repeat') yield* named(node.node)
  else if (node.kind === 'sequence' || node.kind === 'choice') for (const part of node.nodes) yield* named(part)
}

const maxDepth = 200
const word = /[a-zA-Z0-9-]+/y
const bounds = /\{\s*(\d+)\s*(,?)\s*(\d*)\s*\}/y
const begin = /[a-zA-Z0-9-]+\s*::=/y

class Parser {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  rules(): Map<string, Node> {
    const rules = new Map<string, Node>()
    for (this.#space(true); this.#at < this.#text.length; this.#space(true)) {
      const name = this.#match(word)?.[0]
      if (name === undefined) this.#fail('a rule begins with its name')
      this.#space(true)
      if (!this.#take('::=')) this.#fail('"::=" is missing')
      rules.set(name, this.#choice(false))
      if (this.#at < this.#text.length && !/[\r\n]/.test(this.#text[this.#at]!)) this.#fail('unexpected character')
    }
    return rules
  }

  /** @param inside parentheses, where lines may end anywhere */
  #choice(inside: boolean): Node {
    if (++this.#depth > maxDepth) this.#fail('nested too deeply')
    const nodes = [this.#sequence(inside)]
    while (this.#take('|')) nodes.push(this.#sequence(inside))
    this.#depth--
    return nodes.length === 1 ? nodes[0]! : { kind: 'choice', nodes }
  }

  #sequence(inside: boolean): Node {
    const nodes: Node[] = []
    // A line may end behind `::=` and `|`, and before a `|`.
    this.#space(true)
    for (;;) {
      const node = this.#beginsRule() ? undefined : this.#element()
      if (node === undefined) break
      nodes.push(this.#repeated(node))
      this.#space(inside)
    }
    const before = this.#at
    this.#space(true)
    if (this.#text[this.#at] !== '|' && !inside) this.#at = before
    return nodes.length === 1 ? nodes[0]! : { kind: 'sequence', nodes }
  }

  #beginsRule(): boolean {
    begin.lastIndex = this.#at
    return begin.test(this.#text)
  }

  #element(): Node | undefined {
    switch (this.#text[this.#at]) {
      case '"':
        return this.#literal()
      case '[':
        return this.#set()
      case '.':
        this.#at++
        return { kind: 'set', pattern: '(?s:.)' }
      case '(': {
        this.#at++
        const node = this.#choice(true)
        if (!this.#take(')')) this.#fail('")" is missing')
        return node
      }
      case '<':
      case '!':
        return this.#fail('tokens cannot be named here')
      default: {
        const name = this.#match(word)?.[0]
        return name === undefined ? undefined : { kind: 'rule', name }
      }
    }
  }

  #repeated(node: Node): Node {
    for (;;) {
      const sign = this.#text[this.#at]
      if (sign === '*' || sign === '+' || sign === '?') {
        this.#at++
        node = { kind: 'repeat', node, least: sign === '+' ? 1 : 0, most: sign === '?' ? 1 : undefined }
        continue
      }
      if (sign !== '{') return node
      const found = this.#match(bounds)
      if (!found) return this.#fail('a repetition is {n}, {n,} or {n,m}')
      const [, least, comma, most] = found
      node = {
        kind: 'repeat',
        node,
        least: Number(least),
        most: comma === '' ? Number(least) : most === '' ? undefined : Number(most),
      }
    }
  }

  #literal(): Node {
    this.#at++
    let text = ''
    while (this.#text[this.#at] !== '"') text += this.#character('"')
    this.#at++
    return { kind: 'text', text }
  }

  #set(): Node {
    this.#at++
    const not = this.#take('^')
    let pattern = ''
    while (this.#text[this.#at] !== ']') {
      const from = escaped(this.#character(']'))
      const range = this.#text[this.#at] === '-' && this.#text[this.#at + 1] !== ']'
      if (range) this.#at++
      pattern += range ? `${from}-${escaped(this.#character(']'))}` : from
    }
    this.#at++
    if (pattern === '') return not ? { kind: 'set', pattern: '(?s:.)' } : this.#fail('an empty set of characters')
    return { kind: 'set', pattern: `[${not ? '^' : ''}${pattern}]` }
  }

  /** One character, or an escape that stands for one. */
  #character(end: string): string {
    const code = this.#text.codePointAt(this.#at)
    if (code === undefined) this.#fail(`${end} is missing`)
    const character = String.fromCodePoint(code)
    this.#at += character.length
    if (character !== '\\') return character
    const sign = this.#text[this.#at++] ?? ''
    const digits = { x: 2, u: 4, U: 8 }[sign]
    if (digits !== undefined) {
      const hex = this.#text.slice(this.#at, this.#at + digits)
      if (!new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(hex)) this.#fail(`\\${sign} needs ${digits} digits`)
      this.#at += digits
      const value = Number.parseInt(hex, 16)
      if (value > 0x10ffff) this.#fail(`\\${sign}${hex} is no character`)
      return String.fromCodePoint(value)
    }
    const plain: Record<string, string> = { n: '\n', r: '\r', t: '\t' }
    const known = plain[sign] ?? ('"\\[]-^./'.includes(sign) && sign !== '' ? sign : undefined)
    return known ?? this.#fail(`unknown escape \\${sign}`)
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #match(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)
    if (found) this.#at += found[0].length
    return found
  }

  /** Skips blanks and comments, and the ends of lines where they mean nothing. */
  #space(lines: boolean): void {
    const pattern = lines ? /(?:\s|#[^\n]*)*/y : /(?:[ \t]|#[^\n]*)*/y
    this.#match(pattern)
  }

  #fail(message: string): never {
    const line = this.#text.slice(0, this.#at).split('\n').length
    throw new ConstraintError(`line ${line} of the grammar: ${message}`)
  }
}

/** A character of a regular expression between slashes, also in a set. */
function escaped(character: string): string {
  return /[a-zA-Z0-9]/.test(character) ? character : `\\u{${character.codePointAt(0)!.toString(16)}}`
}

class Writer {
  readonly #rules: ReadonlyMap<string, Node>
  /** Rules from which no rule is reached again that is being defined. */
  readonly #regular = new Map<string, boolean>()
  readonly #names: ReadonlyMap<string, number>
  readonly #lines: string[] = []
  #terminals = 0

  constructor(rules: ReadonlyMap<string, Node>) {
    this.#rules = rules
    this.#names = new Map([...rules.keys()].map((name, i) => [name, i]))
  }

  lark(): string {
    for (const [name, node] of this.#rules) {
      const index = this.#names.get(name)!
      if (this.#isRegular({ kind: 'rule', name })) this.#lines.push(`R${index}: ${this.#terminal(node)}`)
      else this.#lines.push(`r${index}: ${this.#rule(node)}`)
    }
    return [`start: ${this.#reference('root')}`, ...this.#lines].join('\n')
  }

  #reference(name: string): string {
    return `${this.#isRegular({ kind: 'rule', name }) ? 'R' : 'r'}${this.#names.get(name)}`
  }

  #isRegular(node: Node): boolean {
    switch (node.kind) {
      case 'text':
      case 'set':
        return true
      case 'repeat':
        return this.#isRegular(node.node)
      case 'sequence':
      case 'choice':
        return node.nodes.every((part) => this.#isRegular(part))
      case 'rule': {
        const known = this.#regular.get(node.name)
        if (known !== undefined) return known
        // Whoever comes back here meanwhile is in a circle.
        this.#regular.set(node.name, false)
        const regular = this.#isRegular(this.#rules.get(node.name)!)
        this.#regular.set(node.name, regular)
        return regular
      }
    }
  }

  /** As the body of a terminal: one lexeme. */
  #terminal(node: Node): string {
    switch (node.kind) {
      case 'text':
        return JSON.stringify(node.text)
      case 'set':
        return `/${node.pattern}/`
      case 'rule':
        return this.#reference(node.name)
      case 'repeat':
        return `(${this.#terminal(node.node)})${sign(node)}`
      case 'sequence':
        return node.nodes.length === 0 ? '""' : node.nodes.map((part) => `(${this.#terminal(part)})`).join(' ')
      case 'choice':
        return node.nodes.map((part) => `(${this.#terminal(part)})`).join(' | ')
    }
  }

  /** As the body of a rule: regular runs become lexemes of their own. */
  #rule(node: Node): string {
    if (this.#isRegular(node)) return this.#lexeme([node])
    switch (node.kind) {
      case 'repeat':
        return `(${this.#rule(node.node)})${sign(node)}`
      case 'choice':
        return node.nodes.map((part) => `(${this.#rule(part)})`).join(' | ')
      case 'sequence': {
        const written: string[] = []
        for (let i = 0; i < node.nodes.length; ) {
          const run = node.nodes.slice(i).findIndex((part) => !this.#isRegular(part))
          const length = run < 0 ? node.nodes.length - i : run
          if (length > 0) written.push(this.#lexeme(node.nodes.slice(i, i + length)))
          else written.push(`(${this.#rule(node.nodes[i]!)})`)
          i += Math.max(1, length)
        }
        return written.join(' ')
      }
      default:
        return node.kind === 'rule' ? this.#reference(node.name) : this.#lexeme([node])
    }
  }

  #lexeme(nodes: readonly Node[]): string {
    const [only] = nodes
    if (nodes.length === 1 && only!.kind === 'rule') return this.#reference(only!.name)
    if (nodes.length === 1 && only!.kind === 'sequence' && only!.nodes.length === 0) return '""'
    const name = `L${this.#terminals++}`
    this.#lines.push(`${name}: ${this.#terminal({ kind: 'sequence', nodes })}`)
    return name
  }
}

function sign({ least, most }: Extract<Node, { kind: 'repeat' }>): string {
  if (most === undefined) return least === 0 ? '*' : least === 1 ? '+' : `{${least},}`
  return least === 0 && most === 1 ? '?' : `{${least},${most}}`
}
