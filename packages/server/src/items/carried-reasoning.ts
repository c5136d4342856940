const mark = 'incipit.'

/**
 * Reasoning in the form in which clients carry it from turn to turn (`encrypted_content`) when they do not show it. It is
 * no secret here, only opaque: the reply tells it in plain text as well.
 */
export function carried(reasoning: string): string {
  return mark + Buffer.from(reasoning).toString('base64url')
}

/** What was carried, or undefined where another server has made it. */
export function uncarried(content: string): string | undefined {
  return content.startsWith(mark) ? Buffer.from(content.slice(mark.length), 'base64url').toString() : undefined
}
