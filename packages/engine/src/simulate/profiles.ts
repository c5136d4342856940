import measured from './cpu-smollm2-135m.json' with { type: 'json' }
import { datasheetProfiles } from './datasheet-profiles.ts'
import type { MachineProfile } from './profile.ts'

/** The profiles that come with incipit; the first, the default, was measured, the others are arithmetic. */
export const machineProfiles: readonly MachineProfile[] = [measured, ...datasheetProfiles]
