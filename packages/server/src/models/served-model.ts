import type { FastifyRequest } from 'fastify'

const served = new WeakMap<FastifyRequest, string>()

/** Remembers which model answers a request, for whoever counts them. */
export function noteServedModel(request: FastifyRequest, { name }: { readonly name: string }): void {
  served.set(request, name)
}

/** The name of the model that answers a request, once it is known. */
export function servedModelOf(request: FastifyRequest): string | undefined {
  return served.get(request)
}
