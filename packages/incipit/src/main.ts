#!/usr/bin/env node
import { enableCompileCache } from 'node:module'

// What Node makes of our files is kept: the next start reads it instead. Only of what is imported from here on.
enableCompileCache()
await import('./cli.ts')
