import { join } from 'node:path'
import { modelHash } from '../../src/gguf/index.ts'
import { type ShapeName, writeShape } from '../shapes/write.ts'

// The process that writes a model: `node write-model.ts SHAPE FOLDER`. Its hash is computed here, too, so that no engine
// that is measured has to.

const [name, folder] = process.argv.slice(2) as [ShapeName, string]
const vocabulary = join(import.meta.dirname, '../../../../models/prelude-nano/prelude-nano.Q8_0.gguf')
const path = await writeShape(name, folder, vocabulary)
await modelHash(path, join(folder, 'cache'))
