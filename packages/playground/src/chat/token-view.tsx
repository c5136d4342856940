import { useEffect, useRef, useState } from 'preact/hooks'
import { LikelyTokens } from '../likely-tokens.tsx'
import { percent, visible } from '../ui/format.ts'
import type { ShownToken } from './reply-tokens.ts'

/** A reply token by token: who proposed it, how sure that was, what the model thought. */
export function TokenView({ tokens }: { tokens: readonly ShownToken[] }) {
  const [chosen, choose] = useState(0)
  const token = tokens[chosen]
  const place = useRef<HTMLElement>(null)
  useEffect(() => place.current?.scrollIntoView({ block: 'nearest' }), [])
  const go = (to: number) => {
    const at = Math.max(0, Math.min(tokens.length - 1, to))
    choose(at)
    place.current?.querySelectorAll<HTMLElement>('.token')[at]?.focus()
  }
  const guessed = tokens.filter(({ right }) => right).length
  return (
    <section ref={place} class="token-view" aria-label="Tokens of the reply">
      <div
        class="tokens"
        dir="auto"
        role="toolbar"
        aria-label="Tokens, arrow keys move"
        onKeyDown={({ key }) => {
          const steps: Record<string, number> = {
            ArrowLeft: -1,
            ArrowRight: 1,
            Home: -tokens.length,
            End: tokens.length,
          }
          if (steps[key] !== undefined) go(chosen + steps[key])
        }}
      >
        {tokens.map((one, i) => (
          <button
            type="button"
            key={i}
            class={`token ${kindOf(one)}`}
            tabIndex={i === chosen ? 0 : -1}
            aria-pressed={i === chosen}
            onClick={() => choose(i)}
            onPointerEnter={() => choose(i)}
          >
            {visible(one.text)}
          </button>
        ))}
      </div>
      {token && <About token={token} />}
      <ul class="legend">
        <li>
          <span class="token right">guessed</span> and confirmed: {guessed} of {tokens.length}
        </li>
        <li>
          <span class="token wrong">decided</span> against a guess
        </li>
        <li>
          <span class="token">decided</span>, nobody had guessed
        </li>
      </ul>
      {!tokens.some(({ others }) => others) && <LikelyTokens />}
    </section>
  )
}

function kindOf({ right }: ShownToken): string {
  return right === undefined ? '' : right ? 'right' : 'wrong'
}

function About({ token }: { token: ShownToken }) {
  const { text, probability, others = [] } = token
  return (
    <div class="about">
      <p>
        <code>{visible(text)}</code> {origin(token)}
        {probability !== undefined && ` The model gave it a probability of ${percent(probability)}.`}
      </p>
      {others.length > 1 && (
        <ul class="likely" aria-label="What the model held likeliest">
          {others.map((other, i) => (
            <li key={i}>
              <code>{visible(other.text)}</code>
              <span class="bar" aria-hidden="true">
                <span style={{ width: percent(other.probability) }} />
              </span>
              {percent(other.probability)}
            </li>
          ))}
        </ul>
      )}
    </div>
  )
}

function origin({ source, stability, right, rejected }: ShownToken): string {
  const dropped = rejected ? ` ${rejected} guessed token${rejected > 1 ? 's' : ''} rolled back.` : ''
  if (source === undefined) return `was decided by the full model, nobody had guessed.${dropped}`
  const sure = stability === undefined ? '' : `, ${percent(stability)} sure`
  return right
    ? `was proposed by ${source}${sure}, and confirmed.`
    : `was decided against a guess of ${source}${sure}.${dropped}`
}
