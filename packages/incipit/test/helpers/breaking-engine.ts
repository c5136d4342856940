// Preloaded into a command: after SIGUSR2 the clock throws between two steps of the engine, a defect that nobody expects.
const now = performance.now.bind(performance)
let broken = false

process.on('SIGUSR2', () => {
  broken = true
})

performance.now = () => {
  if (broken && new Error().stack?.includes('/serving/loop-driver.ts')) throw new Error('the clock is broken')
  return now()
}
