import { runTogether } from '../together.ts'

runTogether('server')
