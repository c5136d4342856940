import type { ArgumentNotation } from './arguments/argument-reader.ts'
import { gemmaArguments } from './arguments/gemma-arguments.ts'
import { jsonArguments } from './arguments/json-arguments.ts'
import { xmlArguments } from './arguments/xml-arguments.ts'

/** How a model writes a call of a tool, so that text can be told from calls and calls can be enforced. */
export interface ToolFormat {
  readonly name: string
  /** What a call begins with. */
  readonly trigger: string
  /** A call up to its arguments; begins with the trigger. */
  begin(tool: string): string
  readonly arguments: ArgumentNotation
  /** What follows the arguments. */
  readonly end: string
  /** The template describes tools by itself, and shows calls and their results. */
  readonly native: boolean
}

const quoted = (name: string) => JSON.stringify(name)
const object = (tool: string, key = 'arguments') => `{"name": ${quoted(tool)}, "${key}": `

const hermes: ToolFormat = {
  name: 'hermes',
  trigger: '<tool_call>',
  begin: (tool) => `<tool_call>\n${object(tool)}`,
  arguments: jsonArguments,
  end: '}\n</tool_call>',
  native: true,
}

/** Conventions by what a template says, the first one that fits. */
const known: readonly { readonly fits: (template: string) => boolean; readonly format: ToolFormat }[] = [
  {
    // Mistral from 2025 on.
    fits: (template) => template.includes('[TOOL_CALLS]') && template.includes('[ARGS]'),
    format: {
      name: 'mistral',
      trigger: '[TOOL_CALLS]',
      begin: (tool) => `[TOOL_CALLS]${tool}[ARGS]`,
      arguments: jsonArguments,
      end: '',
      native: true,
    },
  },
  {
    fits: (template) => template.includes('[TOOL_CALLS]'),
    format: {
      name: 'mistral-list',
      trigger: '[TOOL_CALLS]',
      begin: (tool) => `[TOOL_CALLS][${object(tool)}`,
      arguments: jsonArguments,
      end: '}]',
      native: true,
    },
  },
  {
    // Granite 3.
    fits: (template) => template.includes('<|tool_call|>'),
    format: {
      name: 'granite',
      trigger: '<|tool_call|>',
      begin: (tool) => `<|tool_call|>[${object(tool)}`,
      arguments: jsonArguments,
      end: '}]',
      native: true,
    },
  },
  {
    // Gemma 4; those before know no tools.
    fits: (template) => template.includes('<|tool_call>call:'),
    format: {
      name: 'gemma',
      trigger: '<|tool_call>',
      begin: (tool) => `<|tool_call>call:${tool}{`,
      arguments: gemmaArguments,
      end: '}<tool_call|>',
      native: true,
    },
  },
  {
    // Qwen3-Coder, Qwen3.5 and others; in a template the end of a line may be written out.
    fits: (template) => /<tool_call>(\\n|\n)<function=/.test(template) && template.includes('<parameter='),
    format: {
      name: 'qwen-xml',
      trigger: '<tool_call>',
      begin: (tool) => `<tool_call>\n<function=${tool}>\n`,
      arguments: xmlArguments,
      end: '</function>\n</tool_call>',
      native: true,
    },
  },
  { fits: (template) => template.includes('<tool_call>'), format: hermes },
  {
    fits: (template) => template.includes('<|python_tag|>') || /["']parameters["']: dictionary/.test(template),
    format: {
      name: 'llama-3',
      trigger: '{"name": ',
      begin: (tool) => object(tool, 'parameters'),
      arguments: jsonArguments,
      end: '}',
      native: true,
    },
  },
]

/** @param template of the model; a template that knows no tools gets a description of them as a system message */
export function toolFormat(template: string | undefined): ToolFormat {
  const found = template?.includes('tools') ? known.find(({ fits }) => fits(template))?.format : undefined
  return found ?? { ...hermes, name: 'generic', native: false }
}
