import { IncipitError } from '@incipit/engine/api'
import { z } from 'zod'
import { chatMessage } from '../chat-message.ts'
import { ServerError } from '../errors.ts'
import { inputItem } from '../items/input-item.ts'
import { strictArray } from '../strict-array.ts'
import { unsupported, validate } from '../validate.ts'
import { responseParameters, sessionParameters } from './session-parameters.ts'

/** Longest `event_id` of a client: it comes back in error events. In UTF-16 units. */
const MAX_EVENT_ID = 512

const head = { event_id: z.string().max(MAX_EVENT_ID).nullish() }

const id = z.string().min(1, 'must not be empty')

/** An item that stands for itself. */
const newItem = inputItem.transform((item, context) => {
  if (item.type !== 'item_reference') return item
  const message = 'a reference makes no item'
  context.addIssue({ code: 'custom', path: ['type'], message, ...unsupported })
  return z.NEVER
})

/** The body of each client event, by its `type`. */
export const clientEvents = {
  'session.update': z.object({ ...head, session: sessionParameters }),
  'input_text.append': z.object({ ...head, text: z.string() }),
  'input_text.replace': z.object({ ...head, base: z.int().min(0), text: z.string() }),
  'input_text.clear': z.object(head),
  'input_text.commit': z.object(head),
  'conversation.replace': z.object({ ...head, messages: strictArray(chatMessage, { least: 0 }) }),
  'conversation.item.create': z.object({ ...head, item: newItem, previous_item_id: id.nullish() }),
  'conversation.item.delete': z.object({ ...head, item_id: id }),
  'conversation.item.retrieve': z.object({ ...head, item_id: id }),
  'response.create': z.object({ ...head, response: responseParameters.nullish() }),
  'response.cancel': z.object({ ...head, response_id: z.string().nullish() }),
} as const

/** Events of OpenAI's that concern audio. */
const audioEvent = /^(input_audio_buffer|output_audio_buffer)\.|^conversation\.item\.truncate$/

type ClientEvents = { [T in keyof typeof clientEvents]: { type: T } & z.infer<(typeof clientEvents)[T]> }

/** A client event that passed its schema. */
export type ClientEvent = ClientEvents[keyof ClientEvents]

/**
 * Checks a client event.
 *
 * @throws IncipitError `invalid_request` and ServerError `unsupported`, naming the parameter
 */
export function checkEvent(value: unknown): ClientEvent {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new IncipitError('invalid_request', 'an event must be a JSON object')
  }
  const type = 'type' in value ? value.type : undefined
  if (typeof type !== 'string' || !isKnown(type)) {
    if (typeof type === 'string' && audioEvent.test(type)) {
      const message = `type: ${type} concerns audio, and this server takes and gives text`
      throw new ServerError('unsupported', message, { param: 'type' })
    }
    const known = Object.keys(clientEvents).join(', ')
    throw new IncipitError('invalid_request', `type must be one of ${known}`, { param: 'type' })
  }
  // The schema belongs to the type, which TypeScript cannot follow through the lookup.
  return { type, ...validate<object>(clientEvents[type], value) } as ClientEvent
}

function isKnown(type: string): type is keyof typeof clientEvents {
  return Object.hasOwn(clientEvents, type)
}

/** The `event_id` of a frame that may be anything: what an error event refers to. */
export function eventIdOf(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || !('event_id' in value)) return null
  const { event_id: id } = value
  return typeof id === 'string' && id.length <= MAX_EVENT_ID ? id : null
}
