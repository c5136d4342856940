import { runTogether } from '../together.ts'

runTogether('server-p-to-z')
