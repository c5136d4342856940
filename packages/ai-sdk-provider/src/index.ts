export { createIncipit, type IncipitProvider, type IncipitSettings } from './provider.ts'
export { provisionalTextOf } from './provisional-metadata.ts'
