import { spawnSync } from 'node:child_process'
import { cpSync, globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, posix, relative, resolve, sep } from 'node:path'

// `npm run pack [-- FOLDER]`: every package as it is published, a tarball in FOLDER (default: packed). The repository runs
// its TypeScript as it is, which Node refuses under node_modules: a published package has JavaScript instead, with types
// and source maps, in `dist/` where the repository has `src/`.

interface PackageJson {
  name: string
  files: readonly string[]
  exports?: Readonly<Record<string, string>>
  bin?: Readonly<Record<string, string>>
  private?: boolean
  scripts?: object
  devDependencies?: object
}

const root = join(import.meta.dirname, '..')
const packages = globSync('packages/*/package.json', { cwd: root })
  .map((file) => join(root, dirname(file)))
  .sort()

const target = resolve(process.argv[2] ?? join(root, 'packed'))
const work = mkdtempSync(join(tmpdir(), 'incipit-pack-'))
try {
  const compiled = join(work, 'compiled')
  run(process.execPath, [
    join(root, 'node_modules/typescript/bin/tsc'),
    ...['-p', join(import.meta.dirname, 'tsconfig.pack.json')],
    ...['--outDir', compiled],
  ])
  const staged = packages.map((folder) => stage(folder, compiled, work))
  mkdirSync(target, { recursive: true })
  for (const old of globSync('incipit-*.tgz', { cwd: target })) rmSync(join(target, old))
  run('npm', ['pack', ...staged, '--pack-destination', target, '--loglevel=error'])
} finally {
  rmSync(work, { recursive: true })
}

/** A folder with exactly what is published of a package. */
function stage(folder: string, compiled: string, work: string): string {
  const name = relative(join(root, 'packages'), folder)
  const staged = join(work, 'staged', name)
  const content: PackageJson = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  mkdirSync(staged, { recursive: true })
  for (const entry of content.files) {
    if (entry === 'src') copyCompiled(join(compiled, name, 'src'), join(staged, 'dist'))
    else if (entry.endsWith('.ts')) copyModule(join(compiled, name), entry, staged)
    // The embedded model is where the checkout has it.
    else cpSync(join(entry.startsWith('models/') ? root : folder, entry), join(staged, entry), { recursive: true })
  }
  cpSync(join(root, 'LICENSE'), join(staged, 'LICENSE'))
  for (const file of ['README.md', 'CHANGELOG.md']) cpSync(join(folder, file), join(staged, file))
  writeFileSync(join(staged, 'package.json'), `${JSON.stringify(published(content), null, 2)}\n`)
  return staged
}

function copyCompiled(from: string, to: string): void {
  cpSync(from, to, { recursive: true })
  for (const types of globSync('**/*.d.ts', { cwd: to })) nameModules(join(to, types))
  for (const map of globSync('**/*.map', { cwd: to })) {
    // The sources are in the map: this is their name alone, without the folder in which they were compiled.
    const name = map.split(sep).join('/')
    nameSource(join(to, map), posix.relative(posix.dirname(`dist/${name}`), `src/${name.replace(/js\.map$/, 'ts')}`))
  }
}

/** One module that lies beside `package.json`. */
function copyModule(from: string, source: string, to: string): void {
  const name = source.replace(/\.ts$/, '')
  for (const extension of ['.js', '.d.ts', '.js.map']) cpSync(join(from, name + extension), join(to, name + extension))
  nameSource(join(to, `${name}.js.map`), source)
}

/** In types, too, what is imported is JavaScript: the compiler leaves the names of the sources there. */
function nameModules(types: string): void {
  const text = readFileSync(types, 'utf8')
  writeFileSync(types, text.replace(/((?:from|import\()\s*)(['"])(\.{1,2}\/[^'"]+)\.ts\2/g, '$1$2$3.js$2'))
}

function nameSource(map: string, source: string): void {
  const content = JSON.parse(readFileSync(map, 'utf8'))
  writeFileSync(map, JSON.stringify({ ...content, sources: [source] }))
}

/** `package.json` as it is published: without what only the repository needs, and with compiled entries. */
function published(content: PackageJson): object {
  const { private: _private, scripts: _scripts, devDependencies: _dev, files: _files, ...kept } = content
  const { exports = {}, bin = {}, ...rest } = kept
  return {
    ...rest,
    ...(Object.keys(exports).length > 0 && { exports: mapped(exports, entry) }),
    ...(Object.keys(bin).length > 0 && { bin: mapped(bin, (path) => `${compiledName(path)}.js`) }),
  }
}

function entry(path: string): object {
  const name = compiledName(path)
  return { types: `${name}.d.ts`, default: `${name}.js` }
}

function compiledName(path: string): string {
  return path.replace(/^\.\/src\//, './dist/').replace(/\.ts$/, '')
}

function mapped<T>(object: Readonly<Record<string, string>>, change: (path: string) => T): Record<string, T> {
  return Object.fromEntries(Object.entries(object).map(([key, path]) => [key, change(path)]))
}

function run(command: string, args: readonly string[]): void {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    // There npm is a script for the shell.
    shell: command === 'npm' && process.platform === 'win32',
  })
  if (error) throw error
  if (status !== 0) throw new Error(`${command} ${args[0]} ended with ${status}`)
}
