//! The engine as Rust sees it: made once, fed the platform, forked, then called.
//!
//! It is never torn down: a process is one Worker, and ending the process frees everything at once.
//!
//! Invariant: JavaScript runs only inside methods that take `&mut self`.

use std::ffi::CString;
use std::marker::PhantomData;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mozjs::context::{JSContext, RawJSContext};
use mozjs::jsapi::{
    GCOptions, IsConstructor, JS_AddExtraGCRootsTracer, JS_AddInterruptCallback, JS_SetGCCallback,
    JS_SetGCParameter, JS_SetNativeStackQuota, JSAutoRealm, JSGCParamKey, JSObject,
    JSPROP_ENUMERATE, JSTracer, OnNewGlobalHookOption, SetOutOfMemoryCallback,
    SetProcessLargeAllocationFailureCallback,
};
use mozjs::jsval::{JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::wrappers2::{
    JS_AtomizeStringN, JS_DefineProperty3, JS_GetProperty, JS_NewGlobalObject, JS_NewPlainObject,
    ResetRealmMathRandomSeed,
};
use mozjs::rust::{
    HandleObject, JSEngine, RealmOptions, Runtime, SIMPLE_GLOBAL_CLASS, ThreadSafeJSContext,
};

use crate::core::{Core, core};
use crate::data::{Data, OpDecl};
use crate::modules::{self, ModuleEntry};
use crate::throw::{self, JsError, Thrown};
use crate::turn::{self, Called};
use crate::{convert, intrinsics, memory, natives, policy, stencil, threads, wasm};

/// Stack that native code may still use when a script has used its own up.
const STACK_RESERVE_BYTES: usize = 128 * 1024;

/// Names that a Worker may bring of its own before its table of atoms grows.
const ATOM_ROOM: u32 = 512;

/// How an engine is made.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// Bound of the JavaScript heap until [`Engine::set_limits`].
    pub heap_bytes_max: u32,
    /// Stack that JavaScript may use; the thread must have this and 256 KiB more.
    pub stack_bytes: usize,
    /// Helper threads at most; never less than two. None starts before there is work for it.
    pub helper_threads_max: usize,
    /// Whether code may be compiled to machine code. If not, the process never has executable memory
    /// of its own, and no WebAssembly.
    pub jit: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            heap_bytes_max: 512 * 1024 * 1024,
            stack_bytes: 1024 * 1024,
            helper_threads_max: 2,
            jit: true,
        }
    }
}

/// Why an engine could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineError {
    /// The process has one already, or had one.
    AlreadyMade,
    /// SpiderMonkey did not start.
    Start(String),
    /// The global object or `__mayfly` could not be made.
    Global(JsError),
}

impl std::fmt::Display for EngineError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AlreadyMade => write!(out, "the process has an engine already"),
            Self::Start(why) => write!(out, "start SpiderMonkey: {why}"),
            Self::Global(error) => write!(out, "make the global object: {error}"),
        }
    }
}

impl std::error::Error for EngineError {}

/// Ends JavaScript from another thread.
#[derive(Clone)]
pub struct Interrupter {
    context: ThreadSafeJSContext,
    terminate: Arc<AtomicBool>,
}

impl Interrupter {
    /// Makes the running call, or the next one, end with [`Called::Terminated`].
    pub fn terminate(&self) {
        self.terminate.store(true, Ordering::Relaxed);
        self.context.request_interrupt_callback();
    }
}

/// SpiderMonkey, its one global object, and the embedder's state.
pub struct Engine<S> {
    runtime: mem::ManuallyDrop<Runtime>,
    core: &'static Core,
    /// Leaked: op trampolines hold it too, for as long as the process lives.
    state: *mut S,
    /// Neither `Send` nor `Sync`.
    _thread: PhantomData<*mut S>,
}

