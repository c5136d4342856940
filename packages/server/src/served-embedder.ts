import type { EmbedderApi } from '@incipit/engine/api'

/** What the server needs of an embedder, wherever that runs. */
export type ServedEmbedder = Pick<EmbedderApi, 'info' | 'embed'>
