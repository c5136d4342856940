import { lexer, type Token, type Tokens } from 'marked'
import type { ComponentChildren, VNode } from 'preact'
import { CopyButton } from '../ui/copy-button.tsx'
import { memo } from '../ui/memo.ts'
import { highlighted } from './highlight.ts'

/** Stands where the committed text ends: private use, so it is nobody's text and no Markdown. */
const boundary = '\u{E000}'

/**
 * A reply as Markdown: what is committed in ink, what is provisional in grey. The text is read into a tree and the tree
 * becomes nodes of ours: whatever a model writes stays text, HTML too. Where Markdown ends nothing moves: a tail is laid
 * out as it would be if it were final.
 */
export const Markdown = memo(function Markdown({ committed, provisional }: { committed: string; provisional: string }) {
  const clean = committed.replaceAll(boundary, '')
  const tail = provisional.replaceAll(boundary, '')
  const source = clean + (clean === '' || tail === '' ? tail : withBoundary(clean, tail))
  return <div class="markdown">{new Renderer(clean === '').blocks(lexer(source))}</div>
})

/** What makes a line a quotation, a list, a heading or a fence, and where that is all of a line so far. */
const fence = '(?:`{3,}|~{3,})[^\\n]*(?:\\n|$)'
const block = '(?:>\\s?|[-*+]\\s+|\\d{1,9}[.)]\\s+|#{1,6}\\s+)'
const lineBegins = new RegExp(`^\\s*(?:${fence}\\s*)?${block}*`)
const onlySyntax = /^[\s>*+\-#`~]*(?:\d{1,9}[.)]?\s*)?$/

/**
 * A tail with the boundary in it: behind the signs that give its first line its form, or the form would be another until
 * they are final. Such signs are not seen, so nobody sees them too early.
 */
function withBoundary(committed: string, tail: string): string {
  const line = committed.slice(committed.lastIndexOf('\n') + 1)
  const signs = onlySyntax.test(line) ? lineBegins.exec(line + tail)![0].length - line.length : 0
  // Between two signs of one kind, as in **, is no place either.
  const run = /[*_`~]$/.test(committed) ? /^[*_`~]*/.exec(tail)![0].length : 0
  const at = Math.max(0, signs, run)
  return tail.slice(at).trim() === '' ? tail : tail.slice(0, at) + boundary + tail.slice(at)
}

class Renderer {
  /** Everything from here on is provisional. */
  #tail: boolean

  constructor(tail: boolean) {
    this.#tail = tail
  }

  /** What scrolls must be reachable with keys; but a text that is only provisional is not read aloud, and has nothing of the kind. */
  get #tabIndex(): 0 | -1 {
    return this.#tail ? -1 : 0
  }

  blocks(tokens: readonly Token[]): ComponentChildren {
    return tokens.map((token) => this.#block(token as Tokens.Generic))
  }

  #block(token: Tokens.Generic): ComponentChildren {
    switch (token.type) {
      case 'heading': {
        // A reply stands below the headings of the page.
        const Level = `h${Math.min(6, token.depth + 2)}` as 'h3'
        return <Level>{this.#inlines(token.tokens)}</Level>
      }
      case 'paragraph':
        return <p>{this.#inlines(token.tokens)}</p>
      case 'code':
        return this.#code(token as Tokens.Code)
      case 'blockquote':
        return <blockquote>{this.blocks(token.tokens ?? [])}</blockquote>
      case 'list':
        return this.#list(token as Tokens.List)
      case 'table':
        return this.#table(token as Tokens.Table)
      case 'hr':
        return <hr />
      case 'space':
        return this.#text(token.raw.includes(boundary) ? boundary : '')
      case 'text':
        return token.tokens ? this.#inlines(token.tokens) : this.#text(token.text)
      default:
        // HTML and definitions: as they are written.
        return <p>{this.#text(token.raw)}</p>
    }
  }

  #list({ ordered, start, items }: Tokens.List): VNode {
    const children = items.map((item) => <li>{this.blocks(item.tokens)}</li>)
    return ordered ? <ol start={start === '' ? 1 : start}>{children}</ol> : <ul>{children}</ul>
  }

  #table({ header, rows, align }: Tokens.Table): VNode {
    const cells = (row: Tokens.TableCell[], Cell: 'th' | 'td') =>
      row.map(({ tokens }, i) => <Cell style={{ textAlign: align[i] ?? 'start' }}>{this.#inlines(tokens)}</Cell>)
    return (
      <section class="scroll" tabIndex={this.#tabIndex} aria-label="Table">
        <table>
          <thead>
            <tr>{cells(header, 'th')}</tr>
          </thead>
          <tbody>
            {rows.map((row) => (
              <tr>{cells(row, 'td')}</tr>
            ))}
          </tbody>
        </table>
      </section>
    )
  }

  #code({ text, lang }: Tokens.Code): VNode {
    const language = (lang ?? '').replaceAll(boundary, '').split(/\s/)[0] ?? ''
    if ((lang ?? '').includes(boundary)) this.#tail = true
    const end = text.indexOf(boundary)
    // Colours are those of the whole; the boundary only says from where on they are faint.
    let at = 0
    const piece = (part: string, classes: string): ComponentChildren => {
      const from = at
      at += part.length
      const cut = end < 0 ? part.length : Math.max(0, Math.min(part.length, end - from))
      const ink = part.slice(0, cut)
      const grey = part.slice(cut)
      if (this.#tail || ink === '') return grey || ink ? this.#grey(ink + grey, classes) : null
      return [classes === '' ? ink : <span class={classes}>{ink}</span>, grey === '' ? null : this.#grey(grey, classes)]
    }
    const tabIndex = this.#tabIndex
    const pieces = highlighted(text.replace(boundary, ''), language, piece)
    if (end >= 0) this.#tail = true
    return (
      <section class="scroll code-block" tabIndex={tabIndex} aria-label={`Code ${language}`}>
        <pre>
          <code>{pieces}</code>
        </pre>
        {!this.#tail && <CopyButton label="Copy the code" text={() => text} />}
      </section>
    )
  }

  #grey(text: string, classes: string): VNode {
    return (
      <span class={`provisional ${classes}`} aria-hidden="true">
        {text}
      </span>
    )
  }

  #inlines(tokens: readonly Token[] = []): ComponentChildren {
    return tokens.map((token) => this.#inline(token as Tokens.Generic))
  }

  #inline(token: Tokens.Generic): ComponentChildren {
    switch (token.type) {
      case 'strong':
        return <strong>{this.#inlines(token.tokens)}</strong>
      case 'em':
        return <em>{this.#inlines(token.tokens)}</em>
      case 'del':
        return <del>{this.#inlines(token.tokens)}</del>
      case 'codespan':
        return <code>{this.#text(token.text)}</code>
      case 'br':
        return <br />
      case 'link':
        return this.#link(token as Tokens.Link)
      case 'text':
        return token.tokens ? this.#inlines(token.tokens) : this.#text(token.text)
      case 'escape':
        return this.#text(token.text)
      default:
        // Images would be fetched from elsewhere, and HTML is not run: both stay what was written.
        return this.#text(token.raw)
    }
  }

  #link({ href, tokens }: Tokens.Link): ComponentChildren {
    const inner = this.#inlines(tokens)
    const address = href.replaceAll(boundary, '')
    if (!/^https?:\/\//i.test(address)) return inner
    return (
      <a href={address} target="_blank" rel="noopener noreferrer" title={address}>
        {inner}
      </a>
    )
  }

  #text(text: string): ComponentChildren {
    if (this.#tail) return text === '' ? null : this.#grey(text, '')
    const end = text.indexOf(boundary)
    if (end < 0) return text
    this.#tail = true
    return [text.slice(0, end), this.#grey(text.slice(end + 1), '')]
  }
}
