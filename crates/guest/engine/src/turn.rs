//! The turn: what runs between two looks at the socket.
//!
//! Microtasks first, then FinalizationRegistry callbacks, then the platform hears of rejections nobody
//! listens to; each may queue more, so this loops until all is quiet.
//!
//! The async context frame travels with promise reactions. When a reaction waits on a pending
//! promise the engine asks for host data and keeps it with the job. When the promise is settled
//! already (or a foreign thenable is resolved) the job is queued at once and the engine only asks for
//! the host's global, so the frame is noted by the job's place in the queue instead.
//!
//! Invariant: `jobs_taken` + the queue's length is the number that the next queued job will have.

use std::ffi::{CString, c_void};
use std::ptr;
use std::sync::atomic::Ordering;

use mozjs::context::{JSContext, RawJSContext};
use mozjs::glue::{CreateJobQueue, JobQueueTraps};
use mozjs::jsapi::{GCOptions, GCReason, HandleValueArray};
use mozjs::jsapi::{
    GetRegularMicroTaskCount, HandleObject as RawHandleObject, IsJSMicroTask, JSFunction, JSObject,
    JSTracer, MutableHandleObject, PromiseRejectionHandlingState,
    SetHostCleanupFinalizationRegistryCallback, SetJobQueue, SetPromiseRejectionTrackerCallback,
    ToMaybeWrappedJSMicroTask, Value,
};
use mozjs::jsval::{BooleanValue, JSVal, ObjectValue, UndefinedValue};
use mozjs::rooted;
use mozjs::rust::wrappers2::{
    ClearKeptObjects, EnqueueMicroTask, HasAnyMicroTasks, JS_CallFunctionValue,
    JS_DequeueNextMicroTask, JS_GetPromiseResult, JS_GetProperty, JobQueueIsEmpty,
    MaybeGetHostDefinedDataFromJSMicroTask, NonIncrementalGC, RunJSMicroTask,
};
use mozjs::rust::{HandleObject, MutableHandleValue};

use crate::core::{Core, ObjectRoot, Rejection, core};
use crate::throw::{self, JsError, Thrown};

/// Rejections told to the platform whose promises are still watched for a late listener.
const REPORTED_REJECTIONS_MAX: usize = 1024;

/// How a call into JavaScript went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Called {
    /// It ran and all it queued has run. Its exceptions were given to `handlers.uncaught`.
    Quiet,
    /// An [`crate::Interrupter`] ended it.
    Terminated,
    /// The platform has no such handler, or its error handlers failed themselves.
    Failed(JsError),
}

static TRAPS: JobQueueTraps = JobQueueTraps {
    getHostDefinedData: Some(host_defined_data),
    getHostDefinedGlobal: Some(host_defined_global),
    runJobs: Some(run_jobs),
    traceNonGCThingMicroTask: Some(trace_foreign_job),
};

/// Makes `cx` use our queue discipline. Before anything makes a promise.
pub(crate) fn install(cx: &mut JSContext) {
    // SAFETY: the traps are static and the queue made from them is never deleted; the callbacks have
    // the signatures the engine asks for and use no data pointer.
    unsafe {
        SetJobQueue(cx.raw_cx(), CreateJobQueue(&raw const TRAPS).cast());
        SetPromiseRejectionTrackerCallback(cx.raw_cx(), Some(on_rejection), ptr::null_mut());
        SetHostCleanupFinalizationRegistryCallback(cx.raw_cx(), Some(on_cleanup), ptr::null_mut());
    }
}

unsafe extern "C" fn host_defined_data(
    _: *mut RawJSContext,
    global: MutableHandleObject,
    data: MutableHandleObject,
) -> bool {
    let core = core();
    let frame = core.frame.get();
    // The engine takes data only beside a global.
    global.set(if frame.is_null() {
        ptr::null_mut()
    } else {
        core.global.get()
    });
    data.set(frame);
    true
}

