"""The few calls of llama.cpp v0.5.0 that prove an export: tokenise, decode, logits. Through ctypes.

The struct layouts are those of include/llama.h in that version; another library version is refused. The
libraries come from the npm package @node-llama-cpp/<platform> 3.22.1 (its folder bins/<platform>).
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, byref, c_bool, c_char_p, c_float, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from pathlib import Path

import numpy as np

LIBRARY_VERSION = "0.5.0"


class ModelParams(ctypes.Structure):
    _fields_ = [
        ("devices", c_void_p), ("tensor_buft_overrides", c_void_p), ("n_gpu_layers", c_int32), ("split_mode", c_int32),
        ("load_mode", c_int32), ("lazy_mode", c_int32), ("main_gpu", c_int32), ("tensor_split", c_void_p),
        ("progress_callback", c_void_p), ("progress_callback_user_data", c_void_p), ("kv_overrides", c_void_p),
        *[(name, c_bool) for name in ("vocab_only", "check_tensors", "use_extra_bufts", "no_host", "no_alloc", "load_mtp")],
    ]


class ContextParams(ctypes.Structure):
    _fields_ = [
        *[(name, c_uint32) for name in ("n_ctx", "n_batch", "n_ubatch", "n_seq_max", "n_rs_seq", "n_outputs_max", "n_outputs_max_per_seq")],
        *[(name, c_int32) for name in ("n_threads", "n_threads_batch", "ctx_type", "rope_scaling_type", "pooling_type", "attention_type",
                                       "flash_attn_type")],
        *[(name, c_float) for name in ("rope_freq_base", "rope_freq_scale", "yarn_ext_factor", "yarn_attn_factor", "yarn_beta_fast",
                                       "yarn_beta_slow")],
        ("yarn_orig_ctx", c_uint32), ("defrag_thold", c_float), ("cb_eval", c_void_p), ("cb_eval_user_data", c_void_p),
        ("type_k", c_int32), ("type_v", c_int32), ("abort_callback", c_void_p), ("abort_callback_data", c_void_p),
        *[(name, c_bool) for name in ("embeddings", "offload_kqv", "no_perf", "op_offload", "swa_full", "kv_unified")],
        ("samplers", c_void_p), ("n_samplers", c_size_t), ("ctx_other", c_void_p),
    ]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", c_int32), ("token", POINTER(c_int32)), ("embd", POINTER(c_float)), ("pos", POINTER(c_int32)),
                ("n_seq_id", POINTER(c_int32)), ("seq_id", POINTER(POINTER(c_int32))), ("logits", POINTER(c_int8))]


_F32, _FLASH_OFF = 0, 0
_LOG = ctypes.CFUNCTYPE(None, c_int32, c_char_p, c_void_p)
_quiet = _LOG(lambda level, text, data: None)  # kept alive: the library calls it


def open_library(folder: Path) -> ctypes.CDLL:
    """Loads the library with the CPU variant for this machine."""
    find = lambda stem: str(next(iter(sorted(folder.glob(f"{stem}.so")) + sorted(folder.glob(f"{stem}.v*.so")))))
    ctypes.CDLL(find("libggml-base"), ctypes.RTLD_GLOBAL)
    ggml = ctypes.CDLL(find("libggml"), ctypes.RTLD_GLOBAL)
    ggml.ggml_backend_load_all_from_path.argtypes = [c_char_p]
    llama = ctypes.CDLL(find("libllama"), ctypes.RTLD_GLOBAL)
    llama.llama_log_set.argtypes = [_LOG, c_void_p]
    llama.llama_log_set(_quiet, None)
    ggml.ggml_backend_load_all_from_path(str(folder).encode())
    llama.llama_version.restype = c_char_p
    version = llama.llama_version().decode()
    if LIBRARY_VERSION not in version:
        raise RuntimeError(f"llama.cpp library {version} in {folder}; the struct layouts here are those of {LIBRARY_VERSION}")
    signatures = {
        "llama_model_default_params": (ModelParams, []),
        "llama_context_default_params": (ContextParams, []),
        "llama_model_load_from_file": (c_void_p, [c_char_p, ModelParams]),
        "llama_init_from_model": (c_void_p, [c_void_p, ContextParams]),
        "llama_model_get_vocab": (c_void_p, [c_void_p]),
        "llama_vocab_n_tokens": (c_int32, [c_void_p]),
        "llama_vocab_fim_pre": (c_int32, [c_void_p]),
        "llama_vocab_fim_suf": (c_int32, [c_void_p]),
        "llama_vocab_fim_mid": (c_int32, [c_void_p]),
        "llama_vocab_eos": (c_int32, [c_void_p]),
        "llama_tokenize": (c_int32, [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool]),
        "llama_batch_init": (Batch, [c_int32, c_int32, c_int32]),
        "llama_decode": (c_int32, [c_void_p, Batch]),
        "llama_get_logits_ith": (POINTER(c_float), [c_void_p, c_int32]),
        "llama_get_memory": (c_void_p, [c_void_p]),
        "llama_memory_clear": (None, [c_void_p, c_bool]),
        "llama_free": (None, [c_void_p]),
        "llama_model_free": (None, [c_void_p]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(llama, name)
        function.restype, function.argtypes = result, arguments
    return llama


class LlamaModel:
    """One GGUF in one context, sequence 0; a context manager. One thread: for so small a model a second one mostly waits."""

    def __init__(self, library: ctypes.CDLL, path: Path, context: int = 1024, threads: int = 1) -> None:
        self._l, self.context = library, context
        model_params = library.llama_model_default_params()
        model_params.n_gpu_layers = 0
        self._model = library.llama_model_load_from_file(str(path).encode(), model_params)
        if not self._model:
            raise RuntimeError(f"llama.cpp could not load {path}")
        params = library.llama_context_default_params()
        params.n_ctx = params.n_batch = params.n_ubatch = context
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = _F32  # compare with the training framework without a rounded cache
        params.flash_attn_type = _FLASH_OFF
        self._context = library.llama_init_from_model(self._model, params)
        self.vocab = library.llama_model_get_vocab(self._model)
        self.vocabulary = library.llama_vocab_n_tokens(self.vocab)
        self._batch = library.llama_batch_init(context, 0, 1)
        self._at = 0

    def __enter__(self) -> "LlamaModel":
        return self

    def __exit__(self, *_: object) -> None:
        self._l.llama_free(self._context)
        self._l.llama_model_free(self._model)

    def fim_tokens(self) -> tuple[int, int, int]:
        """Prefix, suffix, middle as the library understood the metadata."""
        return tuple(getattr(self._l, f"llama_vocab_fim_{part}")(self.vocab) for part in ("pre", "suf", "mid"))

    def tokenize(self, text: str) -> list[int]:
        data = text.encode()
        ids = (c_int32 * (len(data) + 8))()
        count = self._l.llama_tokenize(self.vocab, data, len(data), ids, len(ids), False, False)
        return list(ids[:count])

    def decode(self, tokens: list[int], fresh: bool = False, all_logits: bool = False) -> np.ndarray:
        """Logits after the last token (or after each), having appended `tokens` to the sequence."""
        if fresh:
            self._l.llama_memory_clear(self._l.llama_get_memory(self._context), True)
            self._at = 0
        b = self._batch
        b.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            b.token[i], b.pos[i], b.n_seq_id[i], b.seq_id[i][0] = token, self._at + i, 1, 0
            b.logits[i] = all_logits or i == len(tokens) - 1
        code = self._l.llama_decode(self._context, b)
        if code != 0:
            raise RuntimeError(f"llama_decode returned {code}")
        self._at += len(tokens)
        rows = range(len(tokens)) if all_logits else [len(tokens) - 1]
        return np.stack([np.ctypeslib.as_array(self._l.llama_get_logits_ith(self._context, i), (self.vocabulary,)).copy() for i in rows])
