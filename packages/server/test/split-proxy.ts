import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { setImmediate } from 'node:timers/promises'

/**
 * A proxy that sends answers on in pieces of so many bytes, each in a packet of its own.
 * @param port of the server on this machine
 * @returns its address, without a path
 */
export async function splitProxy(t: Pick<TestContext, 'after'>, port: number, bytes: number): Promise<string> {
  const open = new Set<Socket>()
  const proxy = createServer({ noDelay: true }, (client) => {
    const server = connect(port, '127.0.0.1')
    for (const socket of [client, server]) {
      open.add(socket)
      // Who goes away takes the other side along.
      socket.on('error', () => {})
      socket.once('close', () => {
        open.delete(socket)
        for (const other of [client, server]) other.destroy()
      })
    }
    client.pipe(server)
    void sendOn(server, client, bytes)
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => {
    for (const socket of open) socket.destroy()
    proxy.close()
  })
  return `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
}

async function sendOn(from: Socket, to: Socket, bytes: number): Promise<void> {
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      for (let at = 0; at < chunk.length; at += bytes) {
        to.write(chunk.subarray(at, at + bytes))
        await setImmediate()
      }
    }
    to.end()
  } catch {
    // One of them went away.
  }
}
