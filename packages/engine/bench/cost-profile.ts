import { parseArgs } from 'node:util'
import { load } from '../src/runtime/load/load.ts'
import { measureProfile } from './machine-profile.ts'
import { defaultModel, requireFiles } from './surroundings.ts'

// Measures what steps of a model cost on this machine and prints the profile that `incipit simulate --profile` takes.
//
//   node packages/engine/bench/cost-profile.ts [--model FILE] [--name NAME] [--threads N] [--dollars-per-hour X] > profile.json

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    name: { type: 'string', default: 'this-machine' },
    threads: { type: 'string' },
    repeats: { type: 'string', default: '9' },
    parallel: { type: 'string', default: '8' },
    'dollars-per-hour': { type: 'string', default: '0.10' },
  },
})
const path = values.model ?? defaultModel
requireFiles({ '--model': path })
const parallel = Number(values.parallel)
const parts = await load(path, { parallel, ...(values.threads ? { threads: Number(values.threads) } : {}) })
const profile = await measureProfile(parts, {
  name: values.name,
  repeats: Number(values.repeats),
  dollarsPerHour: Number(values['dollars-per-hour']),
})
console.log(JSON.stringify(profile, null, 2))
parts.dispose()
