/** A run of tokens that all holders below it share. */
interface Node<T> {
  readonly tokens: readonly number[]
  readonly children: Map<number, Node<T>>
  /** Everybody whose tokens pass through this node. */
  readonly holders: Set<T>
}

/**
 * A radix tree over token lists: who holds the longest beginning of a prompt? Each namespace has a tree of its own, so
 * that no tenant can find, or time, another one's prompts.
 */
export class PrefixTree<T> {
  readonly #roots = new Map<string, Node<T>>()
  readonly #held = new Map<T, { namespace: string; tokens: readonly number[] }>()

  /** Enters a holder, in place of what it held before. The tokens are copied. */
  set(holder: T, namespace: string, tokens: readonly number[]): void {
    this.delete(holder)
    if (tokens.length === 0) return
    const copy = [...tokens]
    this.#held.set(holder, { namespace, tokens: copy })
    let root = this.#roots.get(namespace)
    if (root === undefined) {
      root = node([])
      this.#roots.set(namespace, root)
    }
    root.holders.add(holder)
    let parent = root
    for (let position = 0; position < copy.length; ) {
      let child = parent.children.get(copy[position]!)
      if (child === undefined) {
        child = node(copy.slice(position))
        parent.children.set(copy[position]!, child)
      }
      const same = agreement(child.tokens, copy, position)
      if (same < child.tokens.length) child = split(parent, child, same)
      child.holders.add(holder)
      position += same
      parent = child
    }
  }

  /** Takes a holder out. */
  delete(holder: T): void {
    const held = this.#held.get(holder)
    if (held === undefined) return
    this.#held.delete(holder)
    const root = this.#roots.get(held.namespace)!
    root.holders.delete(holder)
    if (root.holders.size === 0) this.#roots.delete(held.namespace)
    let parent = root
    for (let position = 0; position < held.tokens.length; ) {
      const child = parent.children.get(held.tokens[position]!)!
      child.holders.delete(holder)
      if (child.holders.size === 0) {
        parent.children.delete(held.tokens[position]!)
        return
      }
      position += child.tokens.length
      parent = child
    }
  }

  /**
   * The holder that can give most of a prompt's beginning.
   * @param usable how many of a holder's tokens can be used now, of so many that agree
   * @param preferred of those who give as many
   * @returns the holder and how many tokens it gives, or undefined when nobody gives any
   */
  longest(
    namespace: string,
    tokens: readonly number[],
    usable: (holder: T, agreed: number) => number,
    preferred: (holder: T) => boolean = () => true,
  ): { holder: T; length: number } | undefined {
    let best: { holder: T; length: number } | undefined
    let found = false
    for (const { holders, depth } of this.#path(namespace, tokens).reverse()) {
      if (best && (best.length > depth || (best.length === depth && found))) break
      for (const holder of holders) {
        const length = Math.min(depth, usable(holder, depth))
        if (length === 0 || length < (best?.length ?? 0)) continue
        if (length === best?.length && (found || !preferred(holder))) continue
        best = { holder, length }
        found = preferred(holder)
      }
    }
    return best
  }

  /** Holders whose whole list is a beginning of these tokens. */
  *within(namespace: string, tokens: readonly number[]): Iterable<T> {
    for (const { holders, depth } of this.#path(namespace, tokens)) {
      for (const holder of holders) if (this.#held.get(holder)!.tokens.length === depth) yield holder
    }
  }

  /** The nodes that agree with the tokens, from the root on, and how many tokens agree up to their end. */
  #path(namespace: string, tokens: readonly number[]): { holders: ReadonlySet<T>; depth: number }[] {
    const path: { holders: ReadonlySet<T>; depth: number }[] = []
    let current = this.#roots.get(namespace)
    for (let depth = 0; current !== undefined && depth < tokens.length; ) {
      const child: Node<T> | undefined = current.children.get(tokens[depth]!)
      if (child === undefined) break
      const same = agreement(child.tokens, tokens, depth)
      depth += same
      path.push({ holders: child.holders, depth })
      if (same < child.tokens.length) break
      current = child
    }
    return path
  }
}

function node<T>(tokens: readonly number[]): Node<T> {
  return { tokens, children: new Map(), holders: new Set() }
}

/** How many tokens of a node agree with `tokens` from `position` on. */
function agreement(run: readonly number[], tokens: readonly number[], position: number): number {
  const end = Math.min(run.length, tokens.length - position)
  let i = 0
  while (i < end && run[i] === tokens[position + i]) i++
  return i
}

/** Puts a node for the first `length` tokens of `child` between it and its parent. */
function split<T>(parent: Node<T>, child: Node<T>, length: number): Node<T> {
  const upper: Node<T> = {
    tokens: child.tokens.slice(0, length),
    children: new Map(),
    holders: new Set(child.holders),
  }
  const lower: Node<T> = { ...child, tokens: child.tokens.slice(length) }
  upper.children.set(lower.tokens[0]!, lower)
  parent.children.set(upper.tokens[0]!, upper)
  return upper
}