unsafe extern "C" fn host_defined_global(
    cx: *mut RawJSContext,
    global: MutableHandleObject,
) -> bool {
    // SAFETY: the engine calls us with its live context.
    let frame = unsafe { announce_job(cx) };
    global.set(if frame.is_null() {
        ptr::null_mut()
    } else {
        core().global.get()
    });
    true
}

/// Notes the current frame for the job that is about to be queued, and gives it back.
///
/// # Safety
/// `cx` is the live context of this thread.
unsafe fn announce_job(cx: *mut RawJSContext) -> *mut JSObject {
    let core = core();
    // SAFETY: the caller's contract; counting changes nothing.
    let queued = unsafe { GetRegularMicroTaskCount(cx) } as u64;
    let number = core.jobs_taken.get() + queued;
    let mut frames = core.frames.borrow_mut();
    // A job of this number may have been announced and then not queued, for want of memory.
    if frames.back().is_some_and(|(last, _)| *last == number) {
        frames.pop_back();
    }
    let frame = core.frame.get();
    if !frame.is_null() {
        frames.push_back((number, core.root(frame)));
    }
    frame
}

/// Queues a function to be called with nothing, in the current frame: `queueMicrotask`.
pub(crate) fn enqueue(
    cx: &mut JSContext,
    function: mozjs::rust::HandleValue,
) -> Result<(), Thrown> {
    // SAFETY: the context is live. The queue traces the function, which is a GC thing.
    let queued = unsafe {
        announce_job(cx.raw_cx());
        EnqueueMicroTask(cx, &function.get())
    };
    if queued { Ok(()) } else { Err(Thrown) }
}

/// The engine asks for this around debugger code only, and there is no debugger.
unsafe extern "C" fn run_jobs(_: *mut RawJSContext) {}

/// Every job in the queue is a GC thing: the engine's own, or a function of `enqueue`.
unsafe extern "C" fn trace_foreign_job(_: *mut JSTracer, _: *mut Value) {}

unsafe extern "C" fn on_rejection(
    _: *mut RawJSContext,
    _muted: bool,
    promise: RawHandleObject,
    state: PromiseRejectionHandlingState,
    _: *mut c_void,
) {
    let core = core();
    let promise = promise.get();
    match state {
        PromiseRejectionHandlingState::Unhandled => {
            core.rejections.borrow_mut().push_back(Rejection {
                promise: ObjectRoot::new(promise),
                handled: false,
            });
        }
        PromiseRejectionHandlingState::Handled => {
            let mut waiting = core.rejections.borrow_mut();
            let before = waiting.len();
            waiting.retain(|rejection| rejection.promise.get() != promise);
            let mut reported = core.reported.borrow_mut();
            let reported_before = reported.len();
            reported.retain(|root| root.get() != promise);
            if waiting.len() == before && reported.len() < reported_before {
                waiting.push_back(Rejection {
                    promise: ObjectRoot::new(promise),
                    handled: true,
                });
            }
        }
    }
}

unsafe extern "C" fn on_cleanup(callback: *mut JSFunction, _: *mut JSObject, _: *mut c_void) {
    // A JSFunction is a JSObject; the engine holds it until we return.
    core()
        .cleanups
        .borrow_mut()
        .push_back(ObjectRoot::new(callback.cast()));
}

/// Runs everything that is queued.
pub(crate) fn settle(cx: &mut JSContext) -> Called {
    let core = core();
    loop {
        if let Some(end) = drain_microtasks(cx, core) {
            return end;
        }
        if let Some(callback) = take_first(&core.cleanups) {
            rooted!(&in(cx) let callback = ObjectValue(callback.get()));
            if let Err(Thrown) = call_value(cx, callback.handle(), &[])
                && let Some(end) = report_uncaught(cx)
            {
                return end;
            }
        } else if let Some(rejection) = take_first(&core.rejections) {
            if let Err(Thrown) = report_rejection(cx, core, &rejection)
                && let Some(end) = report_uncaught(cx)
            {
                return end;
            }
        } else {
            break;
        }
    }
    // SAFETY: a realm is entered and no job runs: WeakRefs read during the turn may go.
    unsafe { ClearKeptObjects(cx) };
    if core.collect_every_turn.get() {
        collect(cx, GCOptions::Normal);
    }
    Called::Quiet
}