impl<S: 'static> Engine<S> {
    /// Starts SpiderMonkey and makes `globalThis.__mayfly`: `engine`, and one object for each that
    /// `ops` name.
    pub fn new(options: EngineOptions, state: S, ops: Vec<OpDecl<S>>) -> Result<Self, EngineError> {
        if !options.jit {
            policy::disable_machine_code();
        }
        memory::tell_of_crashes();
        let engine = JSEngine::init().map_err(|error| match error {
            mozjs::rust::JSEngineError::AlreadyInitialized
            | mozjs::rust::JSEngineError::AlreadyShutDown => EngineError::AlreadyMade,
            error => EngineError::Start(format!("{error:?}")),
        })?;
        threads::install(options.helper_threads_max);
        crate::messages::speak_as_v8();
        stencil::install();
        let mut runtime = Runtime::new(engine.handle());
        // Dropping it would shut SpiderMonkey down, which needs every context gone.
        mem::forget(engine);
        let core = crate::core::install();
        let state = Box::into_raw(Box::new(state));
        let cx = runtime.cx();
        configure(cx, core, &options);
        make_global(cx, core).map_err(|Thrown| EngineError::Global(throw::take_error(cx)))?;
        define_mayfly(cx, &ops, state)
            .map_err(|Thrown| EngineError::Global(throw::take_error(cx)))?;
        Ok(Self {
            runtime: mem::ManuallyDrop::new(runtime),
            core,
            state,
            _thread: PhantomData,
        })
    }

    /// Evaluates the platform's modules, `(name, source)`, from `entry`, and all microtasks it queues.
    /// What `entry` does not import is there for `platformModule`.
    pub fn evaluate_platform(
        &mut self,
        modules: &[(&'static str, &'static str)],
        entry: &str,
    ) -> Result<(), JsError> {
        self.core.modules.set_platform(modules);
        let cx = self.runtime.cx();
        let evaluated = modules::evaluate_platform(cx, entry);
        evaluated.map_err(|Thrown| throw::take_error(cx))?;
        if let Called::Failed(error) = turn::settle(cx) {
            return Err(error);
        }
        capture(cx, self.core);
        Ok(())
    }

    /// Makes the modules of built-ins ahead of their first import, so that a fork has them.
    pub fn preload_builtins(&mut self, specifiers: &[&str]) -> Result<(), JsError> {
        let cx = self.runtime.cx();
        for specifier in specifiers {
            modules::builtin_record(cx, specifier).map_err(|Thrown| throw::take_error(cx))?;
        }
        Ok(())
    }

    /// Collects garbage and packs what is left, at the price of all compiled code.
    pub fn compact(&mut self) {
        turn::collect(self.runtime.cx(), GCOptions::Shrink);
    }

    /// Collects garbage, keeping compiled code, makes room for names, and ends all helper threads.
    pub fn prepare_fork(&mut self) {
        turn::collect(self.runtime.cx(), GCOptions::Normal);
        self.make_room_for_atoms();
        threads::join_all();
    }

    /// Lets the table of atoms grow here and not in each fork, where it is a tenth of a cold load: all atoms
    /// hashed again, into pages that nobody has touched. A collection shrinks the table to the least that
    /// holds its atoms, so it comes after that; what fills the room is garbage from the start.
    fn make_room_for_atoms(&mut self) {
        let cx = self.runtime.cx();
        for number in 0..ATOM_ROOM {
            let name = format!("room {number}");
            // SAFETY: the text is read for its true length, as Latin-1. Without memory there is no room.
            let _ = unsafe { JS_AtomizeStringN(cx, name.as_ptr().cast(), name.len()) };
        }
    }

    /// Compiles functions after few calls, or after as many as usual again.
    pub fn compile_early(&mut self, early: bool) {
        policy::compile_early(self.runtime.cx(), early);
    }

    /// Waits for what is being compiled, and ends all helper threads. Compiled code is taken up at the
    /// next call of its function.
    pub fn finish_compilations(&mut self) {
        threads::join_all();
    }

    /// Makes the fork its own: no random sequence is inherited. Helper threads start on demand.
    pub fn after_fork(&mut self) {
        // SAFETY: our realm is entered. The engine reads its new seed from the kernel.
        unsafe { ResetRealmMathRandomSeed(self.runtime.cx()) };
    }

    /// Bounds the heap for the Worker, and whether every turn ends with a full collection.
    ///
    /// This bounds the cells of the heap, not what hangs on them: array elements, buffers and WebAssembly
    /// memories are bounded by the process' `RLIMIT_DATA`, which the embedder sets. Either way the
    /// process ends with [`crate::EXIT_OUT_OF_MEMORY`].
    pub fn set_limits(&mut self, heap_bytes_max: u64, collect_every_turn: bool) {
        self.core.heap_bytes_max.set(heap_bytes_max);
        self.core.collect_every_turn.set(collect_every_turn);
        let bytes = u32::try_from(heap_bytes_max).unwrap_or(u32::MAX);
        // SAFETY: the context is live; the parameter takes any number.
        unsafe {
            JS_SetGCParameter(
                self.runtime.cx().raw_cx(),
                JSGCParamKey::JSGC_MAX_BYTES,
                bytes,
            )
        };
    }

    /// Sets the Worker's modules, and from here on refuses `eval` and `new Function`.
    pub fn set_modules(&mut self, modules: Vec<ModuleEntry>) {
        self.core.modules.set_table(modules);
        self.core.strings_compile.set(false);
    }

    /// Compiles an ES module without running anything, and gives what [`ModuleEntry::compiled`] takes in
    /// another process of this build. `None` where its source is wrong or cannot be written down
    /// compiled.
    pub fn encode_module(&mut self, name: &str, content: &[u8]) -> Option<Vec<u8>> {
        stencil::encode(self.runtime.cx(), name, &String::from_utf8_lossy(content))
    }

    /// Calls `handlers.<handler>(...args)` and runs all that it queues.
    pub fn call(&mut self, handler: &str, args: Vec<Data>) -> Called {
        let cx = self.runtime.cx();
        self.core.set_frame(ptr::null_mut());
        let called = call(cx, handler, args);
        self.core.set_frame(ptr::null_mut());
        if called.is_err()
            && let Some(end) = turn::report_uncaught(cx)
        {
            return end;
        }
        turn::settle(cx)
    }

    /// Sets what is called, on any thread, when [`Engine::run_dispatched`] has something to do. It must
    /// neither block nor call back into the engine; writing to an eventfd is what it is for.
    pub fn set_waker(&mut self, waker: Box<dyn Fn() + Send>) {
        crate::dispatch::set_waker(waker);
    }

    /// Takes in what helper threads finished, and runs all that it queues.
    pub fn run_dispatched(&mut self) -> Called {
        let cx = self.runtime.cx();
        crate::dispatch::run(cx);
        turn::settle(cx)
    }

    /// Whether helper threads are at work, or what they finished has not been taken in.
    pub fn has_work_on_threads(&self) -> bool {
        crate::threads::are_busy() || crate::dispatch::is_pending()
    }

    /// The embedder's state.
    pub fn state(&mut self) -> &mut S {
        // SAFETY: `state` was leaked in `new`. Ops, the only others to reach it, run only inside
        // methods that borrow this engine mutably, as this one does for the reference's life.
        unsafe { &mut *self.state }
    }

    /// Collects all garbage.
    pub fn collect(&mut self) {
        turn::collect(self.runtime.cx(), GCOptions::Normal);
    }

    /// A way to end JavaScript from another thread.
    pub fn interrupter(&self) -> Interrupter {
        Interrupter {
            context: self.runtime.thread_safe_js_context(),
            terminate: Arc::clone(&self.core.terminate),
        }
    }

    /// Allows calls again after [`Called::Terminated`].
    pub fn clear_termination(&mut self) {
        self.core.terminate.store(false, Ordering::Relaxed);
    }
}

