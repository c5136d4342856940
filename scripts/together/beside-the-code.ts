import { runTogether } from '../together.ts'

runTogether('beside-the-code')
