//! What every callback from the engine needs to find: the roots, the module table, the queues.
//!
//! There is one engine in a process and one thread that runs JavaScript, so the state is one leaked
//! `Core` behind a thread local: C++ hands a callback no pointer of ours in most places. Everything
//! in it is a cell or a `RefCell`, for a callback may come at any depth of JavaScript.
//!
//! Invariant: no `RefCell` of the core stays borrowed across a call that can collect garbage; the
//! tracer borrows them and aborts the process if one is.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use mozjs::gc::Traceable;
use mozjs::jsapi::{Heap, JSObject, JSTracer};
use mozjs::jsval::{JSVal, UndefinedValue};

use crate::modules::Modules;

/// A place outside the JavaScript heap that keeps an object alive and follows it when it moves.
///
/// Minor collections do not visit the core, they look at what the write barriers recorded; so this
/// is a `Heap`, which has barriers, in a box, because they record its address.
pub(crate) struct ObjectRoot(Box<Heap<*mut JSObject>>);

impl Default for ObjectRoot {
    fn default() -> Self {
        Self::new(ptr::null_mut())
    }
}

impl ObjectRoot {
    pub(crate) fn new(object: *mut JSObject) -> Self {
        Self(Heap::boxed(object))
    }

    pub(crate) fn get(&self) -> *mut JSObject {
        self.0.get()
    }

    pub(crate) fn set(&self, object: *mut JSObject) {
        self.0.set(object);
    }

    fn trace(&self, tracer: *mut JSTracer) {
        // SAFETY: the collector gave us `tracer` for the length of this call.
        unsafe { self.0.trace(tracer) }
    }
}

/// The same for any value.
pub(crate) struct ValueRoot(Box<Heap<JSVal>>);

impl Default for ValueRoot {
    fn default() -> Self {
        Self(Heap::boxed(UndefinedValue()))
    }
}

impl ValueRoot {
    pub(crate) fn get(&self) -> JSVal {
        self.0.get()
    }

    pub(crate) fn set(&self, value: JSVal) {
        self.0.set(value);
    }

    fn trace(&self, tracer: *mut JSTracer) {
        // SAFETY: as for `ObjectRoot::trace`.
        unsafe { self.0.trace(tracer) }
    }
}

/// The last few names of properties that came as such, as atoms: a Worker's methods are called again and
/// again, and a string that is no atom is looked up among all atoms for each use as a key.
#[derive(Default)]
pub(crate) struct Names {
    kept: RefCell<Vec<(Box<str>, ValueRoot)>>,
    /// Which gives way next.
    oldest: Cell<usize>,
}

/// Names kept at most.
const NAMES_MAX: usize = 8;

impl Names {
    pub(crate) fn get(&self, name: &str) -> Option<JSVal> {
        let kept = self.kept.borrow();
        let (_, atom) = kept.iter().find(|(known, _)| **known == *name)?;
        Some(atom.get())
    }

    pub(crate) fn keep(&self, name: &str, atom: JSVal) {
        let mut kept = self.kept.borrow_mut();
        if kept.len() < NAMES_MAX {
            let root = ValueRoot::default();
            root.set(atom);
            return kept.push((name.into(), root));
        }
        let oldest = self.oldest.get();
        self.oldest.set((oldest + 1) % NAMES_MAX);
        if let Some((known, root)) = kept.get_mut(oldest) {
            *known = name.into();
            root.set(atom);
        }
    }

    fn trace(&self, tracer: *mut JSTracer) {
        for (_, atom) in self.kept.borrow().iter() {
            atom.trace(tracer);
        }
    }
}

/// A promise whose rejection the platform is to hear of.
pub(crate) struct Rejection {
    pub(crate) promise: ObjectRoot,
    /// False: nobody listens; true: somebody began to after we had said so.
    pub(crate) handled: bool,
}

#[derive(Default)]
pub(crate) struct Core {
    pub(crate) global: ObjectRoot,
    /// The object given to `engine.setHandlers`.
    pub(crate) handlers: ObjectRoot,
    /// Those of its functions that were called, by name.
    pub(crate) handler_functions: RefCell<Vec<(Box<str>, ObjectRoot)>>,
    /// The page given to `engine.setArrivals`.
    pub(crate) arrivals: ObjectRoot,
    pub(crate) names: Names,
    /// The engine has no compiler and no executable memory.
    pub(crate) no_machine_code: Cell<bool>,
    /// `globalThis.DOMException` as the platform defined it.
    pub(crate) dom_exception: ObjectRoot,
    /// `WebAssembly.Module`.
    pub(crate) wasm_module: ObjectRoot,
    /// `(name) => import(name)`, see `modules`.
    pub(crate) importer: ObjectRoot,