/// Megabytes of buffers and the like after which garbage is collected, while few are in use. Less than
/// the engine's own 38: memory that is used again is warm and costs no page faults.
const BUFFERS_MB_UNCOLLECTED: u32 = 16;

fn configure(cx: &mut JSContext, core: &'static Core, options: &EngineOptions) {
    core.heap_bytes_max.set(u64::from(options.heap_bytes_max));
    core.no_machine_code.set(!options.jit);
    // SAFETY: the context was just made and has no realm; all callbacks are static functions with
    // the signatures asked for, and `core`, passed to the tracer, is never freed.
    unsafe {
        let raw = cx.raw_cx();
        JS_SetGCParameter(raw, JSGCParamKey::JSGC_MAX_BYTES, options.heap_bytes_max);
        let garbage = JSGCParamKey::JSGC_MALLOC_THRESHOLD_BASE;
        JS_SetGCParameter(raw, garbage, BUFFERS_MB_UNCOLLECTED);
        let script = options.stack_bytes;
        JS_SetNativeStackQuota(raw, script + STACK_RESERVE_BYTES, script, script);
        JS_AddExtraGCRootsTracer(raw, Some(trace), ptr::from_ref(core).cast_mut().cast());
        JS_AddInterruptCallback(raw, Some(on_interrupt));
        SetOutOfMemoryCallback(raw, Some(memory::on_out_of_memory), ptr::null_mut());
        JS_SetGCCallback(raw, Some(memory::on_collection), ptr::null_mut());
        SetProcessLargeAllocationFailureCallback(Some(memory::on_large_allocation_failure));
        policy::configure(cx, options.jit);
    }
    turn::install(cx);
    crate::dispatch::install(cx);
}

