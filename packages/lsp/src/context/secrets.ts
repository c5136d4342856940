// What must not leave a file. Names first: such a file is no context and gets no completions. Then values in other files.

const names = [
  /^\.env(\..+)?$/i,
  /\.(pem|key|p12|pfx|jks|keystore|kdbx|ppk|asc|gpg)$/i,
  /^id_(rsa|dsa|ecdsa|ed25519)/i,
  /^\.(npmrc|pypirc|netrc|pgpass|htpasswd|git-credentials|dockercfg)$/i,
  /^(credentials|secrets?)(\.(json|ya?ml|toml|ini|txt))?$/i,
  /^(service[-_]?account|gcloud).*\.json$/i,
  /\.tfvars$/i,
]

// `.env.example` and the like are made to be read.
const examples = /\.(example|sample|template|dist)$/i

/** Whether a file of this name holds keys or passwords. */
export function isSecretFile(path: string): boolean {
  const name = path.split(/[\\/]/).at(-1) ?? ''
  return !examples.test(name) && names.some((pattern) => pattern.test(name))
}

const values = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\bgh[oprsu]_[A-Za-z0-9]{30,}\b/g,
  /\bgithub_pat_[A-Za-z0-9_]{30,}\b/g,
  /\bglpat-[A-Za-z0-9_-]{20,}/g,
  /\bsk-[A-Za-z0-9_-]{20,}/g,
  /\bxox[abprs]-[A-Za-z0-9-]{10,}/g,
  /\bAIza[A-Za-z0-9_-]{30,}/g,
  /\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}/g,
  // The password of a URL.
  /(?<=\b[a-z][a-z0-9+.-]*:\/\/[^\s:@/]+:)[^\s:@/]{4,}(?=@)/gi,
  // `password = "..."`: the value, where it is not a name or a placeholder.
  /(?<=(?:password|passwd|secret|token|api[-_]?key|access[-_]?key)["']?\s*[:=]\s*["'`])[^"'`\s$<{][^"'`\s]{7,}(?=["'`])/gi,
]

/** The same text, with what looks like a key or a password as `***`. */
export function withoutSecrets(text: string): string {
  let clean = text
  for (const pattern of values) clean = clean.replace(pattern, '***')
  return clean
}
