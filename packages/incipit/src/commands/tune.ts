import type { Command } from 'commander'

export function addTune(_program: Command): void {}
