//! llguidance behind a C interface for WebAssembly. One instance serves one vocabulary. Every function that can fail returns a
//! negative number, and `error_pointer`/`error_length` say why. A panic traps after its message was kept there: the instance
//! is of no use any more.

use llguidance::{
    api::{ParserLimits, TopLevelGrammar},
    earley::SlicedBiasComputer,
    toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv},
    Matcher, ParserFactory,
};
use std::{cell::RefCell, sync::Arc};

#[link(wasm_import_module = "env")]
extern "C" {
    /// Tokens that the model's tokenizer makes of a text, as far as there is room. Returns how many.
    fn tokenize(text: *const u8, size: usize, target: *mut TokenId, room: usize) -> usize;
}

/// The model's vocabulary, and its tokenizer where the host has one: then forced text is forced in the tokens that the
/// model would see, and not in whatever pieces.
struct Vocabulary {
    trie: TokTrie,
    tokenizes: bool,
}

impl TokenizerEnv for Vocabulary {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        if !self.tokenizes {
            return self.trie.greedy_tokenize(bytes);
        }
        self.trie.tokenize_with_greedy_fallback(bytes, |text| {
            let mut tokens = vec![0; text.len() + 1];
            let count = unsafe { tokenize(text.as_ptr(), text.len(), tokens.as_mut_ptr(), tokens.len()) };
            tokens.truncate(count);
            // A tokenizer that adds a space, say, is of no use here.
            if self.trie.decode_raw(&tokens) == text.as_bytes() {
                tokens
            } else {
                self.trie.greedy_tokenize(text.as_bytes())
            }
        })
    }

    fn tokenize_is_canonical(&self) -> bool {
        self.tokenizes
    }
}

