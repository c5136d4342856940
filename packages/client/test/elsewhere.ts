// Run by runtimes.test.ts in other runtimes: a reply over HTTP and one over a socket, from the server at the address given.
import process from 'node:process'
import { openRealtime, RevisableText, streamChat } from '../src/index.ts'

const url = process.argv[2]!
const streamed = new RevisableText()
const body = { messages: [{ role: 'user', content: 'Hello' }], stream_options: { include_provisional: true } }
for await (const event of streamChat(`${url}/v1/chat/completions`, body)) streamed.apply(event)

const chat = openRealtime(`${url}/v1/realtime`)
chat.append('Hello')
const reply = chat.send()
const { finishReason } = await reply.done
chat.close()
console.log(JSON.stringify([streamed.committed, reply.text.committed, finishReason]))
