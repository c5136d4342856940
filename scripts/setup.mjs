// Installs what is missing, and nothing else. Dependency-free and runnable by Node 18, because it runs before anything
// is installed. When nothing changed it costs one read and one hash of package-lock.json.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const projectRoot = fileURLToPath(new URL('..', import.meta.url))

/** The Node 24 that the `node` dev dependency brings; on Windows its installer puts node.exe beside `node`. */
export function nodeBinary(root = projectRoot) {
  return join(root, 'node_modules', 'node', 'bin', process.platform === 'win32' ? 'node.exe' : 'node')
}

/** Where Node keeps what it makes of our TypeScript: a start takes a third less. */
export function compileCache(root = projectRoot) {
  return join(root, 'node_modules', '.cache', 'node')
}

/**
 * Makes node_modules match package-lock.json.
 * @param {string} root the folder of package-lock.json
 * @returns {boolean} whether everything is in place; when not, the reason has been written to stderr
 */
export function setup(root = projectRoot) {
  if (upToDate(root)) return true
  return withLock(root, () => {
    // Whoever held the lock before us may have done the work.
    if (upToDate(root)) return true
    if (!install(root)) return false
    writeFileSync(stampFile(root), lockHash(root))
    return true
  })
}

function upToDate(root) {
  if (!existsSync(nodeBinary(root))) return false
  const wanted = lockHash(root)
  try {
    if (readFileSync(stampFile(root), 'utf8') === wanted) return true
  } catch {
    // No stamp yet: npm may have been run by hand.
  }
  if (!installedByHand(root)) return false
  writeFileSync(stampFile(root), wanted)
  return true
}

/** The stamp lives inside node_modules, so that deleting node_modules deletes it too. */
function stampFile(root) {
  return join(root, 'node_modules', '.incipit-setup')
}

function lockHash(root) {
  return createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
}

/**
 * A developer who ran `npm install` has the right packages without our stamp. npm's own record of what it installed
 * (node_modules/.package-lock.json) says so; packages of other platforms are absent there and optional here.
 */
function installedByHand(root) {
  try {
    const read = (path) => JSON.parse(readFileSync(join(root, path), 'utf8')).packages
    const wanted = read('package-lock.json')
    const installed = read('node_modules/.package-lock.json')
    const same = (path) => installed[path]?.version === wanted[path].version
    return Object.keys(wanted).every((path) => !path.includes('node_modules/') || wanted[path].optional || same(path))
  } catch {
    return false
  }
}

function install(root) {
  const fresh = !existsSync(join(root, 'node_modules'))
  process.stderr.write(
    `incipit: ${fresh ? 'first start: installing' : 'package-lock.json changed: updating'} dependencies with npm, ` +
      'once, about a minute\n',
  )
  let result = npm('ci', root)
  if (result.status !== 0 && String(result.stderr).includes('EUSAGE')) {
    // A lock file made behind a registry that lacks the packages of other platforms does not list them, and npm ci
    // insists on every one. npm install takes the same locked versions and skips those.
    result = npm('install --no-save', root)
  }
  if (result.error) return fail(`npm could not be started: ${result.error.message}`)
  if (result.status !== 0) {
    process.stderr.write(result.stderr)
    return fail(`npm ended with ${result.signal ?? `exit code ${result.status}`}`)
  }
  // npm may be configured (or new enough) to skip the install scripts of dependencies without saying so.
  if (!existsSync(nodeBinary(root))) {
    const cwd = join(root, 'node_modules', 'node')
    spawnSync(process.execPath, ['installArchSpecificPackage.js'], { cwd, stdio: ['ignore', 2, 2] })
  }
  if (existsSync(nodeBinary(root))) return true
  return fail(`npm ran, but ${nodeBinary(root)} is missing: the install script of the package "node" failed`)
}

function npm(command, root) {
  // Without the install script of `node` there is no Node 24, without koffi's no native calls on some platforms.
  const args = [...command.split(' '), '--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts=false']
  // What npm prints is not the output of the command that follows, so it goes to stderr; its errors are kept for us.
  const options = { cwd: root, stdio: ['ignore', 2, 'pipe'], encoding: 'utf8' }
  // Under `npm start` this is the running npm itself; otherwise it is found on the PATH (npm.cmd needs a shell).
  const script = process.env.npm_execpath
  if (script && /npm-cli\.c?js$/.test(script)) return spawnSync(process.execPath, [script, ...args], options)
  if (process.platform === 'win32') return spawnSync(`npm ${args.join(' ')}`, { ...options, shell: true })
  return spawnSync('npm', args, options)
}

function fail(reason) {
  process.stderr.write(
    `incipit: the dependencies could not be installed: ${reason}\n` +
      '  - is the package registry reachable (network, proxy, `npm ping`)? It is needed once; later starts are offline.\n' +
      '  - is the disk full, or node_modules owned by another user? Deleting node_modules and trying again is safe.\n' +
      '  - `npm install --no-save` in this folder shows everything npm has to say.\n',
  )
  return false
}

/** Two commands started at once on a fresh checkout must not both run npm in one folder: the second waits. */
function withLock(root, work) {
  const lock = join(tmpdir(), `incipit-setup-${createHash('sha256').update(resolve(root)).digest('hex').slice(0, 16)}`)
  const owner = join(lock, 'pid')
  for (let told = false; ; ) {
    try {
      mkdirSync(lock)
      writeFileSync(owner, String(process.pid))
      break
    } catch (error) {
      if (error.code !== 'EEXIST') return work()
      if (abandoned(lock, owner)) {
        rmSync(lock, { recursive: true, force: true })
        continue
      }
      if (!told) process.stderr.write('incipit: another command is installing the dependencies; waiting for it\n')
      told = true
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 200)
    }
  }
  try {
    return work()
  } finally {
    rmSync(lock, { recursive: true, force: true })
  }
}

function abandoned(lock, owner) {
  let pid = 0
  try {
    pid = Number(readFileSync(owner, 'utf8'))
  } catch {
    // Not written yet, or the lock has just been released.
  }
  // Without a pid only age tells a lock that is being taken from one whose owner died while taking it.
  if (!(pid > 0)) return existsSync(lock) && Date.now() - statSync(lock).mtimeMs > 5000
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) process.exitCode = setup() ? 0 : 1
