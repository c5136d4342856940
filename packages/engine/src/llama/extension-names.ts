// Functions of llama-ext.h have no C names. `f(context *, uint32_t, bool)` and the like are spelt so by GCC and Clang on
// Linux and macOS, and so by every compiler for Windows that keeps Microsoft's ABI on 64 bits.
const itanium = {
  setLayerInput: '_Z30llama_set_embeddings_layer_inpP13llama_contextjb',
  layerInput: '_Z30llama_get_embeddings_layer_inpP13llama_contextj',
  setMtpStates: '_Z26llama_set_embeddings_nextnP13llama_contextbb',
  mtpStates: '_Z26llama_get_embeddings_nextnP13llama_context',
}

const microsoft: typeof itanium = {
  setLayerInput: '?llama_set_embeddings_layer_inp@@YAXPEAUllama_context@@I_N@Z',
  layerInput: '?llama_get_embeddings_layer_inp@@YAPEAMPEAUllama_context@@I@Z',
  setMtpStates: '?llama_set_embeddings_nextn@@YAXPEAUllama_context@@_N1@Z',
  mtpStates: '?llama_get_embeddings_nextn@@YAPEAMPEAUllama_context@@@Z',
}

/** The names of C++ functions in the library of this platform. */
export const extensionNames = process.platform === 'win32' ? microsoft : itanium
