import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { chatStories, environment, incipit, main, missing, smol, stories } from './helpers/command.ts'
import { temporary } from './helpers/temporary.ts'
import { noTmux, shell, terminal } from './helpers/tmux.ts'

/** A script that feeds LiveText, one update per line typed into the terminal. */
async function liveScript(test: TestContext, updates: readonly (readonly [string, string])[]): Promise<string> {
  const path = join(await temporary(test), 'live.ts')
  const module = new URL('../src/terminal/live-text.ts', import.meta.url).href
  await writeFile(
    path,
    `import { LiveText } from ${JSON.stringify(module)}
     const live = new LiveText(process.stdout, { wrap: true })
     process.stdin.setRawMode(true)
     process.stdout.on('resize', () => live.resize())
     const keys = process.stdin.iterator()
     let typed = 0
     for (const [committed, tail] of ${JSON.stringify(updates)}) {
       live.update(committed, tail)
       while (typed === 0) typed += (await keys.next()).value.length
       typed--
     }
     live.finish()
     process.stdout.write('END')
     process.exit()`,
  )
  return shell(process.execPath, path)
}

describe('a real terminal', { skip: noTmux }, () => {
  it('shows a tail dim, replaces it in place, and keeps wide characters whole', async (test) => {
    const script = await liveScript(test, [
      ['First line.\nこんにちは世界。', '次の行は長いので折り返します、そして確認します。😀😀 tail'],
      ['次の行', 'は違う文。'],
      ['は\n', ''],
    ])
    const { keys, shows } = await terminal(test, 30, 8, script)
    await shows(/世界。.\[2m次の行は[\s\S]*😀 tail/u, true)
    await keys('x')
    const second = await shows(/次の行.\[2mは違う.*\n.*文。/u, true)
    assert.doesNotMatch(second, /tail/)
    await keys('x', 'x')
    assert.equal((await shows(/END/)).trimEnd(), 'First line.\nこんにちは世界。次の行は\nEND')
  })

  it('keeps a full last row when its tail goes', async (test) => {
    const full = '0123456789'.repeat(3)
    const { keys, shows } = await terminal(
      test,
      30,
      8,
      await liveScript(test, [
        [full, 'tail'],
        ['', 'other'],
        ['!', ''],
      ]),
    )
    await shows(/tail/)
    await keys('x')
    await shows(/other/)
    await keys('x', 'x')
    assert.equal((await shows(/END/)).trimEnd(), `${full}!\nEND`)
  })

  it('breaks prose between words, and leaves a line of code to the terminal, which copies it whole', async (test) => {
    const script = await liveScript(test, [
      ['- A sentence that has more wo', 'rds than a row'],
      ['rds than a row.\n```\nconst code = "longer than a row of', ' this terminal"'],
      [' this terminal"\n```\nDone', ''],
    ])
    const { keys, shows } = await terminal(test, 30, 10, script)
    await shows(/ {2}wo.\[2mrds than a row/, true)
    await keys('x', 'x', 'x')
    const screen = await shows(/END/)
    const code = 'const code = "longer than a row of this terminal"'
    assert.equal(
      screen.trimEnd(),
      `- A sentence that has more\n  words than a row.\n\`\`\`\n${code}\n\`\`\`\nDone\nEND`,
    )
  })

  it('leaves nothing of a tail longer than the screen, also when the screen had to scroll', async (test) => {
    const long = Array.from({ length: 50 }, (_, i) => `tail ${i}`).join('\n')
    const before = Array.from({ length: 7 }, (_, i) => `line ${i}`).join('\n')
    const { keys, shows } = await terminal(
      test,
      30,
      6,
      await liveScript(test, [
        [before, `\n${long}`],
        [' end', ''],
      ]),
    )
    await shows(/…/)
    await keys('x', 'x')
    assert.equal((await shows(/END/)).trimEnd(), `${before} end\nEND`)
  })

  it('survives a resize while a tail is shown', async (test) => {
    // Lines above, as in any session: what a resize scrolls out of the screen nobody can overwrite.
    const above = Array.from({ length: 6 }, (_, i) => `line ${i}\n`).join('')
    const committed = `${above}The committed text is about fifty characters long, `
    const tail = 'and the tail that follows it wraps in a small window as well'
    const { keys, shows, resize } = await terminal(
      test,
      70,
      10,
      await liveScript(test, [
        [committed, tail],
        ['done', ''],
      ]),
    )
    await shows(/as well/)
    await resize(24, 10)
    await wait(300)
    await resize(41, 9)
    await wait(300)
    await keys('x', 'x')
    assert.equal((await shows(/END/)).trimEnd(), `${committed}done\nEND`)
  })
})

/** Without the breaks that a terminal of another width would not have. */
const oneLine = (text: string) => text.trim().replaceAll(/\s+/g, ' ')

describe('incipit run on a terminal', { skip: noTmux || missing(smol, stories) }, () => {
  const command = (...args: string[]) =>
    shell('env', ...Object.entries(environment).map(([k, v]) => `${k}=${v}`), process.execPath, main, ...args)

  it('ends with the text that a pipe gets, and the summary on a line of its own', async (test) => {
    const prompt = `${'The old man sat by the river and watched the boats go by. '.repeat(10)}What did he watch?`
    const args = [
      'run',
      '--model',
      await chatStories(),
      '--threads',
      '1',
      '-n',
      '8',
      '--policy',
      'provisional',
      '--min-stability',
      '0',
      prompt,
    ]
    const { stdout } = await incipit(args)
    const { shows } = await terminal(test, 60, 20, command(...args))
    const screen = await shows(/^first word: [\s\S]*drafts:/m)
    const [, reply] = /(?:^incipit: [\s\S]*--cut\n)?([\s\S]*\n)first word: /.exec(screen) ?? []
    assert.equal(oneLine(reply!), oneLine(stdout))
    assert.doesNotMatch(await shows(/first word/, true), /\[2m/)
  })

  it('restores the terminal on Ctrl-C', async (test) => {
    const args = command('run', '--model', smol, '--threads', '1', '-n', '2000', 'Tell me a long story about a dragon.')
    const script = `stty -a > before; ${args}; echo "code $?"; stty -a > after; cmp before after && echo same modes`
    const folder = await temporary(test)
    const { keys, shows } = await terminal(test, 60, 20, `cd ${shell(folder)}; trap : INT; ${script}`)
    await shows(/[a-z]{3} [a-z]/)
    await keys('C-c')
    const screen = await shows(/same modes/, true)
    assert.match(screen, /\ncode 130\n/)
    assert.doesNotMatch(screen, /\[2m/)
  })
})
