/**
 * Per stage, measured milliseconds by rows of a step, and the pairs of a row and a cell before it that attention had to
 * look at (none: short contexts). `loose`: many rows, but few of each sequence.
 */
export type CostProfile = readonly (readonly { rows: number; ms: number; pairs?: number; loose?: boolean }[])[]
