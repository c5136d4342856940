import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import { IncipitError } from '../api/errors.ts'
import type { ChatMessage } from '../api/request.ts'
import { readGguf } from '../gguf/read.ts'
import { ChatTemplate } from './template.ts'

// Shapes of templates in use, each with the habit that makes it differ from the others.

/** The template in SmolLM2's GGUF: ChatML with a default system message. */
const smolSource =
  "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
const smol = new ChatTemplate(smolSource, { bosToken: '<|im_start|>', eosToken: '<|im_end|>' })

/** Qwen's way: ChatML, tools as JSON in the system message, white space control everywhere. */
const tooled = new ChatTemplate(
  `{%- if tools %}
    {{- '<|im_start|>system\\n# Tools\\n' }}
    {%- for tool in tools %}
        {{- tool | tojson }}
        {{- '\\n' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}`,
  { bosToken: '', eosToken: '<|im_end|>' },
)

/** Llama 3: trims contents, dates the system message, asks whether tools are none. */
const llama3 = new ChatTemplate(
  `{{- bos_token }}
{%- set date_string = strftime_now("%d %b %Y") %}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" + system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + message['content'] | trim + '<|eot_id|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}`,
  { bosToken: '<|begin_of_text|>', eosToken: '<|eot_id|>' },
)

/** Mistral: insists on alternating roles, the system message goes into the last user message. */
const mistral = new ChatTemplate(
  `{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}
        {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant") }}
    {%- endif %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- else %}
        {{- " " + message["content"] + eos_token }}
    {%- endif %}
{%- endfor %}`,
  { bosToken: '<s>', eosToken: '</s>' },
)

/** Gemma 2: refuses a system message, calls the assistant "model", trims. */
const gemma2 = new ChatTemplate(
  `{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}`,
  { bosToken: '<bos>', eosToken: '<eos>' },
)

/** Gemma 3: folds the system message into the first user message. */
const gemma3 = new ChatTemplate(
  `{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- set role = "model" if message['role'] == 'assistant' else message['role'] -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model\n' }}
{%- endif -%}`,
  { bosToken: '<bos>', eosToken: '<eos>' },
)

/** Zephyr: lines of a plain template, the generation prompt inside the loop. */
const zephyr = new ChatTemplate(
  `{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}`,
  { bosToken: '<s>', eosToken: '</s>' },
)

const system = (content: string): ChatMessage => ({ role: 'system', content })
const user = (content: string): ChatMessage => ({ role: 'user', content })
const assistant = (content: string): ChatMessage => ({ role: 'assistant', content })
const now = new Date(2025, 0, 5, 9, 7, 3)

const rejects = (pattern: RegExp) => (error: unknown) =>
  error instanceof IncipitError && error.code === 'chat_template' && pattern.test(error.message)

const modelPath = join(
  process.env.INCIPIT_MODELS ?? fileURLToPath(new URL('../../../../../shared/models', import.meta.url)),
  'SmolLM2-135M-Instruct.Q4_1.gguf',
)

test('the template under test is the one in the model file', { skip: !existsSync(modelPath) }, async () => {
  const { metadata } = await readGguf(modelPath)
  assert.equal(metadata.get('tokenizer.chat_template')?.value, smolSource)
})

test('SmolLM2 supplies its system message unless there is one', () => {
  assert.equal(
    smol.render([user('Hi')]),
    '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
  )
  assert.equal(
    smol.render([system('Be brief.'), user('Hi')]),
    '<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
  )
})

test('without the generation prompt the text ends with the last message', () => {
  assert.ok(smol.render([user('Hi')], { addGenerationPrompt: false }).endsWith('user\nHi<|im_end|>\n'))
})

test('tools reach the template as data', () => {
  const prompt = tooled.render([user('Hi')], { tools: [{ name: 'f', strict: true }] })
  assert.equal(
    prompt,
    '<|im_start|>system\n# Tools\n{"name": "f", "strict": true}\n<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n',
  )
  assert.ok(!tooled.render([user('Hi')]).includes('Tools'))
})

test('Llama 3 sees the date it is given, and tools that are none', () => {
  assert.equal(
    llama3.render([system(' Be brief. '), user(' Hi\n')], { now }),
    '<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nToday Date: 05 Jan 2025\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n',
  )
  assert.ok(llama3.render([user('Hi')], { tools: [{}] }).includes('Environment: ipython'))
})

test('strftime_now knows the directives of Python, in English', () => {
  const clock = new ChatTemplate('{{ strftime_now("%A %a %B %b %-d %d %m %y %Y %H:%M:%S %I %p %% %Q") }}', {
    bosToken: '',
    eosToken: '',
  })
  assert.equal(clock.render([], { now }), 'Sunday Sun January Jan 5 05 01 25 2025 09:07:03 09 AM % %Q')
})

test('Mistral puts the system message into the last user message', () => {
  assert.equal(
    mistral.render([system('Be brief.'), user('a'), assistant('b'), user('c')]),
    '<s>[INST] a[/INST] b</s>[INST] Be brief.\n\nc[/INST]',
  )
})

test('a rejection carries the message of the template', () => {
  assert.throws(() => mistral.render([user('a'), user('b')]), rejects(/rejected.*roles must alternate user\/assistant/))
  assert.throws(() => gemma2.render([system('x'), user('a')]), rejects(/rejected.*System role not supported/))
})

