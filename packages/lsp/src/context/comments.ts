const hash = new Set([
  'python',
  'ruby',
  'shellscript',
  'perl',
  'yaml',
  'toml',
  'dockerfile',
  'makefile',
  'r',
  'julia',
  'elixir',
  'coffeescript',
  'powershell',
  'nix',
  'terraform',
  'cmake',
  'gitignore',
  'properties',
])
const dashes = new Set(['lua', 'sql', 'haskell', 'elm', 'ada', 'vhdl'])
const semicolons = new Set(['clojure', 'lisp', 'scheme', 'emacs-lisp', 'ini', 'asm'])

/** How a line becomes a comment in a language, by its LSP identifier. */
export function lineComment(language: string): string {
  if (hash.has(language)) return '#'
  if (dashes.has(language)) return '--'
  if (semicolons.has(language)) return ';'
  return language === 'latex' || language === 'erlang' || language === 'matlab' ? '%' : '//'
}
