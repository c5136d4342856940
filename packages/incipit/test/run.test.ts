import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { full } from '../../engine/test/fixtures/test-size.ts'
import {
  chatStories,
  incipit,
  missing,
  prelude,
  printed,
  smol,
  start,
  stories,
  withFreeRows,
} from './helpers/command.ts'
import { temporary } from './helpers/temporary.ts'

// Threads that wait for each other on a busy machine wait long, and tests keep this one busy.
const tale = ['run', '--model', stories, 'Once upon a time']

const told = new Map<string, ReturnType<typeof incipit>>()
/** The reply to `tale` of 20 tokens, with more options; for tests that ask the same, run once. */
function tell(...options: string[]): ReturnType<typeof incipit> {
  const key = options.join(' ')
  if (!told.has(key)) told.set(key, incipit([...tale, '-n', '20', ...options]))
  return told.get(key)!
}

function events(stdout: string): { type: string; [key: string]: unknown }[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
}

function committed(stdout: string): string {
  return events(stdout)
    .filter(({ type }) => type === 'delta')
    .map(({ text }) => text)
    .join('')
}

interface Usage {
  prompt_tokens: number
  completion_tokens: number
  completion_tokens_details: { accepted_prediction_tokens: number }
}

function usageOf(stdout: string): Usage {
  const done = events(stdout).at(-1)
  assert.equal(done?.type, 'done')
  return done.usage as Usage
}

