import type { GenerateEvent } from '@incipit/engine/api'
import type { FastifyRequest, onErrorHookHandler, preParsingHookHandler } from 'fastify'
import type { ModelDirectory } from './models/model-directory.ts'
import { type ServedEngine, withAccepted } from './served-engine.ts'
import { Upload } from './upload.ts'

/** What a route needs to work on bodies that are still arriving. */
export interface StreamedBodies {
  hooks: { preParsing?: preParsingHookHandler; onError?: onErrorHookHandler }
  /** The engine for one request: what was computed of its body is let go when its first reply has begun. */
  engineFor(request: FastifyRequest, engine: ServedEngine): ServedEngine
}

/** Streams request bodies into open inputs of engines that are loaded; see `Upload`. An engine that has none is used as it is. */
export function streamedBodies(models: ModelDirectory): StreamedBodies {
  const uploads = new WeakMap<FastifyRequest, Upload>()
  return {
    hooks: {
      // With a callback and not a promise: the body's own reader has to start listening in the same turn.
      preParsing(request, _reply, payload, done) {
        const { headers } = request
        const length = headers['content-length']
        const contentLength = length === undefined ? undefined : Number(length)
        // What is refused before it is read is not to be read here.
        const refused = contentLength !== undefined && !(contentLength <= request.routeOptions.bodyLimit)
        if (!refused && headers['content-type']?.startsWith('application/json')) {
          uploads.set(request, new Upload(request.raw, contentLength, (model) => models.loaded(model)))
        }
        done(null, payload)
      },
      onError(request, _reply, _error, done) {
        uploads.get(request)?.discard()
        done()
      },
    },
    engineFor(request, engine) {
      const upload = uploads.get(request)
      if (upload === undefined) return engine
      return {
        info: engine.info,
        generate: (wanted) => {
          const reply = engine.generate(wanted)
          return withAccepted(
            begun(reply, () => upload.discard()),
            reply,
          )
        },
      }
    },
  }
}

/** Calls back when the first event is there: by then the engine has taken over what it can use. */
async function* begun(events: AsyncIterable<GenerateEvent>, callback: () => void): AsyncGenerator<GenerateEvent> {
  try {
    for await (const event of events) {
      callback()
      yield event
    }
  } finally {
    callback()
  }
}
