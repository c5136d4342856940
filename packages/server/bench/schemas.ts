// Fifty schemas as applications write them, small to large and recursive, each with what its reply is to be about. Texts are
// bounded: a small model would not end them by itself.

export interface Task {
  readonly name: string
  readonly size: 'small' | 'medium' | 'large' | 'recursive'
  readonly prompt: string
  readonly schema: object
}

type Fields = Readonly<Record<string, object>>

const text = (maxLength = 24) => ({ type: 'string', maxLength })
const whole = (minimum: number, maximum: number) => ({ type: 'integer', minimum, maximum })
const number = { type: 'number' }
const yes = { type: 'boolean' }
const one = (...values: string[]) => ({ enum: values })
const list = (items: object, maxItems = 3) => ({ type: 'array', items, minItems: 1, maxItems })
const maybe = (schema: object) => ({ anyOf: [schema, { type: 'null' }] })
const object = (properties: Fields, optional: readonly string[] = []) => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((key) => !optional.includes(key)),
  additionalProperties: false,
})

const address: Fields = {
  street: text(),
  house_number: whole(1, 400),
  postal_code: text(8),
  city: text(),
  country: text(),
}
const person: Fields = { first_name: text(16), last_name: text(16), age: whole(0, 120) }
const money: Fields = { amount: number, currency: one('EUR', 'USD', 'GBP', 'JPY') }
const time: Fields = { hour: whole(0, 23), minute: whole(0, 59) }
const date: Fields = { year: whole(1900, 2100), month: whole(1, 12), day: whole(1, 31) }

const small: readonly [string, Fields][] = [
  ['a sentiment', { sentiment: one('positive', 'neutral', 'negative'), confidence: whole(0, 100) }],
  ['a person', person],
  ['a colour', { red: whole(0, 255), green: whole(0, 255), blue: whole(0, 255) }],
  ['a yes or no question', { answer: yes, because: text(40) }],
  ['a weather report', { city: text(), celsius: whole(-50, 60), sky: one('clear', 'cloudy', 'rain', 'snow') }],
  ['a city', { name: text(), country: text(), inhabitants: whole(1, 40_000_000) }],
  ['a translation', { language: text(12), translation: text(40) }],
  ['a time', time],
  ['a price', money],
  ['a place on a map', { latitude: number, longitude: number, label: text() }],
  ['a film', { title: text(32), year: whole(1890, 2030), genre: one('drama', 'comedy', 'thriller', 'documentary') }],
  ['a command for a robot', { action: one('move', 'turn', 'stop'), degrees: whole(0, 359), metres: whole(0, 100) }],
  ['a label for an email', { category: one('work', 'private', 'spam'), urgent: yes }],
  ['keywords of a text about the sea', { keywords: list(text(12), 4) }],
  ['a score', { points: whole(0, 10), reason: text(40) }],
]

const medium: readonly [string, Fields, (readonly string[])?][] = [
  ['a customer', { ...person, email: text(), address: object(address), newsletter: yes }],
  [
    'an order',
    {
      order_number: whole(1, 99999),
      customer: object(person),
      total: object(money),
      paid: yes,
      delivered: maybe(object(date)),
    },
  ],
  [
    'a recipe',
    {
      title: text(),
      minutes: whole(1, 300),
      servings: whole(1, 12),
      ingredients: list(object({ name: text(16), grams: whole(1, 2000) })),
      steps: list(text(40)),
    },
  ],
  [
    'a book',
    {
      title: text(32),
      authors: list(object(person), 2),
      published: object(date),
      pages: whole(1, 2000),
      languages: list(text(10), 2),
    },
  ],
  [
    'a meeting',
    {
      subject: text(32),
      date: object(date),
      begin: object(time),
      end: object(time),
      attendees: list(text(16)),
      online: yes,
    },
  ],
  [
    'a bug report',
    {
      title: text(40),
      severity: one('low', 'medium', 'high', 'critical'),
      steps_to_reproduce: list(text(40)),
      expected: text(40),
      actual: text(40),
      version: text(10),
    },
  ],
  [
    'a product',
    {
      name: text(),
      description: text(60),
      price: object(money),
      in_stock: whole(0, 1000),
      tags: list(text(10)),
      dimensions: object({ width: number, height: number, depth: number }),
    },
  ],
  [
    'a job offer',
    {
      position: text(),
      company: text(),
      address: object(address),
      salary: object({ from: whole(10_000, 90_000), to: whole(10_000, 200_000), currency: one('EUR', 'USD') }),
      remote: yes,
    },
  ],
  [
    'a flight',
    {
      flight_number: text(8),
      from: text(3),
      to: text(3),
      departure: object(time),
      arrival: object(time),
      seats: whole(1, 500),
      class: one('economy', 'business', 'first'),
    },
  ],
  [
    'a patient',
    {
      ...person,
      blood_group: one('A', 'B', 'AB', '0'),
      allergies: list(text(14), 2),
      medications: list(object({ name: text(16), milligrams: whole(1, 1000), times_a_day: whole(1, 4) }), 2),
    },
  ],
  [
    'a football match',
    {
      home: text(),
      away: text(),
      goals_home: whole(0, 12),
      goals_away: whole(0, 12),
      scorers: list(object({ player: text(16), minute: whole(1, 120) })),
    },
  ],
  [
    'a music playlist',
    { name: text(), tracks: list(object({ title: text(), artist: text(), seconds: whole(1, 900) })), public: yes },
  ],
  [
    'a server',
    {
      host: text(),
      port: whole(1, 65535),
      protocol: one('http', 'https'),
      timeouts: object({ connect_ms: whole(1, 60_000), read_ms: whole(1, 60_000) }),
      headers: list(object({ name: text(16), value: text(16) }), 2),
    },
  ],
  ['a chess opening', { name: text(), moves: list(object({ white: text(5), black: text(5) })), eco_code: text(3) }],
  [
    'a house for sale',
    {
      address: object(address),
      rooms: whole(1, 20),
      square_metres: whole(10, 2000),
      price: object(money),
      garden: yes,
      garage: yes,
    },
    ['garage'],
  ],
  [
    'a lecture',
    {
      title: text(32),
      lecturer: object(person),
      room: text(8),
      weekday: one('Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday'),
      begin: object(time),
      credits: whole(1, 12),
    },
  ],
  [
    'a plant',
    {
      latin_name: text(),
      common_names: list(text(16)),
      height_cm: whole(1, 10_000),
      flowers: object({ colour: text(10), months: list(whole(1, 12)) }),
      edible: yes,
    },
  ],
  [
    'a bank transfer',
    {
      from_account: text(16),
      to_account: text(16),
      amount: object(money),
      reference: text(30),
      execute_on: object(date),
      recurring: maybe(one('weekly', 'monthly', 'yearly')),
    },
  ],
  [
    'a news article',
    {
      headline: text(60),
      author: object(person),
      date: object(date),
      section: one('politics', 'economy', 'sports', 'culture'),
      summary: text(100),
    },
  ],
  [
    'a video game character',
    {
      name: text(16),
      class: one('warrior', 'mage', 'rogue'),
      level: whole(1, 99),
      attributes: object({ strength: whole(1, 20), agility: whole(1, 20), wisdom: whole(1, 20) }),
      inventory: list(text(16)),
    },
  ],
]

