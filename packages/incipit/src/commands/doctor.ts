import type { Command } from 'commander'

/** `incipit doctor`: what was found on this machine, what was chosen, and why. */
export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('Say what was found on this machine, what was chosen and why: what a bug report needs.')
    .action((_flags: object, command: Command) => doctor(command.parent?.version() ?? ''))
}

async function doctor(version: string): Promise<void> {
  const { examine } = await import('../doctor/examine.ts')
  const { lines, works } = await examine(version)
  process.stdout.write(`${lines.join('\n')}\n`)
  if (!works) process.exitCode = 1
}