/// The number of jobs that have begun, which tells one job from the next; 0 where there is no engine.
pub fn jobs_taken() -> u64 {
    crate::core::installed().map_or(0, |core| core.jobs_taken.get())
}

fn take_first<T>(queue: &std::cell::RefCell<std::collections::VecDeque<T>>) -> Option<T> {
    queue.borrow_mut().pop_front()
}

pub(crate) fn collect(cx: &mut JSContext, options: GCOptions) {
    // SAFETY: no unrooted value of this crate is alive across a call with `&mut JSContext`.
    unsafe {
        mozjs::jsapi::PrepareForFullGC(cx.raw_cx());
        NonIncrementalGC(cx, options, GCReason::API);
    }
}

fn drain_microtasks(cx: &mut JSContext, core: &Core) -> Option<Called> {
    rooted!(&in(cx) let mut task = UndefinedValue());
    rooted!(&in(cx) let mut job = ptr::null_mut::<JSObject>());
    // SAFETY: the queue belongs to `cx`, what comes out of it is rooted before anything else runs,
    // and every job of it belongs to our only realm, which is entered.
    unsafe {
        while HasAnyMicroTasks(cx) {
            JS_DequeueNextMicroTask(cx, task.handle_mut());
            let number = core.jobs_taken.get();
            core.jobs_taken.set(number + 1);
            let is_ours = !IsJSMicroTask(task.as_ptr());
            let announced = announced_frame(core, number);
            core.set_frame(if is_ours {
                announced
            } else {
                job.set(ToMaybeWrappedJSMicroTask(task.as_ptr()));
                frame_of_job(cx, job.handle(), announced)
            });
            if !HasAnyMicroTasks(cx) {
                // `await` of a settled promise may go on at once when nothing waits before it.
                JobQueueIsEmpty(cx);
            }
            let ran = if is_ours {
                call_value(cx, task.handle(), &[]).is_ok()
            } else {
                RunJSMicroTask(cx, job.handle())
            };
            if !ran {
                core.set_frame(ptr::null_mut());
                if let Some(end) = report_uncaught(cx) {
                    return Some(end);
                }
            }
        }
    }
    core.set_frame(ptr::null_mut());
    None
}

/// The frame announced for the job of this number. It is unrooted.
fn announced_frame(core: &Core, number: u64) -> *mut JSObject {
    let mut frames = core.frames.borrow_mut();
    // An announcement may have led to no job; what was announced before is past.
    while frames.front().is_some_and(|(next, _)| *next < number) {
        if let Some((_, frame)) = frames.pop_front() {
            core.unroot(frame);
        }
    }
    match frames.front() {
        Some((next, _)) if *next == number => frames
            .pop_front()
            .map_or(ptr::null_mut(), |(_, frame)| core.unroot(frame)),
        _ => ptr::null_mut(),
    }
}

/// The frame of a promise job: the one kept with it, or the one announced for it.
fn frame_of_job(cx: &mut JSContext, job: HandleObject, announced: *mut JSObject) -> *mut JSObject {
    rooted!(&in(cx) let announced = announced);
    rooted!(&in(cx) let mut global = ptr::null_mut::<JSObject>());
    rooted!(&in(cx) let mut data = ptr::null_mut::<JSObject>());
    // SAFETY: `job` came from the queue, so it is a microtask entry.
    unsafe {
        MaybeGetHostDefinedDataFromJSMicroTask(job.get(), global.handle_mut(), data.handle_mut());
    }
    // A global without data says that the frame was announced; without either there was none.
    if global.is_null() || !data.is_null() {
        data.get()
    } else {
        announced.get()
    }
}

