//! Work that a helper thread finished and that JavaScript's thread must take in: the end of an
//! asynchronous WebAssembly compilation, for one.
//!
//! The engine hands such work over on whatever thread it was finished. It waits in a queue here, and
//! the embedder's waker is rung so that its loop comes round to [`crate::Engine::run_dispatched`].
//!
//! Invariant: the queue's lock is never held while the engine runs.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr;
use std::sync::{Mutex, MutexGuard};

use mozjs::context::JSContext;
use mozjs::glue::DispatchablePointer;
use mozjs::jsapi::Dispatchable_MaybeShuttingDown;
use mozjs::rust::wrappers2::{DispatchableRun, SetUpEventLoopDispatch};

struct Finished(*mut DispatchablePointer);
// SAFETY: the engine makes these to be carried to the context's thread.
unsafe impl Send for Finished {}

struct Queue {
    finished: VecDeque<Finished>,
    waker: Option<Box<dyn Fn() + Send>>,
}

static QUEUE: Mutex<Queue> = Mutex::new(Queue {
    finished: VecDeque::new(),
    waker: None,
});

fn queue() -> MutexGuard<'static, Queue> {
    // Nothing but the embedder's waker can panic under the lock, and the queue is whole then.
    QUEUE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Gives the engine our queue. Before any JavaScript runs.
pub(crate) fn install(cx: &mut JSContext) {
    // SAFETY: the callback is a static function and takes no data.
    unsafe { SetUpEventLoopDispatch(cx, Some(on_finished), None, None, ptr::null_mut()) };
}

/// Sets what is called, on any thread, when there is something to run.
pub(crate) fn set_waker(waker: Box<dyn Fn() + Send>) {
    queue().waker = Some(waker);
}

unsafe extern "C" fn on_finished(_: *mut c_void, work: *mut DispatchablePointer) -> bool {
    let mut queue = queue();
    queue.finished.push_back(Finished(work));
    if let Some(waker) = &queue.waker {
        waker();
    }
    true
}

/// Whether something finished waits to be run.
pub(crate) fn is_pending() -> bool {
    !queue().finished.is_empty()
}

/// Runs what was finished. Whether there was anything.
pub(crate) fn run(cx: &mut JSContext) -> bool {
    let mut ran = false;
    loop {
        let next = queue().finished.pop_front();
        let Some(Finished(work)) = next else {
            return ran;
        };
        ran = true;
        // SAFETY: the engine gave us `work` to run once on this thread; running frees it.
        unsafe { DispatchableRun(cx, work, Dispatchable_MaybeShuttingDown::NotShuttingDown) };
    }
}