unsafe extern "C" fn trace(tracer: *mut JSTracer, data: *mut std::ffi::c_void) {
    // SAFETY: `configure` registered us with the leaked core.
    unsafe { (*data.cast::<Core>()).trace(tracer) }
}

unsafe extern "C" fn on_interrupt(_: *mut RawJSContext) -> bool {
    !core().terminate.load(Ordering::Relaxed)
}

fn make_global(cx: &mut JSContext, core: &Core) -> Result<(), Thrown> {
    let mut options = RealmOptions::default();
    policy::set_realm_options(&mut options);
    // SAFETY: the class is static. The realm is entered here and left by the process' end, so the
    // guard is forgotten.
    unsafe {
        rooted!(&in(cx) let global = JS_NewGlobalObject(
            cx,
            &SIMPLE_GLOBAL_CLASS,
            ptr::null_mut(),
            OnNewGlobalHookOption::FireOnNewGlobalHook,
            &*options,
        ));
        if global.is_null() {
            return Err(Thrown);
        }
        core.global.set(global.get());
        mem::forget(JSAutoRealm::new(cx.raw_cx(), global.get()));
        if !mozjs::jsapi::InitRealmStandardClasses(cx.raw_cx()) {
            return Err(Thrown);
        }
    }
    modules::install(cx)
}

fn define_mayfly<S: 'static>(
    cx: &mut JSContext,
    ops: &[OpDecl<S>],
    state: *mut S,
) -> Result<(), Thrown> {
    rooted!(&in(cx) let global = core().global.get());
    rooted!(&in(cx) let mayfly = new_child(cx, global.handle(), c"__mayfly")?);
    rooted!(&in(cx) let engine = new_child(cx, mayfly.handle(), c"engine")?);
    intrinsics::define(cx, engine.handle())?;
    let mut names: Vec<&'static str> = vec!["wire", "ops"];
    names.extend(ops.iter().map(|op| op.object));
    names.sort_unstable();
    names.dedup();
    rooted!(&in(cx) let mut objects: Vec<JSVal> = Vec::new());
    for name in &names {
        let name = CString::new(*name).unwrap_or_default();
        let object = new_child(cx, mayfly.handle(), &name)?;
        objects.push(ObjectValue(object));
    }
    natives::define_ops(cx, ops, state, |name| {
        names
            .iter()
            .position(|known| *known == name)
            .map(|index| objects[index].to_object())
    })
}

fn new_child(
    cx: &mut JSContext,
    parent: HandleObject,
    name: &std::ffi::CStr,
) -> Result<*mut JSObject, Thrown> {
    // SAFETY: a realm is entered, the handles are rooted and `name` is NUL-terminated.
    unsafe {
        rooted!(&in(cx) let child = JS_NewPlainObject(cx));
        if child.is_null()
            || !JS_DefineProperty3(
                cx,
                parent,
                name.as_ptr(),
                child.handle(),
                // Not read-only: the platform takes `__mayfly` away again.
                JSPROP_ENUMERATE as u32,
            )
        {
            return Err(Thrown);
        }
        Ok(child.get())
    }
}

/// Remembers what a Worker could replace on the global.
fn capture(cx: &mut JSContext, core: &Core) {
    rooted!(&in(cx) let global = core.global.get());
    rooted!(&in(cx) let mut value = UndefinedValue());
    // SAFETY: the handles are rooted; the class check reads a live object.
    unsafe {
        if JS_GetProperty(
            cx,
            global.handle(),
            c"DOMException".as_ptr(),
            value.handle_mut(),
        ) && value.is_object()
            && IsConstructor(value.to_object())
        {
            core.dom_exception.set(value.to_object());
        }
    }
    wasm::capture(cx);
}

fn call(cx: &mut JSContext, handler: &str, args: Vec<Data>) -> Result<(), Thrown> {
    rooted!(&in(cx) let mut arguments: Vec<JSVal> = Vec::with_capacity(args.len()));
    for data in args {
        let value = convert::to_js(cx, data)?;
        arguments.push(value);
    }
    rooted!(&in(cx) let mut result = UndefinedValue());
    turn::call_handler(cx, handler, &arguments, result.handle_mut())
}
