// Preloaded into a command: it plans as on a machine where further rows cost next to nothing, so that guesses are tried
// whatever this machine is and whoever else is using it.
import { freeRows } from '../../../engine/test/costs.ts'

freeRows(() => 512)
