import { runTogether } from '../together.ts'

runTogether('server-r-to-z')