#[derive(Default)]
struct State {
    factory: Option<ParserFactory>,
    matchers: Vec<Option<Matcher>>,
    error: String,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

const FAILED: i32 = -1;

fn fail(error: impl std::fmt::Display) -> i32 {
    let text = error.to_string();
    // A panic inside a call finds the state borrowed: then it has a place of its own.
    STATE.with(|state| match state.try_borrow_mut() {
        Ok(mut state) => state.error = text,
        Err(_) => PANIC.with(|panic| *panic.borrow_mut() = text),
    });
    FAILED
}

thread_local! {
    static PANIC: RefCell<String> = RefCell::new(String::new());
}

fn bytes<'a>(pointer: *const u8, length: usize) -> &'a [u8] {
    if length == 0 {
        return &[];
    }
    unsafe { std::slice::from_raw_parts(pointer, length) }
}

#[no_mangle]
pub extern "C" fn allocate(size: usize) -> *mut u8 {
    let mut memory = Vec::<u8>::with_capacity(size);
    let pointer = memory.as_mut_ptr();
    std::mem::forget(memory);
    pointer
}

#[no_mangle]
pub extern "C" fn release(pointer: *mut u8, size: usize) {
    drop(unsafe { Vec::from_raw_parts(pointer, 0, size) });
}

#[no_mangle]
pub extern "C" fn error_pointer() -> *const u8 {
    PANIC.with(|panic| {
        let panic = panic.borrow();
        if !panic.is_empty() {
            return panic.as_ptr();
        }
        STATE.with(|state| state.borrow().error.as_ptr())
    })
}

#[no_mangle]
pub extern "C" fn error_length() -> usize {
    PANIC.with(|panic| {
        let panic = panic.borrow();
        if !panic.is_empty() {
            return panic.len();
        }
        STATE.with(|state| state.borrow().error.len())
    })
}

/// The vocabulary: the bytes of all tokens one after the other, and how many each has. `end` ends a text.
#[no_mangle]
pub extern "C" fn initialise(
    all: *const u8,
    size: usize,
    lengths: *const u32,
    tokens: usize,
    end: u32,
    tokenizes: bool,
) -> i32 {
    std::panic::set_hook(Box::new(|panic| {
        fail(panic);
    }));
    let all = bytes(all, size);
    let lengths = unsafe { std::slice::from_raw_parts(lengths, tokens) };
    let mut words = Vec::with_capacity(tokens);
    let mut at = 0;
    for &length in lengths {
        words.push(all[at..at + length as usize].to_vec());
        at += length as usize;
    }
    let trie = TokTrie::from(&TokRxInfo::new(tokens as u32, end), &words);
    let environment: TokEnv = Arc::new(Vocabulary { trie, tokenizes });
    let capabilities = InferenceCapabilities { ff_tokens: tokenizes, ..Default::default() };
    match ParserFactory::new(&environment, capabilities, &SlicedBiasComputer::general_slices()) {
        Ok(mut factory) => {
            factory.quiet();
            *factory.limits_mut() = limits();
            STATE.with(|state| state.borrow_mut().factory = Some(factory));
            0
        }
        Err(error) => fail(error),
    }
}

/// What one constraint may cost. Fuel is counted, not timed: what is refused here is refused on every machine.
fn limits() -> ParserLimits {
    ParserLimits {
        // 1 to 2 kB each, and copied with every fork.
        max_lexer_states: 50_000,
        // A choice of so many texts, say.
        max_items_in_row: 5_000,
        verbose_errors: false,
        ..Default::default()
    }
}

/// Compiles what a text must look like. `kind` 0: a JSON schema, 1: a Lark grammar, 2: a regular expression. Returns a handle.
#[no_mangle]
pub extern "C" fn compile(kind: u32, source: *const u8, size: usize) -> i32 {
    let source = match std::str::from_utf8(bytes(source, size)) {
        Ok(source) => source,
        Err(error) => return fail(error),
    };
    let grammar = match kind {
        0 => match serde_json::from_str(source) {
            Ok(schema) => TopLevelGrammar::from_json_schema(schema),
            Err(error) => return fail(error),
        },
        1 => TopLevelGrammar::from_lark(source.to_string()),
        _ => TopLevelGrammar::from_regex(source),
    };
    let parser = STATE.with(|state| match &state.borrow().factory {
        Some(factory) => factory.create_parser(grammar).map_err(|error| error.to_string()),
        None => Err("there is no vocabulary".to_string()),
    });
    match parser {
        Ok(parser) => keep(Matcher::new(Ok(parser))),
        Err(error) => fail(error),
    }
}

fn keep(matcher: Matcher) -> i32 {
    STATE.with(|state| {
        let matchers = &mut state.borrow_mut().matchers;
        let free = matchers.iter().position(Option::is_none);
        match free {
            Some(handle) => {
                matchers[handle] = Some(matcher);
                handle as i32
            }
            None => {
                matchers.push(Some(matcher));
                matchers.len() as i32 - 1
            }
        }
    })
}

/// Does something with a matcher; what it says goes wrong is kept.
fn with(handle: usize, act: impl FnOnce(&mut Matcher) -> Result<i32, String>) -> i32 {
    let result = STATE.with(|state| match state.borrow_mut().matchers.get_mut(handle) {
        Some(Some(matcher)) => act(matcher),
        _ => Err(format!("there is no matcher {handle}")),
    });
    result.unwrap_or_else(fail)
}

/// Writes the tokens that may follow, a bit each. Returns the number of 32-bit words.
#[no_mangle]
pub extern "C" fn mask(handle: usize, target: *mut u32) -> i32 {
    with(handle, |matcher| {
        let allowed = matcher.compute_mask_or_eos().map_err(|error| error.to_string())?;
        let words = allowed.as_slice();
        unsafe { std::ptr::copy_nonoverlapping(words.as_ptr(), target, words.len()) };
        Ok(words.len() as i32)
    })
}

/// The text goes on with this token. Returns 1 when nothing can follow any more, otherwise 0.
#[no_mangle]
pub extern "C" fn advance(handle: usize, token: u32) -> i32 {
    with(handle, |matcher| {
        matcher.consume_token(token).map_err(|error| error.to_string())?;
        Ok(matcher.is_stopped() as i32)
    })
}

/// How many of these tokens may follow in a row. Needs no mask, and moves nothing.
#[no_mangle]
pub extern "C" fn validate(handle: usize, tokens: *const u32, count: usize) -> i32 {
    let tokens = unsafe { std::slice::from_raw_parts(tokens, count) };
    with(handle, |matcher| {
        matcher.validate_tokens(tokens).map(|valid| valid as i32).map_err(|error| error.to_string())
    })
}

/// Takes the last tokens back.
#[no_mangle]
pub extern "C" fn rollback(handle: usize, tokens: usize) -> i32 {
    with(handle, |matcher| matcher.rollback(tokens).map(|_| 0).map_err(|error| error.to_string()))
}

/// Writes the tokens that must follow, as far as there is room. Returns how many. None without a tokenizer.
#[no_mangle]
pub extern "C" fn forced(handle: usize, target: *mut TokenId, room: usize) -> i32 {
    with(handle, |matcher| {
        let tokens = matcher.compute_ff_tokens();
        let count = tokens.len().min(room);
        unsafe { std::ptr::copy_nonoverlapping(tokens.as_ptr(), target, count) };
        Ok(count as i32)
    })
}

/// 1 when the text may end here, 2 when nothing can follow, otherwise 0.
#[no_mangle]
pub extern "C" fn ending(handle: usize) -> i32 {
    with(handle, |matcher| {
        if matcher.is_stopped() {
            return Ok(2);
        }
        matcher.is_accepting().map(|accepting| accepting as i32).map_err(|error| error.to_string())
    })
}

/// A matcher of its own at the same place. Returns its handle.
#[no_mangle]
pub extern "C" fn fork(handle: usize) -> i32 {
    let copy = STATE.with(|state| match state.borrow().matchers.get(handle) {
        Some(Some(matcher)) => Ok(matcher.deep_clone()),
        _ => Err(format!("there is no matcher {handle}")),
    });
    match copy {
        Ok(matcher) => keep(matcher),
        Err(error) => fail(error),
    }
}

#[no_mangle]
pub extern "C" fn discard(handle: usize) {
    STATE.with(|state| {
        if let Some(matcher) = state.borrow_mut().matchers.get_mut(handle) {
            *matcher = None;
        }
    });
}
