import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { replay } from '../../../test/replay.ts'
import { commonPrefix } from '../sequences/sequence-table.ts'
import { PrefixTree } from './prefix-tree.ts'

/** Few different tokens, so that lists agree for a while and part at every position. */
const tokens = fc.array(fc.nat(1), { maxLength: 8 })
const namespace = fc.constantFrom('a', 'b')
const holder = fc.nat(5)

type Act = { act: 'set'; holder: number; namespace: string; tokens: number[] } | { act: 'delete'; holder: number }

const acts: fc.Arbitrary<Act[]> = fc.array(
  fc.oneof(
    { weight: 3, arbitrary: fc.record({ act: fc.constant('set' as const), holder, namespace, tokens }) },
    { weight: 1, arbitrary: fc.record({ act: fc.constant('delete' as const), holder }) },
  ),
  { maxLength: 20 },
)

test('any holders: the tree finds what a search through all of them finds', () => {
  const usable = fc.array(fc.nat(9), { minLength: 6, maxLength: 6 })
  fc.assert(
    fc.property(acts, namespace, tokens, usable, (acts, namespace, prompt, usable) => {
      const tree = new PrefixTree<number>()
      const held = new Map<number, { namespace: string; tokens: number[] }>()
      for (const one of acts) {
        if (one.act === 'delete') {
          tree.delete(one.holder)
          held.delete(one.holder)
        } else {
          tree.set(one.holder, one.namespace, one.tokens)
          if (one.tokens.length > 0) held.set(one.holder, one)
          else held.delete(one.holder)
        }
      }
      const here = [...held].filter(([, entry]) => entry.namespace === namespace)
      const gives = ([holder, entry]: (typeof here)[number]) =>
        Math.min(commonPrefix(entry.tokens, prompt), usable[holder]!)
      const most = Math.max(0, ...here.map(gives))
      const found = tree.longest(namespace, prompt, (holder) => usable[holder]!)
      assert.equal(found?.length ?? 0, most)
      if (found) assert.equal(gives([found.holder, held.get(found.holder)!]), most)
      const within = here.filter(([, entry]) => commonPrefix(entry.tokens, prompt) === entry.tokens.length)
      assert.deepEqual([...tree.within(namespace, prompt)].sort(), within.map(([holder]) => holder).sort())
    }),
    { numRuns: 3000, ...replay },
  )
})

const all = () => 99

test('a namespace finds nothing of another one', () => {
  const tree = new PrefixTree<string>()
  tree.set('mine', 'a', [1, 2, 3])
  assert.equal(tree.longest('b', [1, 2, 3], all), undefined)
  tree.set('theirs', 'b', [1])
  assert.deepEqual(tree.longest('b', [1, 2, 3], all), { holder: 'theirs', length: 1 })
  tree.delete('mine')
  assert.deepEqual(tree.longest('b', [1, 2, 3], all), { holder: 'theirs', length: 1 })
})

test('tokens are copied: what the caller does with its list afterwards changes nothing', () => {
  const tree = new PrefixTree<string>()
  const list = [1, 2, 3]
  tree.set('one', 'a', list)
  list[1] = 9
  assert.deepEqual(tree.longest('a', [1, 2, 3], all), { holder: 'one', length: 3 })
  tree.delete('one')
  assert.equal(tree.longest('a', [1, 2, 3], all), undefined)
})

test('of those who give as many the preferred one is found, whoever has more of the prompt', () => {
  const tree = new PrefixTree<string>()
  tree.set('long', 'a', [1, 2, 3, 4])
  tree.set('short', 'a', [1, 2])
  const two = () => 2
  assert.equal(tree.longest('a', [1, 2, 3, 4], two, (holder) => holder === 'short')?.holder, 'short')
  assert.equal(tree.longest('a', [1, 2, 3, 4], two, (holder) => holder === 'long')?.holder, 'long')
  assert.equal(tree.longest('a', [1, 2, 3, 4], all, (holder) => holder === 'short')?.holder, 'long')
})

test('a holder that has more of the prompt but can give less of it now comes second', () => {
  const tree = new PrefixTree<string>()
  tree.set('long', 'a', [1, 2, 3, 4])
  tree.set('short', 'a', [1, 2])
  const usable = (holder: string) => (holder === 'long' ? 1 : 99)
  assert.deepEqual(tree.longest('a', [1, 2, 3, 4], usable), { holder: 'short', length: 2 })
})
