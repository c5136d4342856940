import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { chatStories, missing, prelude, printed, smol, start, stories } from './helpers/command.ts'
import { temporary } from './helpers/temporary.ts'

/** Whoever a server is ended with. */
interface Owner {
  after(end: () => void): void
}

/** Starts a server on a free port and waits until it serves. */
async function serve(test: Owner, ...args: string[]) {
  return serveIn({}, test, ...args)
}

/** The same with these settings of the environment. */
async function serveIn(env: NodeJS.ProcessEnv, test: Owner, ...args: string[]) {
  const model = args.some((arg) => arg === '--model' || arg === '--models') ? [] : ['--model', stories]
  const command = start(['serve', ...model, '--port', '0', '--threads', '1', ...args], env)
  test.after(() => command.child.kill('SIGKILL'))
  const [, address = ''] = await printed(command, /serves on (http:\S+)[\s\S]*\ncurl .*\n/)
  return { ...command, address }
}

/** The process ids of a process's children (Linux). */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => {
      try {
        const stat = readFileSync(`/proc/${candidate}/stat`, 'utf8')
        // pid (comm) state ppid: the name may hold anything, so count from its closing parenthesis.
        return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) === pid
      } catch {
        return false
      }
    })
}

function alive(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** The text of a streamed completion, which has to be whole, and `[DONE]`. */
async function streamed(address: string, each: (events: number) => unknown = () => {}): Promise<string> {
  const answer = await fetch(`${address}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Once upon a time', max_tokens: 150, stream: true, temperature: 1, seed: 4 }),
  })
  let body = ''
  let events = 0
  for await (const part of answer.body!.pipeThrough(new TextDecoderStream())) {
    body += part
    for (let more = part.split('data: ').length - 1; more > 0; more--) each(++events)
  }
  const lines = body.split('\n').filter((line) => line.startsWith('data: '))
  return lines.map((line) => (line === 'data: [DONE]' ? '[DONE]' : JSON.parse(line.slice(6)).choices[0]?.text)).join('')
}

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = performance.now() + 20_000; performance.now() < end; await wait(20)) {
    if (await condition()) return
  }
  throw new Error(`${what} did not happen in 20 s`)
}

const linuxOnly = process.platform === 'linux' ? false : 'needs /proc to find the process of the engine'

describe('incipit serve', { skip: missing(stories, smol) }, () => {
  /** For tests that leave a server as they found it. */
  const open = shared('--no-page')
  const locked = shared('--api-key', "it's secret")
  function shared(...args: string[]): () => ReturnType<typeof serve> {
    const ends: (() => void)[] = []
    after(() => {
      for (const end of ends) end()
    })
    let served: ReturnType<typeof serve> | undefined
    return () => {
      served ??= serve({ after: (end) => ends.push(end) }, '--cut', 'none', ...args)
      return served
    }
  }

  it('prints the address, the model, its stages and proposers', async () => {
    const { output } = await open()
    assert.match(output(), /model +stories260K \(.*context \d+ tokens\)/)
    assert.match(output(), /stages +1, layers 0-4 \(not cut: --cut none\)/)
    assert.match(output(), /proposers +.*lookup.*\n +exit off: .*\n +draft off: /)
    assert.match(output(), /cache +(a KV cache for each sequence|one KV cache for all sequences), [\d.]+ [kMG]B\n/)
    assert.match(output(), /tiers +npc 50 ms, .*batch 60 s.*; chat unless a request says otherwise\n/)
    assert.match(output(), /policies +committed unless .*; on request .*lossy tolerant\n/)
    assert.doesNotMatch(output(), /LOSSY/)
  })

  it('takes a layout of the cache, and lets no more requests wait than it is told', async (test) => {
    for (const [layout, line] of [
      ['separate', 'a KV cache for each sequence'],
      ['unified', 'one KV cache for all sequences'],
    ] as const) {
      const { output, address } = await serve(test, '--cache', layout, '--parallel', '1', '--max-waiting', '1')
      assert.match(output(), new RegExp(`cache +${line}, `))
      const answer = await fetch(`${address}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Once upon a time', max_tokens: 2, n: 8 }),
      })
      assert.equal(answer.status, 503)
      assert.equal(((await answer.json()) as { error: { code: string } }).error.code, 'overloaded')
    }
  })

  it('says which model drafts', async (test) => {
    const { output } = await serve(test, '--draft', stories, '--tier', 'code', '--threads', '1')
    assert.match(output(), /proposers +.*draft.*\n/)
    assert.doesNotMatch(output(), /draft off/)
    assert.match(output(), /tiers .*; code unless a request says otherwise/)
  })

  it('is lossy by the wish of its owner, says so, and only where the model can be', async (test) => {
    const { output, address } = await serve(test, '--model', prelude, '--policy', 'confident')
    assert.match(output(), /policies +confident \(LOSSY: .*lossy tolerant, confident\n/)
    const answer = await fetch(`${address}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'const x = ', max_tokens: 4 }),
    })
    assert.equal(((await answer.json()) as { lossy?: boolean }).lossy, true)
    const refused = await start(['serve', '--model', stories, '--port', '0', '--policy', 'confident']).ended
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /^incipit: policy confident needs an exit: .* \(invalid_request\)\n$/)
  })

  it('keeps a system prompt computed, for those with the key, and finds it again after a restart', async (test) => {
    const folder = await temporary(test)
    const file = join(folder, 'system.txt')
    const content = 'You are a sailor who answers in short sentences and never swears.'
    await writeFile(file, `${content}\n`)
    const body = {
      messages: [
        { role: 'system', content },
        { role: 'user', content: 'Hello' },
      ],
      max_tokens: 1,
    }
    const args = ['--model', await chatStories(), '--api-key', 'secret', '--prefix', `sailor=${file}`]
    // Another name of the same beginning would be found, too: a cache of its own.
    const own = { INCIPIT_CACHE: folder }
    for (const where of ['computed', 'from disk']) {
      const command = start(['serve', '--port', '0', '--threads', '1', ...args], own)
      test.after(() => command.child.kill('SIGKILL'))
      const [, address = '', tokens = ''] = await printed(
        command,
        new RegExp(`serves on (http:\\S+)[\\s\\S]*prefixes +sailor: (\\d+) tokens, ${where}\\n[\\s\\S]*\\ncurl .*\\n`),
      )
      const answer = await fetch(`${address}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', authorization: 'Bearer secret' },
        body: JSON.stringify(body),
      })
      const { usage } = (await answer.json()) as { usage: { prompt_tokens_details: { cached_tokens: number } } }
      assert(Number(tokens) > 12)
      assert(
        usage.prompt_tokens_details.cached_tokens >= Number(tokens) - 1,
        `${usage.prompt_tokens_details.cached_tokens}`,
      )
      command.child.kill('SIGTERM')
      await command.ended
    }
  })

  it('prints the stages of a cut model', async (test) => {
    const { output } = await serve(test, '--cut', '2')
    assert.match(output(), /stages +2, layers 0-1 and 2-4/)
  })

  it('prints a curl line that works when pasted', async (test) => {
    for (const { output } of [await open(), await serve(test, '--model', await chatStories()), await locked()]) {
      const line = /^curl .*$/m.exec(output())?.[0].replace('Bearer KEY', `Bearer it'\\''s secret`) ?? ''
      const { stdout } = await promisify(execFile)('sh', ['-c', line])
      assert.match(stdout, /^data: \{.*"choices":\[\{/)
      assert.match(stdout, /data: \[DONE\]\s*$/)
    }
  })

  it('does not print the API key into a log, and asks clients for it', async () => {
    const { output, address } = await locked()
    assert.doesNotMatch(output(), /secret/)
    assert.equal((await fetch(`${address}/v1/models`)).status, 401)
    const headers = { authorization: "Bearer it's secret" }
    assert.equal((await fetch(`${address}/v1/models`, { headers })).status, 200)
  })

  it('says that a port is in use, with exit code 1 and without trying again', async (test) => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    test.after(() => other.close())
    const { port } = other.address() as AddressInfo
    const { code, stderr } = await start(['serve', '--model', stories, '--port', String(port)]).ended
    assert.equal(code, 1)
    assert.match(stderr, /^incipit: cannot listen on 127\.0\.0\.1:\d+: the port is in use.*\n$/)
  })

  it('says that a model cannot be loaded, with exit code 1 and without trying again', async () => {
    const { code, stderr } = await start(['serve', '--model', import.meta.filename, '--port', '0']).ended
    assert.equal(code, 1)
    assert.match(stderr, /^incipit: .* \(model_invalid\)\n$/)
  })

  it('answers 503 while the model loads, and shows the page already', async (test) => {
    const command = start(['serve', '--model', smol, '--context', '512', '--threads', '1', '--port', '0'])
    test.after(() => command.child.kill('SIGKILL'))
    const [, url = ''] = await printed(command, /^incipit \S+ is at (\S+) and loads SmolLM2-135M-Instruct.Q4_1\n/)
    const answers = new Map<number, { retryAfter: string | null; body: unknown }>()
    await until(async () => {
      const answer = await fetch(`${url}/health`).catch(() => undefined)
      if (answer === undefined) return false
      const page = await fetch(`${url}/`)
      assert.match(await page.text(), /<title>incipit<\/title>/)
      answers.set(answer.status, { retryAfter: answer.headers.get('retry-after'), body: await answer.json() })
      return answer.status === 200
    }, 'serving')
    const error = { message: 'the model is loading', type: 'server_error', param: null, code: 'loading' }
    assert.deepEqual(
      [...answers],
      [
        [503, { retryAfter: '1', body: { error } }],
        [200, { retryAfter: null, body: { status: 'ok' } }],
      ],
    )
    await printed(command, /\n {2}weights +mostly q4_1: .*`incipit tune --format --model \S+Q4_1\.gguf`/)
  })

  it('answers on a connection that was opened while the model loaded', async (test) => {
    const command = start(['serve', '--model', stories, '--threads', '1', '--port', '0'])
    test.after(() => command.child.kill('SIGKILL'))
    const [, port] = await printed(command, /^incipit \S+ is at http:\S+:(\d+) and loads/)
    const early = connect(Number(port), '127.0.0.1').setEncoding('utf8')
    await once(early, 'connect')
    await printed(command, /\ncurl .*\n/)
    early.write('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    assert.match((await early.toArray()).join(''), /^HTTP\/1\.1 200 /)
    command.child.kill('SIGTERM')
    assert.equal((await command.ended).code, 0)
  })

  it('shows no page with --no-page', async () => {
    const { address } = await open()
    assert.equal(await (await fetch(address)).text(), 'incipit is running\n')
  })

  it('ends every reply of an engine that crashes in another one, on the same connection', {
    skip: linuxOnly,
  }, async () => {
    const { child, address, output } = await open()
    const undisturbed = await streamed(address)
    const [engine] = childrenOf(child.pid!)
    const disturbed = await streamed(address, (events) => events === 20 && process.kill(engine!, 'SIGSEGV'))
    assert.equal(disturbed, undisturbed)
    assert.match(
      output(),
      /incipit: error: the engine was ended by SIGSEGV; starting it again\nincipit: warn: the engine is there again after \d+\.\d s\n/,
    )
    assert.equal((await fetch(`${address}/health`)).status, 200)
  })

  it('goes on with another engine when a defect has ended one', { skip: linuxOnly }, async (test) => {
    const preload = new URL('../../engine/test/fixtures/faulty-child.ts', import.meta.url)
    const env = { NODE_OPTIONS: `--import=${preload}`, INCIPIT_TEST_FAULT: 'defect' }
    const { child, address, output } = await serveIn(env, test)
    const undisturbed = await streamed(address)
    const [engine] = childrenOf(child.pid!)
    assert.equal(await streamed(address, (events) => events === 20 && process.kill(engine!, 'SIGUSR2')), undisturbed)
    assert.match(output(), /incipit: error: a defect ended the engine: the clock is broken\n/)
    assert.match(output(), /incipit: error: the engine stopped at a defect; starting it again\n/)
    assert.equal((await fetch(`${address}/health`)).status, 200)
  })

  it('ends what kills its engine again and again, says so at /health, and serves on', {
    skip: linuxOnly,
  }, async (test) => {
    const preload = new URL('../../engine/test/fixtures/faulty-child.ts', import.meta.url)
    const env = { NODE_OPTIONS: `--import=${preload}`, INCIPIT_TEST_FAULT: 'poison' }
    const { address, output } = await serveIn(env, test)
    const answer = await fetch(`${address}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'poison', max_tokens: 20 }),
    })
    assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '5'])
    assert.equal(((await answer.json()) as { error: { code: string } }).error.code, 'engine_died')
    const health = await fetch(`${address}/health`)
    assert.equal(health.status, 503)
    assert.match(output(), /the last steps before:\n(.*\n)*stage 0 seq\d+/)
    await until(async () => (await fetch(`${address}/health`)).status === 200, 'another engine')
    assert.match(await streamed(address), /\[DONE\]/)
  })

  it('lets running replies end on SIGTERM, and ends with 0', async (test) => {
    const { child, address, ended } = await serve(test)
    const body = JSON.stringify({ prompt: 'Once upon a time', max_tokens: 200, stream: true, temperature: 0 })
    const answer = await fetch(`${address}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    })
    const reader = answer.body!.pipeThrough(new TextDecoderStream()).getReader()
    let text = (await reader.read()).value ?? ''
    child.kill('SIGTERM')
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value
    assert.match(text, /\[DONE\]/)
    const done = performance.now()
    assert.equal((await ended).code, 0)
    // Not after the server's five seconds of patience.
    assert(performance.now() - done < 3000)
  })

  it('leaves no engine behind when the server is killed, also while the model loads', {
    skip: linuxOnly,
  }, async (test) => {
    const serving = await serve(test)
    const loading = start(['serve', '--model', smol, '--port', '0'])
    for (const { child, ended } of [serving, loading]) {
      await until(() => childrenOf(child.pid!).length > 0, 'the engine')
      const [engine] = childrenOf(child.pid!)
      child.kill('SIGKILL')
      await ended
      await until(() => !alive(engine!), 'the end of the engine')
    }
  })
})
