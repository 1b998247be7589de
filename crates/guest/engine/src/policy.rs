//! Which parts of the language are on, and what scripts may not do.
//!
//! Stable features that Workers have are on. Compiling code from strings is refused once the Worker's
//! modules are set, as Workers do; compiling WebAssembly from bytes is allowed, which is more than
//! Workers allow: here the process is the sandbox, not the compiler.

use std::ptr::NonNull;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::JS::{CompilationType, RuntimeCode, StackGCVector};
use mozjs::jsapi::js::TempAllocPolicy;
use mozjs::jsapi::{
    ContextOptionsRef, Handle, JS_SetGlobalJitCompilerOption, JS_SetSecurityCallbacks,
    JSJitCompilerOption, JSSecurityCallbacks, JSString,
};
use mozjs::jsval::JSVal;
use mozjs::rust::RealmOptions;

use crate::core::core;
use crate::throw;

static SECURITY: JSSecurityCallbacks = JSSecurityCallbacks {
    contentSecurityPolicyAllows: Some(may_compile),
    codeForEvalGets: None,
    subsumes: None,
};

unsafe extern "C" {
    // A public function of `js/Initialization.h` that the bindings leave out.
    #[link_name = "_ZN2JS17DisableJitBackendEv"]
    fn disable_jit_backend();
}

/// For this process, no compiler, no executable memory and no WebAssembly. Before the engine starts.
pub(crate) fn disable_machine_code() {
    // SAFETY: the function sets a flag, which it asserts that nobody has read: the engine starts after
    // this, and only once in a process.
    unsafe { disable_jit_backend() };
}

/// Sets the context's switches.
pub(crate) fn configure(cx: &mut JSContext, jit: bool) {
    // SAFETY: the context is live; the callbacks are static; each option takes the number given.
    unsafe {
        JS_SetSecurityCallbacks(cx.raw_cx(), &raw const SECURITY);
        let options = &mut *ContextOptionsRef(cx.raw_cx());
        options.set_wasm_(jit);
        options.set_wasmBaseline_(jit);
        options.set_wasmIon_(jit);
        // Async stacks cost on every await.
        options.set_asyncStack_(false);
        options
            .compileOptions_
            .set_explicitResourceManagement_(true);
        options.compileOptions_.set_sourcePhaseImports_(true);
    }
}

/// Calls after which a function gets machine code, and then optimised code, when that is wanted early.
/// The engine's own numbers are 100 and 1,500.
const EARLY_BASELINE_CALLS: u32 = 10;
const EARLY_ION_CALLS: u32 = 30;

/// Sets when functions are compiled.
pub(crate) fn compile_early(cx: &mut JSContext, early: bool) {
    // What the engine takes for "as usual".
    const USUAL: u32 = u32::MAX;
    for (option, calls) in [
        (
            JSJitCompilerOption::JSJITCOMPILER_BASELINE_WARMUP_TRIGGER,
            EARLY_BASELINE_CALLS,
        ),
        (
            JSJitCompilerOption::JSJITCOMPILER_ION_NORMAL_WARMUP_TRIGGER,
            EARLY_ION_CALLS,
        ),
    ] {
        let calls = if early { calls } else { USUAL };
        // SAFETY: the context is live; each option takes any number.
        unsafe { JS_SetGlobalJitCompilerOption(cx.raw_cx(), option, calls) };
    }
}

/// Sets the realm's switches.
pub(crate) fn set_realm_options(options: &mut RealmOptions) {
    // SharedArrayBuffer and Atomics exist in Workers.
    options.creationOptions_.sharedMemoryAndAtomics_ = true;
    options.creationOptions_.defineSharedArrayBufferConstructor_ = true;
    options.creationOptions_.coopAndCoep_ = true;
    options.creationOptions_.secureContext_ = true;
    // What a zygote compiled, its guests need not; see `Engine::prepare_fork`.
    options.creationOptions_.preserveJitCode_ = true;
    // Time is the platform's to blur.
    options.behaviors_.clampAndJitterTime_ = false;
}

unsafe extern "C" fn may_compile(
    cx: *mut RawJSContext,
    kind: RuntimeCode,
    _code: Handle<*mut JSString>,
    _type: CompilationType,
    _parameter_strings: Handle<StackGCVector<*mut JSString, TempAllocPolicy>>,
    _body_string: Handle<*mut JSString>,
    _parameters: Handle<StackGCVector<JSVal, TempAllocPolicy>>,
    _body: Handle<JSVal>,
    allowed: *mut bool,
) -> bool {
    if kind == RuntimeCode::JS && !core().strings_compile.get() {
        // SAFETY: the engine calls us with its live context.
        let mut cx = unsafe {
            JSContext::from_ptr(NonNull::new(cx).expect("the engine passes its context"))
        };
        throw::throw(
            &mut cx,
            "EvalError",
            "Code generation from strings disallowed for this context",
        );
        return false;
    }
    // SAFETY: the engine passes a place for the answer.
    unsafe { *allowed = true };
    true
}
