import { setTimeout as sleep } from 'node:timers/promises'
import type { LoadRequest } from './load.ts'

/** An engine under load, as the driver sees it. */
export interface Server extends AsyncDisposable {
  /**
   * Answers one request; waits for a place by itself. `onTokens` is called whenever tokens of the reply can be read, with
   * their number. Returns the tokens of the whole reply; rejects when the signal comes, where an engine knows of it.
   */
  serve(request: LoadRequest, onTokens: (count: number) => void, signal?: AbortSignal): Promise<number>
  /** Of the steps since the last call. Undefined for an engine that does not say. */
  takeSteps?(): StepTimes
}

/** Steps of an engine, and the milliseconds inside of `llama_decode` and between two of them. */
export interface StepTimes {
  readonly steps: number
  readonly decodeMs: number
  readonly outsideMs: number
}

/** What became of one request. Times in milliseconds. */
export interface Outcome {
  promptTokens: number
  /** Of these, the ones that no other request of the load begins with. */
  ownTokens: number
  replyTokens: number
  /** From the arrival to the first token that can be read. */
  ttft: number
  /** Between moments at which tokens can be read. */
  gaps: number[]
}

/** A load that was served. */
export interface Round {
  outcomes: Outcome[]
  /** From the start to the end of the last reply. */
  ms: number
  steps?: StepTimes | undefined
}

/** `streams` clients, each of which sends its next request when its reply is done, until none is left. */
export async function closedLoop(server: Server, requests: readonly LoadRequest[], streams: number): Promise<Round> {
  const outcomes: Outcome[] = []
  const queue = [...requests]
  const start = performance.now()
  const client = async () => {
    for (let request = queue.shift(); request !== undefined; request = queue.shift()) {
      outcomes.push(await timed(server, request, performance.now()))
    }
  }
  await Promise.all(Array.from({ length: streams }, client))
  return { outcomes, ms: performance.now() - start }
}

/** Requests arrive when they are due, whatever became of those before. */
export async function openLoop(server: Server, requests: readonly LoadRequest[]): Promise<Round> {
  const start = performance.now()
  const outcomes = await Promise.all(
    requests.map(async (request) => {
      const due = start + (request.at ?? 0)
      await sleep(Math.max(0, due - performance.now()))
      return timed(server, request, due)
    }),
  )
  return { outcomes, ms: performance.now() - start }
}

/** One request. */
export async function timed(server: Server, request: LoadRequest, arrival: number): Promise<Outcome> {
  let last = 0
  let ttft = Number.NaN
  const gaps: number[] = []
  const replyTokens = await server.serve(request, () => {
    const now = performance.now()
    if (last === 0) ttft = now - arrival
    else gaps.push(now - last)
    last = now
  })
  const promptTokens = request.prompt.length
  return { promptTokens, ownTokens: promptTokens - request.shared, replyTokens, ttft, gaps }
}
