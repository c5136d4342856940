/** A name that nothing else has. `crypto.randomUUID` is there over HTTPS only, and this page is often served without. */
export function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('')
}
