/** FC_SEED=<seed> replays the cases of a property that failed; fast-check prints the seed. Spread it into its options. */
export const replay = process.env.FC_SEED === undefined ? {} : { seed: Number(process.env.FC_SEED) }