describe('incipit run', { skip: missing(stories, smol) }, () => {
  it('prints the reply and nothing else on stdout, and a summary as the last line on stderr', async () => {
    const { code, stdout, stderr } = await tell()
    assert.equal(code, 0)
    const json = await tell('--json')
    assert.equal(stdout, committed(json.stdout))
    assert.notEqual(stdout, '')
    const last = stderr.trimEnd().split('\n').at(-1)
    const moment = '(-|[\\d.]+ ms)'
    const line = `^first word: provisional ${moment}, stable ${moment}, committed [\\d.]+ ms \\| 20 tokens at [\\d.]+ tokens/s \\| drafts: `
    assert.match(last ?? '', new RegExp(line))
  })

  it('says once that a model without a chat template runs raw, unless asked to', async () => {
    const unasked = await tell()
    assert.equal(unasked.stderr.match(/no chat template/g)?.length, 1)
    const asked = await tell('--raw')
    assert.doesNotMatch(asked.stderr, /chat template/)
    assert.equal(asked.stdout, unasked.stdout)
  })

  it('prints one event per line with --json, in the words of the wire protocol', async () => {
    const { stdout } = await tell('--json')
    const done = events(stdout).at(-1)
    assert.equal(done?.type, 'done')
    assert.equal(done?.finish_reason, 'length')
    assert.equal(usageOf(stdout).completion_tokens, 20)
    assert.match(stdout, /"timings":\{"queue_ms":[\d.]+,.*"committed_ms":[\d.]+,/)
  })

  it('takes the prompt from a pipe, without its last newline', async () => {
    const args = ['run', '--model', stories, '-n', '20', '--raw']
    const expected = (await tell('--raw')).stdout
    assert.equal((await incipit(args, { input: 'Once upon a time\n' })).stdout, expected)
    assert.equal((await incipit([...args, '-'], { input: 'Once upon a time' })).stdout, expected)
  })

  it('gives the same text for the same seed, and another for another', async () => {
    const sample = async (seed: string) =>
      (await incipit([...tale, '--raw', '-n', '30', '-t', '1', '--top-k', '40', '--seed', seed])).stdout
    const first = await sample('7')
    assert.equal(await sample('7'), first)
    assert.notEqual(await sample('8'), first)
  })

  it('ends before a stop string', async () => {
    const whole = (await tell()).stdout
    const stop = whole.slice(10, 14)
    const { stdout } = await tell('--stop', 'never said', '--stop', stop)
    assert.equal(stdout, whole.slice(0, whole.indexOf(stop)))
  })

  it('renders a conversation with the system message', async () => {
    const args = ['run', '--model', await chatStories(), '-n', '1', '--json', 'Hello']
    const count = async (...more: string[]) => usageOf((await incipit([...args, ...more])).stdout).prompt_tokens
    const plain = await count()
    assert((await count('--raw')) < plain)
    assert.notEqual(await count('--system', 'You are a very terse pirate who answers in rhymes.'), plain)
  })

  it('says that there is no early exit when provisional text is wanted', async () => {
    const { stderr } = await incipit([...tale, '-n', '2', '--policy', 'provisional'])
    assert.equal(stderr.match(/no provisional text from an early exit: /g)?.length, 1)
    const silent = await incipit([...tale, '-n', '2', '--policy', 'provisional', '--no-speculation'])
    assert.doesNotMatch(silent.stderr, /early exit/)
  })

  it('shows provisional events only under the policy, with the same committed text', async () => {
    // Long enough for a lookahead.
    const prompt = `${'The old man sat by the river and watched the boats go by. '.repeat(10)}He`
    const args = ['run', '--model', stories, '--raw', '-n', '4', '--json', prompt]
    const plain = await incipit(args)
    const early = await incipit([...args, '--policy', 'provisional', '--min-stability', '0'], { env: withFreeRows })
    const provisional = (stdout: string) => events(stdout).filter(({ type }) => type === 'provisional')
    assert.deepEqual(provisional(plain.stdout), [])
    const shown = provisional(early.stdout)
    assert(shown.length > 0)
    for (const event of shown) {
      for (const key of ['rev', 'base', 'tokens', 'stability']) assert.equal(typeof event[key], 'number')
    }
    assert.equal(committed(early.stdout), committed(plain.stdout))
    const silent = await incipit([...args, '--policy', 'provisional', '--min-stability', '0', '--no-speculation'])
    assert.deepEqual(provisional(silent.stdout), [])
    assert.equal(committed(silent.stdout), committed(plain.stdout))
  })

  it('answers the same when the model is cut', async () => {
    assert.equal((await tell('--raw', '--cut', '2')).stdout, (await tell('--raw')).stdout)
  })

  it('follows a prediction where it is right, and for the tier batch does not', async (test) => {
    const args = [...tale, '-n', '20', '--raw', '--json']
    const plain = committed((await tell('--raw', '--json')).stdout)
    const file = join(await temporary(test), 'expected.txt')
    await writeFile(file, plain)
    const accepted = async (...more: string[]) => {
      const { stdout } = await incipit([...args, '--prediction', file, ...more], { env: withFreeRows })
      assert.equal(committed(stdout), plain)
      return usageOf(stdout).completion_tokens_details.accepted_prediction_tokens
    }
    assert((await accepted()) > 12)
    assert.equal(await accepted('--tier', 'batch'), 0)
  })

  it('gives the reply the form that is asked for, and refuses a form that is none', async (test) => {
    const folder = await temporary(test)
    const schema = {
      type: 'object',
      properties: { age: { type: 'integer', minimum: 0, maximum: 99 } },
      required: ['age'],
    }
    await writeFile(join(folder, 'schema.json'), JSON.stringify({ ...schema, additionalProperties: false }))
    await writeFile(join(folder, 'none.json'), '{')
    const { stdout } = await incipit([...tale, '-n', '20', '--schema', join(folder, 'schema.json')])
    assert.match(stdout, /^\{"age": \d+\}$/)
    const none = await incipit([...tale, '--schema', join(folder, 'none.json')])
    assert.match(none.stderr, /none\.json holds no JSON: .* \(invalid_request\)\n$/)
    assert.match((await incipit([...tale, '--regex', '('])).stderr, /constraint: .*unclosed group/)
  })

  it('says before and after a lossy reply that it is lossy', async () => {
    const args = ['run', '--model', prelude, '--raw', '-n', '24', 'function add(a, b) {\n']
    const confident = ['--policy', 'confident', '--min-stability', '0']
    const { stdout, stderr } = await incipit([...args, ...confident, '--json'])
    const done = events(stdout).at(-1)!
    assert.equal(done.lossy, true)
    assert((done.timings as { early_n: number }).early_n > 0)
    assert.match(stderr, /^incipit: policy confident is lossy: /)
    assert.match(stderr, / \| LOSSY: 0 tolerated, [1-9]\d* early/)
    const tolerant = await incipit([...args, '--policy', 'tolerant', '--alpha', '0', '--json'])
    assert.match(tolerant.stderr, /^incipit: policy tolerant is lossy: /)
    assert.equal(events(tolerant.stdout).at(-1)?.lossy, true)
    const plain = await incipit([...args, '--json'])
    assert.equal('lossy' in events(plain.stdout).at(-1)!, false)
    assert.doesNotMatch(plain.stderr, /lossy/i)
  })

  it('says the same with a device for each stage, and with a model that drafts', async () => {
    // The best token leads by a logit of 0.4 at least.
    const code = ['run', '--model', prelude, '--raw', '-n', '16', 'const x = ']
    assert.equal(
      (await incipit([...code, '--threads', '1,1'])).stdout,
      (await incipit([...code, '--threads', '1'])).stdout,
    )
    assert.equal((await tell('--raw', '--draft', stories)).stdout, (await tell('--raw')).stdout)
  })

  const impossible: [string, string[], RegExp][] = [
    ['confident without an exit', ['--policy', 'confident'], /confident needs an exit: .* \(invalid_request\)/],
    ['a draft model of another family', ['--draft', smol], /another vocabulary.* \(draft_mismatch\)/],
    ['a draft model that is not there', ['--draft', 'nobody'], /--draft nobody is neither .* \(model_not_found\)/],
    ['experts of a dense model', ['--experts', '1'], /no experts to choose from.* \(invalid_request\)/],
    ['heads without an exit', ['--heads', 'x'], /an exit.* \(invalid_request\)/],
  ]
  for (const [name, args, message] of impossible) {
    it(`refuses ${name}`, async () => {
      const { code, stdout, stderr } = await incipit([...tale, '--raw', '-n', '2', ...args])
      assert.equal(code, 1)
      assert.equal(stdout, '')
      assert.match(stderr, message)
    })
  }

  type Interrupted = [what: string, args: string[], printed: RegExp]
  const json: Interrupted = ['in the middle of --json', ['--json', 'Tell me a long story.'], /"delta"/]
  const interrupted: Interrupted[] = [
    ['in the middle of a reply', ['Tell me a long story.'], /[a-z]{3} [a-z]/],
    // The note comes when the model is loaded; the prompt takes seconds from there.
    ['in the middle of a prompt', ['--policy', 'provisional', 'word '.repeat(3000)], /early exit/],
    ...(full ? [json] : []),
  ]
  const bound = 250
  for (const [name, args, pattern] of interrupted) {
    it(`stops at once on Ctrl-C ${name}, with exit code 130`, async () => {
      const times: number[] = []
      // One of three, and a bound wider than the promise: other tests keep the processor busy, and most of the time
      // is the system taking the process apart. Without the abort the prompt alone would go on for seconds.
      while (times.length < 3 && !times.some((ms) => ms < bound)) {
        const command = start(['run', '--model', smol, '--threads', '1', '-n', '2000', ...args])
        await printed(command, pattern)
        const begun = performance.now()
        command.child.kill('SIGINT')
        const { code, signal, stderr } = await command.ended
        times.push(performance.now() - begun)
        // When it could not stop in order in time it dies of the signal, which shells report as 130 too.
        assert(code === 130 || signal === 'SIGINT', `ended with ${code} ${signal}`)
        assert.doesNotMatch(stderr, /_failed\)|at file:/)
      }
      assert(Math.min(...times) < bound, `took ${times.map(Math.round).join(', ')} ms`)
    })
  }

  it('ends quietly when the reader goes away', async () => {
    const command = start(['run', '--model', stories, '--raw', '-n', '400', 'Once upon a time'])
    await new Promise((resolve) => command.child.stdout.once('data', resolve))
    command.child.stdout.destroy()
    const { code, stderr } = await command.ended
    assert.equal(code, 0)
    assert.equal(stderr, '')
  })

  it('says when the prompt does not fit', async () => {
    const { code, stderr } = await incipit(['run', '--model', stories, '--raw', 'once '.repeat(3000)])
    assert.equal(code, 1)
    assert.match(stderr, /^incipit: .* tokens.* \(context_overflow\)\n$/)
  })
})
