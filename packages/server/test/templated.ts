import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before } from 'node:test'
import compile from '@incipit/constraint/compiler'
import { Engine } from '@incipit/engine'
import { writeAltered } from '../../engine/test/fixtures/altered.ts'
import { missing, pathOf, shallowLayers, smol } from './models.ts'

/** A template that opens the reasoning of its model, unless it is told not to. */
export const thinking = `{% for m in messages %}<|im_start|>{{ m.role }}
{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and not enable_thinking %}<think>

</think>

{% else %}<think>
{% endif %}{% endif %}`

interface Options {
  /** Default 512. */
  readonly contextLength?: number
  /** The model of a few layers. */
  readonly shallow?: boolean
}

/** Loads SmolLM2 with another chat template, for models that are too large to be here. Closed after the tests of the file. */
export function templated(template: string, { contextLength = 512, shallow = false }: Options = {}): () => Engine {
  let folder: string
  let engine: Engine | undefined
  before(async () => {
    if (missing(smol)) return
    folder = await mkdtemp(join(tmpdir(), 'incipit-template-'))
    const path = join(folder, 'templated.gguf')
    await writeAltered(pathOf(smol), path, { template, ...(shallow && { layers: shallowLayers }) })
    engine = await Engine.load(path, { threads: 1, contextLength, cacheDir: folder, constraints: compile })
  })
  after(async () => {
    if (missing(smol)) return
    await engine?.close()
    await rm(folder, { recursive: true, force: true })
  })
  return () => {
    if (engine === undefined) throw new Error('the model is not loaded')
    return engine
  }
}
