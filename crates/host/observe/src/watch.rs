//! The observer of a serving host: everybody who wants to know, behind one trait.

use crate::live::Live;
use crate::metrics::Metrics;
use mayfly_supervisor::{EndReason, InvocationReport, LogLine, Observer, TraceReport};
use mayfly_wire::Failure;
use std::fmt;
use std::sync::Arc;

/// See the file's head.
pub struct Watch {
    printer: Arc<dyn Observer>,
    /// Counts invocations.
    pub metrics: Arc<Metrics>,
    /// Those who follow live.
    pub live: Arc<Live>,
    /// Others who want traces.
    exporter: Option<Arc<dyn Observer>>,
}

impl Watch {
    /// Hands everything on to `printer`, and traces to `exporter` too.
    pub fn new(printer: Arc<dyn Observer>, exporter: Option<Arc<dyn Observer>>) -> Self {
        Self {
            printer,
            metrics: Arc::default(),
            live: Arc::new(Live::default()),
            exporter,
        }
    }
}

impl Observer for Watch {
    fn log(&self, line: LogLine<'_>) {
        self.printer.log(line);
    }

    fn exception(&self, worker: &str, failure: &Failure) {
        self.printer.exception(worker, failure);
    }

    fn guest_started(&self, worker: &str, pid: i32) {
        self.printer.guest_started(worker, pid);
    }

    fn guest_ended(&self, worker: Option<&str>, pid: i32, reason: &EndReason) {
        self.metrics.guest_ended(reason);
        self.printer.guest_ended(worker, pid, reason);
    }

    fn invocation_done(&self, report: InvocationReport<'_>) {
        self.metrics.invocation(&report);
    }

    fn wants_traces(&self) -> bool {
        self.live.is_followed() || self.exporter.as_ref().is_some_and(|one| one.wants_traces())
    }

    fn trace(&self, report: &TraceReport<'_>) {
        self.live.tell(report);
        if let Some(exporter) = &self.exporter {
            exporter.trace(report);
        }
    }

    fn trace_dropped(&self, worker: &str) {
        self.printer.trace_dropped(worker);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}
