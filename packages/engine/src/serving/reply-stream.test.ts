import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { ReplyStream } from './reply-stream.ts'

/** Everything that is read until the end, and the error that ended it. */
async function drain(channel: ReplyStream<number>): Promise<{ items: number[]; error?: unknown }> {
  const items: number[] = []
  try {
    for await (const item of channel.read()) items.push(item)
  } catch (error) {
    return { items, error }
  }
  return { items }
}

test('items arrive in order, written before or while they are awaited', async () => {
  const channel = new ReplyStream<number>()
  channel.push(1)
  const read = drain(channel)
  await setTimeout(2)
  channel.push(2)
  channel.push(3)
  await setTimeout(2)
  channel.push(4)
  channel.close()
  assert.deepEqual(await read, { items: [1, 2, 3, 4] })
})

test('an error comes after everything that was written before it', async () => {
  const channel = new ReplyStream<number>()
  channel.push(1)
  channel.close(new Error('broken'))
  const { items, error } = await drain(channel)
  assert.deepEqual(items, [1])
  assert.equal((error as Error).message, 'broken')
})

test('after its end nothing is taken, and the first end counts', async () => {
  const channel = new ReplyStream<number>()
  channel.push(1)
  channel.close()
  channel.push(2)
  channel.close(new Error('late'))
  assert.deepEqual(await drain(channel), { items: [1] })
  assert.deepEqual(await drain(channel), { items: [] })
})

test('a close wakes a reader that waits', async () => {
  const channel = new ReplyStream<number>()
  const read = drain(channel)
  await setTimeout(2)
  channel.close()
  assert.deepEqual(await read, { items: [] })
})