test('Gemma calls the assistant "model" and folds the system message where it can', () => {
  assert.equal(
    gemma2.render([user(' a '), assistant('b'), user('c')]),
    '<bos><start_of_turn>user\na<end_of_turn>\n<start_of_turn>model\nb<end_of_turn>\n<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n',
  )
  assert.equal(
    gemma3.render([system('Be brief.'), user('a')]),
    '<bos><start_of_turn>user\nBe brief.\n\na<end_of_turn>\n<start_of_turn>model\n',
  )
})

test('line breaks after tags are dropped, those after text stay', () => {
  assert.equal(
    zephyr.render([system('Be brief.'), user('a')]),
    '<|system|>\nBe brief.</s>\n<|user|>\na</s>\n<|assistant|>\n',
  )
})

test('a source that is no template is refused when it is parsed', () => {
  assert.throws(() => new ChatTemplate('{% if %}', { bosToken: '', eosToken: '' }), rejects(/cannot be parsed/))
  assert.throws(() => new ChatTemplate('{% for x in %}', { bosToken: '', eosToken: '' }), rejects(/cannot be parsed/))
})

test('a template that fails says why', () => {
  const broken = new ChatTemplate('{{ messages[0].content | no_such_filter }}', { bosToken: '', eosToken: '' })
  assert.throws(() => broken.render([user('a')]), rejects(/failed: .*no_such_filter/))
})

test('contents are data: template syntax in them is not run', () => {
  assert.ok(smol.render([user('{{ bos_token }}{% if %}')]).includes('user\n{{ bos_token }}{% if %}<|im_end|>'))
})

const suffixes: [string, ChatTemplate, string][] = [
  ['SmolLM2', smol, '<|im_end|>\n<|im_start|>assistant\n'],
  ['ChatML with tools', tooled, '<|im_end|>\n<|im_start|>assistant\n'],
  ['Llama 3', llama3, '<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n'],
  ['Mistral', mistral, '[/INST]'],
  ['Gemma 2', gemma2, '<end_of_turn>\n<start_of_turn>model\n'],
  ['Gemma 3', gemma3, '<end_of_turn>\n<start_of_turn>model\n'],
  ['Zephyr', zephyr, '</s>\n<|assistant|>\n'],
]

for (const [name, template, suffix] of suffixes) {
  test(`${name}: the suffix is what follows the last user message`, () => {
    assert.equal(template.generationSuffix(), suffix)
    assert.ok(template.render([user('Hello there')]).endsWith(`Hello there${suffix}`))
  })

  test(`${name}: the place of the content is the place of every content`, () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.boolean(), (content, longer) => {
        const before = longer ? [user('a'), assistant('b')] : []
        const place = template.contentPlace([...before, user('')], { now })!
        const start = place.trimsStart ? content.trimStart() : content
        const stands = place.trimsEnd ? start.trimEnd() : start
        assert.equal(place.before + stands + place.after, template.render([...before, user(content)], { now }))
        assert.equal(place.after, suffix)
      }),
      { numRuns: 50 },
    )
  })
}

test('the beginning of an open prompt does not depend on what is typed', () => {
  const before = (content: string) => llama3.contentPlace([system('s'), user(content)], { now })?.before
  assert.equal(before('H'), before('Hello, wor'))
  assert.ok(before('H')?.endsWith('user<|end_header_id|>\n\n'))
})

const about = (expression: string) => new ChatTemplate(`<u>${expression}</u>`, { bosToken: '', eosToken: '' })

test('a template that alters or repeats the content has no place for it and no suffix', () => {
  for (const expression of ['{{ messages[0].content | upper }}', '{{ messages[0].content | length }}', 'fixed']) {
    assert.equal(about(expression).contentPlace([user('some words')]), undefined, expression)
    assert.equal(about(expression).generationSuffix(), '', expression)
  }
  const repeated = about('{{ messages[0].content }}{{ messages[0].content }}')
  assert.equal(repeated.contentPlace([user('some words')]), undefined)
  assert.equal(repeated.generationSuffix(), '')
})

test('text that looks like the marker is no trouble', () => {
  const place = smol.contentPlace([user('OpenContentMarker'), assistant('OpenContentMarkerXy'), user('')])
  assert.ok(place?.before.includes('OpenContentMarkerXy<|im_end|>'))
})

test('the place of a content is found without it, and whether it is trimmed', () => {
  const place = { before: '<u>', after: '</u>', trimsStart: false, trimsEnd: false }
  assert.deepEqual(about('{{ messages[0].content }}').contentPlace([user('')]), place)
  const trimmed = about(' {{ messages[0].content | trim }} ').contentPlace([user('')])
  assert.deepEqual(trimmed, { before: '<u> ', after: ' </u>', trimsStart: true, trimsEnd: true })
  const lstripped = about('{{ messages[0].content.lstrip() }}').contentPlace([user('')])
  assert.deepEqual(lstripped, { ...place, trimsStart: true })
  const rstripped = about('{{ messages[0].content.rstrip() }}').contentPlace([user('')])
  assert.deepEqual(rstripped, { ...place, trimsEnd: true })
})

test('a content that is altered, repeated or rejected has no place', () => {
  assert.equal(about('{{ messages[0].content | upper }}').contentPlace([user('')]), undefined)
  assert.equal(about('{{ messages[0].content }}{{ messages[0].content }}').contentPlace([user('')]), undefined)
  assert.equal(gemma2.contentPlace([system('x'), user('')]), undefined)
  assert.equal(smol.contentPlace([]), undefined)
})
