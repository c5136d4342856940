import { useEffect, useRef, useState } from 'preact/hooks'
import { percent, visible } from '../ui/format.ts'
import type { ShownToken } from './reply-tokens.ts'

/** A reply token by token: who proposed it, how sure that was, what the model thought. */
export function TokenView({ tokens }: { tokens: readonly ShownToken[] }) {
  const [chosen, choose] = useState(0)
  const token = tokens[chosen]
  const place = useRef<HTMLElement>(null)
  useEffect(() => place.current?.scrollIntoView({ block: 'nearest' }), [])
  const guessed = tokens.filter(({ right }) => right).length
  return (
    <section ref={place} class="token-view" aria-label="Tokens of the reply">
      <p class="tokens" dir="auto">
        {tokens.map((one, i) => (
          <button
            type="button"
            key={i}
            class={`token ${one.right === undefined ? 'plain' : one.right ? 'right' : 'wrong'}`}
            aria-pressed={i === chosen}
            onClick={() => choose(i)}
            onPointerEnter={() => choose(i)}
            onFocus={() => choose(i)}
          >
            {visible(one.text)}
          </button>
        ))}
      </p>
      {token && (
        <p class="about">
          <code>{visible(token.text)}</code> {origin(token)}
          {token.probability !== undefined && ` The model held it for ${percent(token.probability)} likely`}
          {token.others && token.others.length > 1 && (
            <>
              {'; its best: '}
              {token.others.map(({ text, probability }, i) => (
                <span key={i}>
                  {i > 0 && ', '}
                  <code>{visible(text)}</code> {percent(probability)}
                </span>
              ))}
            </>
          )}
        </p>
      )}
      <p class="faint">
        {guessed} of {tokens.length} tokens stood there before the model decided them.{' '}
        {!tokens.some(({ others }) => others) &&
          'Switch “Likely tokens” on in Pipeline to see what else it considered.'}
      </p>
    </section>
  )
}

function origin({ source, stability, right, rejected }: ShownToken): string {
  const dropped = rejected ? ` ${rejected} guessed token${rejected > 1 ? 's' : ''} rolled back.` : ''
  if (source === undefined) return `decided by the full model, nobody had guessed.${dropped}`
  const sure = stability === undefined ? '' : `, ${percent(stability)} sure`
  return right ? `proposed by ${source}${sure}, confirmed.` : `decided against a guess of ${source}${sure}.${dropped}`
}
