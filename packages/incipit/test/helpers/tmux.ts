import { execFile, spawnSync } from 'node:child_process'
import type { TestContext } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { promisify } from 'node:util'
import { environment } from './command.ts'

const run = promisify(execFile)

/** For the `skip` option of a test. */
export const noTmux = spawnSync('tmux', ['-V']).status === 0 ? false : 'tmux is not installed'

/** A real terminal (tmux) of this size that runs a shell command. */
export async function terminal(test: TestContext, columns: number, rows: number, command: string) {
  const socket = `incipit-test-${process.pid}-${Math.random().toString(36).slice(2)}`
  const tmux = async (...args: string[]) => {
    const env = { ...environment, TERM: 'xterm-256color', LC_ALL: 'C.UTF-8' }
    return (await run('tmux', ['-L', socket, '-f', '/dev/null', ...args], { env })).stdout
  }
  await tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), `${command}; exec sleep 1000`)
  test.after(() => tmux('kill-server').catch(() => {}))
  /** Everything that was ever shown, rows that wrapped joined again. With `styles`, dim text stands in [2m ... */
  const text = async (styles = false) => {
    const screen = await tmux('capture-pane', '-p', '-J', '-S', '-', ...(styles ? ['-e'] : []))
    return screen.replaceAll(/ +$/gm, '')
  }
  return {
    text,
    keys: (...keys: string[]) => tmux('send-keys', ...keys),
    /** Types these characters. */
    type: (text: string) => tmux('send-keys', '-l', text),
    /** Pastes, as a terminal does: with marks around it, where they were asked for. */
    async paste(text: string): Promise<void> {
      await tmux('set-buffer', text)
      await tmux('paste-buffer', '-p')
    },
    resize: (x: number, y: number) => tmux('resize-window', '-x', String(x), '-y', String(y)),
    async shows(pattern: RegExp, styles = false): Promise<string> {
      let seen = ''
      for (const end = performance.now() + 30_000; performance.now() < end; await wait(30)) {
        seen = await text(styles)
        if (pattern.test(seen)) return seen
      }
      throw new Error(`the terminal never showed ${pattern}:\n${seen}`)
    },
  }
}

/** Words for a shell. */
export function shell(...args: string[]): string {
  return args.map((arg) => `'${arg.replaceAll("'", "'\\''")}'`).join(' ')
}
