import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isSecretFile, withoutSecrets } from './secrets.ts'

test('files of keys and passwords by their names', () => {
  for (const name of ['.env', 'a/.env.local', 'server.pem', 'id_rsa', '.npmrc', 'credentials.json', 'prod.tfvars']) {
    assert.ok(isSecretFile(name), name)
  }
  for (const name of ['.env.example', 'environment.ts', 'key.ts', 'secrets.ts', 'src/tokens.ts', 'pem.md']) {
    assert.ok(!isSecretFile(name), name)
  }
})

test('values that look like keys are left out, the code around them stays', () => {
  const cases: [string, string][] = [
    ['const password = "hunter2hunter2"', 'const password = "***"'],
    ["apiKey: 'a8f7d6s5f4a3s2d1'", "apiKey: '***'"],
    ['postgres://user:s3cretpw@host/db', 'postgres://user:***@host/db'],
    [`token = "ghp_${'a'.repeat(36)}"`, 'token = "***"'],
    ['AKIAIOSFODNN7EXAMPLE', '***'],
    ['-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----', '***'],
  ]
  for (const [text, clean] of cases) assert.equal(withoutSecrets(text), clean)
})

test('ordinary code stays as it is', () => {
  const code = [
    "const password = 'short'",
    'const token = readToken(input)',
    'password = "$PASSWORD_FROM_ENV"',
    'secret: "<your secret here>"',
    'https://example.org:8080/path',
    'const skip = sk-1',
  ]
  for (const line of code) assert.equal(withoutSecrets(line), line)
})
