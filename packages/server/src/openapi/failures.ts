import { type ErrorCode, IncipitError } from '@incipit/engine/api'
import { ServerError, type ServerErrorCode, serverErrorCodes } from '../errors.ts'
import type { Operation } from './operation.ts'

type Code = ErrorCode | ServerErrorCode

// Which codes of docs/errors.md an operation may answer with.

const anywhere: readonly ServerErrorCode[] = [
  'bad_request',
  'invalid_api_key',
  'request_timeout',
  'headers_too_large',
  'internal',
  'loading',
]
const ofInputs: readonly Code[] = ['invalid_request', 'unsupported']
const ofBodies: readonly ServerErrorCode[] = ['invalid_json', 'body_too_large', 'unsupported_media_type']
const ofModels: readonly Code[] = [
  'unsupported',
  'model_not_found',
  'model_invalid',
  'model_unsupported',
  'native_library',
  'context_memory',
  'cut_refused',
  'draft_mismatch',
  'prefix_invalid',
  'chat_template',
  'closed',
  'engine_failed',
  'engine_died',
]
const ofReplies: readonly Code[] = [
  ...ofModels,
  'context_overflow',
  'constraint_failed',
  'batch_invalid',
  'decode_failed',
  'disposed',
  'cancelled',
  'overloaded',
]
const ofKept: readonly ServerErrorCode[] = ['response_not_found', 'previous_response_not_found']

const ofWork: Readonly<Record<NonNullable<Operation['uses']>, readonly Code[]>> = {
  model: ofModels,
  reply: ofReplies,
  response: [...ofReplies, ...ofKept],
  'kept responses': ofKept,
}

/** Everything that may go wrong, each as the error that is thrown then. */
export function failuresOf(method: string, { uses, socket }: Operation): (IncipitError | ServerError)[] {
  const codes: Code[] = [
    ...anywhere,
    ...ofInputs,
    ...(method === 'POST' ? ofBodies : []),
    ...(uses === undefined ? [] : ofWork[uses]),
    ...(socket ? (['origin_refused', 'not_found'] as const) : []),
  ]
  return [...new Set(codes)].map((code) => errorOf(code))
}

function errorOf(code: Code): IncipitError | ServerError {
  return isServerCode(code) ? new ServerError(code, code) : new IncipitError(code, code)
}

function isServerCode(code: Code): code is ServerErrorCode {
  return Object.hasOwn(serverErrorCodes, code)
}
