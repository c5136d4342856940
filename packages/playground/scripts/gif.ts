import gifenc from 'gifenc'
import { PNG } from 'pngjs'

const { applyPalette, GIFEncoder, quantize } = gifenc

export interface Shot {
  /** A PNG. */
  readonly picture: Buffer
  /** Milliseconds since the first one. */
  readonly at: number
}

const colours = 48
/** How long the last picture stays. */
const rest = 2500

/** Pictures as an animation: each holds only what changed, and one that is like the one before only lengthens it. */
export function gifOf(shots: readonly Shot[]): Uint8Array {
  const frames = shots.map(({ picture, at }) => ({ ...PNG.sync.read(picture), at }))
  const { width, height } = frames[0]!
  const sample = frames.filter((_, i) => i % 6 === 0 || i === frames.length - 1)
  const all = new Uint8Array(sample.length * width * height * 4)
  for (const [i, { data }] of sample.entries()) all.set(data, i * width * height * 4)
  // Entry 0 is drawn by nobody: there the former picture is seen.
  const palette = [[0, 0, 0], ...quantize(all, colours)]
  const indexed = frames.map(({ data, at }) => ({
    at,
    pixels: applyPalette(new Uint8Array(data), palette.slice(1)).map((index) => index + 1),
  }))
  const changed = indexed.filter(({ pixels }, i) => {
    const former = indexed[i - 1]?.pixels
    return former === undefined || pixels.some((pixel, at) => pixel !== former[at])
  })
  const gif = GIFEncoder()
  for (const [i, { pixels, at }] of changed.entries()) {
    const former = changed[i - 1]?.pixels
    const delay = (changed[i + 1]?.at ?? at + rest) - at
    const difference = former ? pixels.map((pixel, at) => (pixel === former[at] ? 0 : pixel)) : pixels
    const options = { delay, transparent: former !== undefined, transparentIndex: 0, dispose: 1 }
    gif.writeFrame(difference, width, height, i === 0 ? { palette, ...options } : options)
  }
  gif.finish()
  return gif.bytes()
}