    /// The async context frame: an object, or null for none.
    pub(crate) frame: ObjectRoot,
    /// Frames of jobs that were queued at once because their promise was settled: the engine stores
    /// no host data for these, so they are found by their place in the queue. See `turn`.
    pub(crate) frames: RefCell<VecDeque<(u64, ObjectRoot)>>,
    /// Roots of `frames` to use again: one is needed per job, and each is an allocation.
    pub(crate) spare_roots: RefCell<Vec<ObjectRoot>>,
    /// Jobs ever taken off the queue.
    pub(crate) jobs_taken: Cell<u64>,

    pub(crate) rejections: RefCell<VecDeque<Rejection>>,
    /// Rejections reported as unhandled, while the promise may still find a listener.
    pub(crate) reported: RefCell<VecDeque<ObjectRoot>>,
    /// FinalizationRegistry callbacks to run.
    pub(crate) cleanups: RefCell<VecDeque<ObjectRoot>>,

    pub(crate) modules: Modules,
    /// The outcome of the innermost synchronous module load: what it was refused with.
    pub(crate) load_error: ValueRoot,
    pub(crate) load_failed: Cell<bool>,

    /// Strings may be compiled: true until user code runs.
    pub(crate) strings_compile: Cell<bool>,
    pub(crate) heap_bytes_max: Cell<u64>,
    /// Collections since the last one that freed something to speak of.
    pub(crate) collections_in_vain: Cell<u32>,
    pub(crate) collect_every_turn: Cell<bool>,
    /// Set from any thread to end JavaScript at its next check.
    pub(crate) terminate: Arc<AtomicBool>,
}

thread_local! {
    static CORE: Cell<Option<&'static Core>> = const { Cell::new(None) };
}

/// The core of this process' engine.
pub(crate) fn core() -> &'static Core {
    CORE.get().expect("an engine was made on this thread")
}

/// The same, where an engine was made on this thread.
pub(crate) fn installed() -> Option<&'static Core> {
    CORE.get()
}

pub(crate) fn install() -> &'static Core {
    let core: &'static Core = Box::leak(Box::new(Core {
        strings_compile: Cell::new(true),
        ..Core::default()
    }));
    CORE.set(Some(core));
    core
}

/// Spare roots kept at most.
const SPARE_ROOTS_MAX: usize = 256;

impl Core {
    /// A root from the spare ones.
    pub(crate) fn root(&self, object: *mut JSObject) -> ObjectRoot {
        match self.spare_roots.borrow_mut().pop() {
            Some(root) => {
                root.set(object);
                root
            }
            None => ObjectRoot::new(object),
        }
    }

    /// Takes a root's object and keeps the root for later.
    pub(crate) fn unroot(&self, root: ObjectRoot) -> *mut JSObject {
        let object = root.get();
        let mut spare = self.spare_roots.borrow_mut();
        if spare.len() < SPARE_ROOTS_MAX {
            root.set(ptr::null_mut());
            spare.push(root);
        }
        object
    }

    /// A function of the handlers that was called before.
    pub(crate) fn handler_function(&self, name: &str) -> Option<*mut JSObject> {
        let known = self.handler_functions.borrow();
        let (_, function) = known.iter().find(|(known, _)| **known == *name)?;
        Some(function.get())
    }

    /// Puts a frame in place. Most often it is there already, and a write tells the collector.
    pub(crate) fn set_frame(&self, frame: *mut JSObject) {
        if self.frame.get() != frame {
            self.frame.set(frame);
        }
    }

    pub(crate) fn trace(&self, tracer: *mut JSTracer) {
        for root in [
            &self.global,
            &self.handlers,
            &self.arrivals,
            &self.dom_exception,
            &self.wasm_module,
            &self.importer,
            &self.frame,
        ] {
            root.trace(tracer);
        }
        self.load_error.trace(tracer);
        for (_, function) in self.handler_functions.borrow().iter() {
            function.trace(tracer);
        }
        self.names.trace(tracer);
        for (_, frame) in self.frames.borrow().iter() {
            frame.trace(tracer);
        }
        for rejection in self.rejections.borrow().iter() {
            rejection.promise.trace(tracer);
        }
        for promise in self.reported.borrow().iter() {
            promise.trace(tracer);
        }
        for callback in self.cleanups.borrow().iter() {
            callback.trace(tracer);
        }
        self.modules.each_root(|root| root.trace(tracer));
    }
}
