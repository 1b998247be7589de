//! Helper threads for the engine, started when it first has work for one and joined before a fork.
//!
//! Most Workers never need any: small scripts cause no task. Big ones do, for the optimising compiler
//! and for WebAssembly, and there a thread is worth its memory.
//!
//! The pool lives outside the engine's own internal one because that one cannot be stopped and
//! started again, which is what a fork asks for.
//!
//! Invariant: `join_all` returns with no thread of this pool alive and no task waiting.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

/// With fewer threads the engine never starts an asynchronous WebAssembly compilation: that is a task
/// that waits for other tasks, so it wants a second thread to be there for them.
const THREADS_MIN: usize = 2;

/// Stack of a helper: what the engine asks for its own.
const HELPER_STACK_BYTES: usize = 2 * 1024 * 1024;

unsafe extern "C" {
    // Public functions of `js/HelperThreadAPI.h` that the bindings leave out.
    #[link_name = "_ZN2JS27SetHelperThreadTaskCallbackEPFvPNS_16HelperThreadTaskEEmm"]
    fn set_helper_thread_task_callback(
        callback: unsafe extern "C" fn(*mut HelperThreadTask),
        threads: usize,
        stack_bytes: usize,
    );
    #[link_name = "_ZN2JS19RunHelperThreadTaskEPNS_16HelperThreadTaskE"]
    fn run_helper_thread_task(task: *mut HelperThreadTask);
}

/// The engine's, opaque.
#[repr(C)]
struct HelperThreadTask {
    _opaque: [u8; 0],
}

struct Task(*mut HelperThreadTask);
// SAFETY: the engine hands a task out to be run on another thread.
unsafe impl Send for Task {}

struct Pool {
    tasks: Vec<Task>,
    threads: Vec<JoinHandle<()>>,
    threads_max: usize,
    idle: usize,
    stopping: bool,
}

static POOL: Mutex<Pool> = Mutex::new(Pool {
    tasks: Vec::new(),
    threads: Vec::new(),
    threads_max: 0,
    idle: 0,
    stopping: false,
});
static WORK: Condvar = Condvar::new();

fn pool() -> MutexGuard<'static, Pool> {
    // No code that can panic runs under the lock, so poison carries no news.
    POOL.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Gives the engine this pool. After `JS_Init`, before the first context.
pub(crate) fn install(threads_max: usize) {
    let threads_max = threads_max.max(THREADS_MIN);
    pool().threads_max = threads_max;
    // SAFETY: the engine is initialized and has no context yet, which is when it allows this; the
    // callback is a static function.
    unsafe {
        set_helper_thread_task_callback(on_task, threads_max, HELPER_STACK_BYTES);
    }
}

/// The engine calls this with its own lock held: nothing here may call back into it.
unsafe extern "C" fn on_task(task: *mut HelperThreadTask) {
    let mut pool = pool();
    pool.tasks.push(Task(task));
    // While stopping, only a helper queues tasks, and it looks for more before it leaves.
    let wanted = pool.tasks.len() > pool.idle && !pool.stopping;
    if wanted && pool.threads.len() < pool.threads_max {
        let started = thread::Builder::new()
            .name("helper".to_owned())
            .stack_size(HELPER_STACK_BYTES)
            .spawn(work);
        match started {
            Ok(thread) => pool.threads.push(thread),
            // With no thread at all the task would wait for ever.
            Err(error) if pool.threads.is_empty() => {
                panic!("no helper thread can be started: {error}")
            }
            Err(_) => {}
        }
    }
    drop(pool);
    WORK.notify_one();
}

fn work() {
    let mut pool = pool();
    loop {
        if let Some(task) = pool.tasks.pop() {
            drop(pool);
            // SAFETY: the engine gave us this task to run once, and here it is run once.
            unsafe { run_helper_thread_task(task.0) };
            pool = self::pool();
        } else if pool.stopping {
            return;
        } else {
            pool.idle += 1;
            pool = WORK
                .wait(pool)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            pool.idle -= 1;
        }
    }
}

/// Whether a task waits or runs.
pub(crate) fn are_busy() -> bool {
    let pool = pool();
    !pool.tasks.is_empty() || pool.threads.len() > pool.idle
}

/// Finishes all tasks and ends all threads of the pool.
pub(crate) fn join_all() {
    let mut pool = pool();
    pool.stopping = true;
    let threads = std::mem::take(&mut pool.threads);
    drop(pool);
    WORK.notify_all();
    for thread in threads {
        // A helper that panicked has aborted the process already.
        let _ = thread.join();
    }
    self::pool().stopping = false;
}
