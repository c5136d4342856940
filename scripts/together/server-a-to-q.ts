import { runTogether } from '../together.ts'

runTogether('server-a-to-q')
