import { softmaxOf } from '../core/sampling/softmax.ts'

/** Kullback-Leibler divergence of what the second row of logits says from what the first says, in nats. */
export function divergence(from: Float32Array, to: Float32Array): number {
  const [p, q] = [softmaxOf(from), softmaxOf(to)]
  const offset = q.max + Math.log(q.sum) - p.max - Math.log(p.sum)
  let sum = 0
  for (let i = 0; i < from.length; i++) {
    const difference = from[i]! - to[i]! + offset
    const probability = Math.exp(from[i]! - p.max) / p.sum
    if (probability > 0) sum += probability * difference
  }
  return Math.max(0, sum)
}