const sections: readonly [string, Fields][] = [
  ['customer', { ...person, email: text(), address: object(address) }],
  [
    'delivery',
    { carrier: one('post', 'courier', 'pickup'), date: object(date), address: object(address), insured: yes },
  ],
  ['payment', { method: one('card', 'transfer', 'invoice'), ...money, paid_on: maybe(object(date)) }],
  [
    'items',
    {
      first: object({ name: text(), count: whole(1, 9), price: object(money) }),
      second: object({ name: text(), count: whole(1, 9), price: object(money) }),
    },
  ],
  ['support', { channel: one('email', 'phone', 'chat'), agent: object(person), resolved: yes, minutes: whole(0, 600) }],
  [
    'audit',
    { created: object(date), created_at: object(time), changed: object(date), changed_at: object(time), by: text(16) },
  ],
  [
    'settings',
    {
      language: text(8),
      currency: one('EUR', 'USD'),
      newsletter: yes,
      theme: one('light', 'dark'),
      page_size: whole(1, 100),
    },
  ],
]
const large = Array.from({ length: 10 }, (_, i): [string, Fields] => {
  const chosen = Array.from({ length: 4 }, (_, k) => sections[(i + 2 * k) % sections.length]!)
  const fields = chosen.map(([name, inner]) => [name, object(inner)] as const)
  return [
    `a record of a shop, number ${i + 1}`,
    { record_number: whole(1, 99_999), ...Object.fromEntries(fields), notes: text(40) },
  ]
})

const recursion = (name: string, definition: object): object => ({
  $ref: `#/$defs/${name}`,
  $defs: { [name]: definition },
})
const again = (name: string) => ({ $ref: `#/$defs/${name}` })
const recursive: readonly [string, object][] = [
  [
    'a tree of folders',
    recursion('folder', object({ name: text(12), folders: { type: 'array', items: again('folder'), maxItems: 2 } })),
  ],
  ['a linked list of three numbers', recursion('node', object({ value: whole(0, 99), next: maybe(again('node')) }))],
  [
    'a family tree',
    recursion('person', object({ ...person, children: { type: 'array', items: again('person'), maxItems: 2 } })),
  ],
  [
    'an arithmetic expression',
    recursion('term', {
      anyOf: [whole(0, 99), object({ operator: one('+', '-', '*'), left: again('term'), right: again('term') })],
    }),
  ],
  [
    'a comment with replies',
    recursion(
      'comment',
      object({ author: text(12), text: text(40), replies: { type: 'array', items: again('comment'), maxItems: 2 } }),
    ),
  ],
]

const ask = (what: string) => `Invent ${what}. Answer with JSON only.`

export const tasks: readonly Task[] = [
  ...small.map(([name, fields]): Task => ({ name, size: 'small', prompt: ask(name), schema: object(fields) })),
  ...medium.map(
    ([name, fields, optional]): Task => ({ name, size: 'medium', prompt: ask(name), schema: object(fields, optional) }),
  ),
  ...large.map(([name, fields]): Task => ({ name, size: 'large', prompt: ask(name), schema: object(fields) })),
  ...recursive.map(([name, schema]): Task => ({ name, size: 'recursive', prompt: ask(name), schema })),
]