/// Calls a function with no `this` and ignores what it returns.
pub(crate) fn call_value(
    cx: &mut JSContext,
    function: mozjs::rust::HandleValue,
    arguments: &[JSVal],
) -> Result<(), Thrown> {
    rooted!(&in(cx) let mut rooted_arguments: Vec<JSVal> = arguments.to_vec());
    rooted!(&in(cx) let mut result = UndefinedValue());
    let arguments = HandleValueArray::from(&rooted_arguments);
    // SAFETY: everything passed is rooted for the length of the call.
    let called = unsafe {
        JS_CallFunctionValue(
            cx,
            HandleObject::null(),
            function,
            &arguments,
            result.handle_mut(),
        )
    };
    if called { Ok(()) } else { Err(Thrown) }
}

/// Calls `handlers.<name>`.
pub(crate) fn call_handler(
    cx: &mut JSContext,
    name: &str,
    arguments: &mozjs::gc::RootedGuard<'_, Vec<JSVal>>,
    result: MutableHandleValue,
) -> Result<(), Thrown> {
    let core = core();
    rooted!(&in(cx) let handlers = core.handlers.get());
    if handlers.is_null() {
        return Err(throw::throw(
            cx,
            "Error",
            "the platform has set no handlers",
        ));
    }
    rooted!(&in(cx) let mut function = UndefinedValue());
    match core.handler_function(name) {
        Some(known) => function.set(ObjectValue(known)),
        None => {
            let text = CString::new(name).unwrap_or_default();
            // SAFETY: everything passed is rooted, `text` is NUL-terminated.
            if !unsafe {
                JS_GetProperty(cx, handlers.handle(), text.as_ptr(), function.handle_mut())
            } {
                return Err(Thrown);
            }
            if function.is_object() {
                let root = ObjectRoot::new(function.to_object());
                let mut known = core.handler_functions.borrow_mut();
                known.push((name.into(), root));
            }
        }
    }
    let arguments = HandleValueArray::from(arguments);
    // SAFETY: everything passed is rooted.
    let called = unsafe {
        JS_CallFunctionValue(cx, handlers.handle(), function.handle(), &arguments, result)
    };
    if called { Ok(()) } else { Err(Thrown) }
}

fn report_rejection(cx: &mut JSContext, core: &Core, rejection: &Rejection) -> Result<(), Thrown> {
    rooted!(&in(cx) let promise = rejection.promise.get());
    if !rejection.handled {
        let mut reported = core.reported.borrow_mut();
        if reported.len() == REPORTED_REJECTIONS_MAX {
            reported.pop_front();
        }
        reported.push_back(ObjectRoot::new(promise.get()));
    }
    rooted!(&in(cx) let mut arguments: Vec<JSVal> = vec![
        ObjectValue(promise.get()),
        UndefinedValue(),
        BooleanValue(rejection.handled),
    ]);
    // SAFETY: the promise is rejected, so it has a result; the handles are rooted.
    unsafe { JS_GetPromiseResult(promise.handle(), arguments.handle_mut_at(1)) };
    rooted!(&in(cx) let mut result = UndefinedValue());
    call_handler(cx, "rejection", &arguments, result.handle_mut())
}

/// Gives the pending exception to `handlers.uncaught`. `Some`: the turn cannot go on.
pub(crate) fn report_uncaught(cx: &mut JSContext) -> Option<Called> {
    rooted!(&in(cx) let mut error = UndefinedValue());
    if !throw::take_pending(cx, &mut error) {
        return terminated();
    }
    rooted!(&in(cx) let arguments: Vec<JSVal> = vec![error.get()]);
    rooted!(&in(cx) let mut result = UndefinedValue());
    if core().handlers.get().is_null() {
        return Some(Called::Failed(throw::describe(cx, error.handle())));
    }
    match call_handler(cx, "uncaught", &arguments, result.handle_mut()) {
        Ok(()) => None,
        Err(Thrown) => {
            if core().terminate.load(Ordering::Relaxed) {
                return terminated();
            }
            Some(Called::Failed(throw::take_error(cx)))
        }
    }
}

/// JavaScript ended without an exception. Asked for, it ends the turn; otherwise one job was lost.
fn terminated() -> Option<Called> {
    core()
        .terminate
        .load(Ordering::Relaxed)
        .then_some(Called::Terminated)
}
