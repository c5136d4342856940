import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { full } from '../../engine/test/fixtures/test-size.ts'
import { commandOf, completions } from '../src/chat/commands.ts'
import { environment, incipit, main, missing, printed, smol, start, stories } from './helpers/command.ts'
import { temporary } from './helpers/temporary.ts'
import { noTmux, shell, terminal } from './helpers/tmux.ts'

const short = full ? false : 'runs with npm run test:full'
const model = ['--model', smol, '--threads', '1']

describe('incipit chat through pipes', { skip: missing(smol, stories) }, () => {
  it('answers line by line, with the conversation so far, and prints nothing else', async (test) => {
    const file = join(await temporary(test), 'talk.json')
    const other = join(dirname(file), 'other.txt')
    await writeFile(other, 'precious')
    const input = `Say hello.\n/system Be brief.\n\nAnd again?\n/save ${file}\n/save ${other}\n/nonsense\n`
    const { code, stdout, stderr } = await incipit(['chat', ...model, '-n', '8'], { input })
    assert.equal(code, 0)
    const saved = JSON.parse(await readFile(file, 'utf8'))
    assert.equal(saved.system, 'Be brief.')
    assert.deepEqual(
      saved.turns.map(({ role }: { role: string }) => role),
      ['user', 'assistant', 'user', 'assistant'],
    )
    const [first, second] = [saved.turns[1].content, saved.turns[3].content]
    assert.equal(stdout, `${first}\nBe brief.\n${second}\n4 turns are in ${file}\n`)
    assert.match(stderr, /incipit: there is no \/nonsense; \/help lists what there is\n/)
    assert.match(stderr, /other\.txt is there, and holds no conversation: it stays as it is\n/)
    assert.equal(await readFile(other, 'utf8'), 'precious')
    if (short) return
    const again = await incipit(['chat', ...model, '-n', '8'], { input: `/load ${file}\n/stats\n` })
    assert.ok(again.stdout.startsWith(`> Say hello.\n${first}\n\n> And again?\n${second}\n`))
  })

  it('gives the reply that run gives', { skip: short }, async () => {
    const { stdout } = await incipit(['run', ...model, '-n', '12', 'Name a colour.'])
    const chat = await incipit(['chat', ...model, '-n', '12'], { input: 'Name a colour.\n' })
    assert.equal(chat.stdout, `${stdout.replace(/\n$/, '')}\n`)
  })

  it('goes on with another model, and with the former one when there is no such model', { skip: short }, async () => {
    const { stdout, stderr } = await incipit(['chat', ...model, '-n', '4'], {
      input: `/model /nowhere.gguf\nHi.\n/model ${stories}\nOnce upon a time\n/policy bold\n`,
    })
    assert.match(stderr, /\(model_not_found\)/)
    assert.match(stderr, /there is no policy bold; there are committed/)
    assert.match(stdout, /^.+\nstories260K \(.*\n.+\n$/)
  })

  it('stops a reply on Ctrl-C, and itself when nothing is answered', { skip: short }, async (test) => {
    const command = start(['chat', ...model, '-n', '1000'])
    test.after(() => command.child.kill('SIGKILL'))
    command.child.stdin!.write('Tell me a very long story about a dragon.\n')
    await printed(command, /\w+ \w+ \w+/)
    command.child.kill('SIGINT')
    await wait(300)
    command.child.stdin!.end('/stats\n')
    const { code, stdout } = await command.ended
    assert.deepEqual([code, /ended: cancelled/.test(stdout)], [0, true])
  })
})

describe('incipit chat on a terminal', { skip: noTmux || missing(smol) }, () => {
  async function talk(test: TestContext, columns: number, rows: number, ...args: string[]) {
    const words = [...Object.entries(environment).map(([key, value]) => `${key}=${value}`), process.execPath, main]
    const command = `${shell('env', ...words, 'chat', ...model, ...args)}; echo over: $?`
    const tmux = await terminal(test, columns, rows, command)
    await tmux.shows(/\/help says/)
    return tmux
  }

  it('reads while one types, shows dim what it would say, and says it at Enter', async (test) => {
    const { type, keys, shows } = await talk(test, 70, 20, '-n', '24')
    await type('What is the opposite of hot?')
    await shows(/● What is the opposite of hot\?\n\S/)
    await shows(/\[2mThe/, true)
    await keys('Enter')
    const screen = await shows(/hot\?\n(The .*)\n[\s\S]*○/)
    assert.doesNotMatch(screen, /\nThe [^\n]*\nThe /)
    await type('/stats')
    await keys('Enter')
    await shows(/first word: provisional 0\.0 ms/)
  })

  it('takes pastes and line ends into one message, and keeps them in its history', { skip: short }, async (test) => {
    const file = join(await temporary(test), 'talk.json')
    const { paste, type, keys, shows } = await talk(test, 70, 20, '-n', '4')
    await paste('one\ntwo\n')
    await shows(/one␤two␤/)
    await type('three\\')
    await keys('Enter')
    await type('four')
    await keys('Enter')
    await shows(/\n○$/m)
    await type(`/save ${file}`)
    await keys('Enter')
    await shows(/2 turns are in/)
    assert.equal(JSON.parse(await readFile(file, 'utf8')).turns[0].content, 'one\ntwo\nthree\nfour')
    await keys('Up', 'Up')
    await shows(/one␤two␤three␤four$/m)
    await keys('C-c', 'C-c')
    await shows(/Ctrl-C again/)
    await type('x')
    await keys('C-c', 'C-c')
    await keys('C-c')
    await shows(/over: 0/)
  })

  it('stops the reply on Ctrl-C, keeps what was typed meanwhile, forgets a line on Ctrl-C, ends on Ctrl-D', {
    skip: short,
  }, async (test) => {
    const { type, keys, shows } = await talk(test, 70, 20, '-n', '1000')
    await type('Tell me a very long story about a dragon.')
    await keys('Enter')
    await shows(/dragon\.\n[\s\S]*\w+ \w+ \w+/)
    await keys('C-c')
    await shows(/\(stopped\)/)
    await type('half a thou')
    await shows(/half a thou/)
    await keys('C-c')
    await type('/ti')
    await keys('Tab')
    await type(' np')
    await keys('Tab', 'Enter')
    await shows(/tier npc, first word wanted within 50 ms/)
    await keys('C-d')
    await shows(/over: 0/)
  })

  it('is narrow, and has wide characters', { skip: short }, async (test) => {
    const { type, keys, shows } = await talk(test, 24, 12, '-n', '6')
    await type('こんにちは、世界。これは長い行です。')
    const typed = await shows(/これは長い行です。\n\S/)
    assert.equal(typed.match(/[○◔◑◕●]/gu)?.length, 1, typed)
    await keys('BSpace', 'BSpace')
    await keys('Enter')
    await shows(/行で\n[\s\S]*○/)
  })
})

describe('what is for the program', () => {
  const cases: [string, ReturnType<typeof commandOf>][] = [
    ['/stats', { name: 'stats', argument: '' }],
    ['/system Be brief.\nAnd kind.', { name: 'system', argument: 'Be brief.\nAnd kind.' }],
    ['/', { name: '', argument: '' }],
    ['//etc/hosts', undefined],
    ['/etc/hosts is a file', undefined],
    ['a /stats', undefined],
  ]
  for (const [line, command] of cases) it(JSON.stringify(line), () => assert.deepEqual(commandOf(line), command))
})

describe('what Tab makes of a line', () => {
  const cases: [string, string[]][] = [
    ['/s', ['/system', '/stats', '/save']],
    ['/tier ', ['/tier npc', '/tier translation', '/tier code', '/tier analytics', '/tier chat', '/tier batch']],
    ['/policy t', ['/policy tolerant']],
    ['/save n', []],
    ['/constructor ', []],
    ['Hello', []],
    ['', []],
  ]
  for (const [line, expected] of cases) it(JSON.stringify(line), () => assert.deepEqual(completions(line), expected))
})
