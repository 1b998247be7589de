//! Counters for Prometheus, in its text format.
//!
//! An invocation takes a read lock and some atomic additions. Labels are names of configured Workers,
//! kinds of events and outcomes: bounded by the configuration, never by what Workers do.

use mayfly_supervisor::{EndReason, EventKind, InvocationReport};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Upper bounds of the histogram of wall time, in seconds.
const BUCKETS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];

/// See the file's head.
#[derive(Debug, Default)]
pub struct Metrics {
    invocations: RwLock<HashMap<Key, Arc<Series>>>,
    ends: RwLock<HashMap<&'static str, Arc<AtomicU64>>>,
}

/// Configured Worker, kind of event, outcome.
pub type Labels = (Arc<str>, &'static str, &'static str);

type Key = (Arc<str>, EventKind, &'static str);

#[derive(Debug, Default)]
struct Series {
    count: AtomicU64,
    cpu_ns: AtomicU64,
    wall_ns: AtomicU64,
    buckets: [AtomicU64; BUCKETS.len()],
}

impl Metrics {
    /// An invocation is over.
    pub fn invocation(&self, report: &InvocationReport<'_>) {
        let key = (report.root.clone(), report.event, report.outcome);
        let series = find(&self.invocations, &key);
        series.count.fetch_add(1, Ordering::Relaxed);
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).unwrap_or(0);
        series.cpu_ns.fetch_add(ns(report.cpu), Ordering::Relaxed);
        series.wall_ns.fetch_add(ns(report.wall), Ordering::Relaxed);
        let seconds = report.wall.as_secs_f64();
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            series.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Labels, count, CPU and wall time of each series.
    pub fn series(&self) -> Vec<(Labels, u64, Duration, Duration)> {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        sorted(&self.invocations)
            .into_iter()
            .map(|((worker, event, outcome), series)| {
                let labels = (worker, event.name(), outcome);
                let cpu = Duration::from_nanos(read(&series.cpu_ns));
                (
                    labels,
                    read(&series.count),
                    cpu,
                    Duration::from_nanos(read(&series.wall_ns)),
                )
            })
            .collect()
    }

    /// A guest ended.
    pub fn guest_ended(&self, reason: &EndReason) {
        find(&self.ends, &word(reason)).fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, and the supervisor's own numbers, as Prometheus reads them.
    pub fn text(&self, host: &mayfly_supervisor::Metrics) -> String {
        let mut out = String::with_capacity(4096);
        host_numbers(&mut out, host);
        self.ends_text(&mut out);
        self.invocations_text(&mut out);
        out
    }

    fn ends_text(&self, out: &mut String) {
        head(
            out,
            "mayfly_guest_ends_total",
            "counter",
            "Guests that ended, by reason.",
        );
        for (reason, count) in sorted(&self.ends) {
            let count = count.load(Ordering::Relaxed);
            line(
                out,
                &format!("mayfly_guest_ends_total{{reason=\"{reason}\"}} {count}"),
            );
        }
    }

    fn invocations_text(&self, out: &mut String) {
        let all = sorted(&self.invocations);
        let each = |out: &mut String, name: &str, number: &dyn Fn(&Series) -> String| {
            for (key, series) in &all {
                let labels = labels(key);
                line(out, &format!("{name}{{{labels}}} {}", number(series)));
            }
        };
        let seconds = |ns: &AtomicU64| (ns.load(Ordering::Relaxed) as f64 / 1e9).to_string();
        let name = "mayfly_invocations_total";
        head(
            out,
            name,
            "counter",
            "Invocations that are over, by configured Worker.",
        );
        each(out, name, &|series| {
            series.count.load(Ordering::Relaxed).to_string()
        });
        let name = "mayfly_invocation_cpu_seconds_total";
        head(out, name, "counter", "CPU time of invocations.");
        each(out, name, &|series| seconds(&series.cpu_ns));
        let name = "mayfly_invocation_wall_seconds";
        head(
            out,
            name,
            "histogram",
            "From delivery to the end of all work.",
        );
        for (key, series) in &all {
            let labels = labels(key);
            let mut sum = 0;
            for (bound, bucket) in BUCKETS.iter().zip(&series.buckets) {
                sum += bucket.load(Ordering::Relaxed);
                line(
                    out,
                    &format!("{name}_bucket{{{labels},le=\"{bound}\"}} {sum}"),
                );
            }
            let count = series.count.load(Ordering::Relaxed);
            line(
                out,
                &format!("{name}_bucket{{{labels},le=\"+Inf\"}} {count}"),
            );
            line(
                out,
                &format!("{name}_sum{{{labels}}} {}", seconds(&series.wall_ns)),
            );
            line(out, &format!("{name}_count{{{labels}}} {count}"));
        }
    }
}

fn find<K: Clone + Eq + std::hash::Hash, V: Default>(
    map: &RwLock<HashMap<K, Arc<V>>>,
    key: &K,
) -> Arc<V> {
    // Counters stay true whoever panicked beside them.
    let known = map
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(key)
        .cloned();
    known.unwrap_or_else(|| {
        let mut map = map.write().unwrap_or_else(PoisonError::into_inner);
        map.entry(key.clone()).or_default().clone()
    })
}

fn sorted<K: Clone + Shown, V>(map: &RwLock<HashMap<K, Arc<V>>>) -> Vec<(K, Arc<V>)> {
    let map = map.read().unwrap_or_else(PoisonError::into_inner);
    let mut all: Vec<_> = map
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    all.sort_by_cached_key(|(key, _)| key.order());
    all
}

/// An order for the eye.
trait Shown {
    fn order(&self) -> String;
}

impl Shown for &'static str {
    fn order(&self) -> String {
        (*self).to_owned()
    }
}

impl Shown for Key {
    fn order(&self) -> String {
        labels(self)
    }
}

fn labels((worker, event, outcome): &Key) -> String {
    // The configuration lets only letters, digits, dashes and underscores into a name.
    format!(
        "worker=\"{worker}\",event=\"{}\",outcome=\"{outcome}\"",
        event.name()
    )
}

fn word(reason: &EndReason) -> &'static str {
    match reason {
        EndReason::Exit(_) => "exit",
        EndReason::Aborted { .. } => "aborted",
        EndReason::Signal(_) => "signal",
        EndReason::Closed => "closed",
        EndReason::Violation(_) => "violation",
        EndReason::ExceededCpu { .. } => "exceeded_cpu",
        EndReason::ExceededStartup { .. } => "exceeded_startup",
        EndReason::ExceededWall { .. } => "exceeded_wall",
        EndReason::Trapped(_) => "forbidden_system_call",
        EndReason::IdleCpu => "idle_cpu",
        EndReason::StorageFailed => "storage_failed",
        EndReason::ExceededMemory { .. } => "exceeded_memory",
        EndReason::NotReading => "not_reading",
        EndReason::StartFailed(_) => "start_failed",
        EndReason::Evicted => "evicted",
        EndReason::Released => "released",
        EndReason::Shutdown => "shutdown",
    }
}

fn host_numbers(out: &mut String, host: &mayfly_supervisor::Metrics) {
    let gauges = [
        (
            "mayfly_guests_live",
            host.guests_live,
            "Guests that run a Worker.",
        ),
        (
            "mayfly_guests_ready",
            host.guests_ready,
            "Warm guests that wait for a Worker.",
        ),
        (
            "mayfly_guests_forking",
            host.guests_forking,
            "Guests that were asked for.",
        ),
        (
            "mayfly_workers_waiting",
            host.workers_waiting,
            "Workers that wait for a guest.",
        ),
        (
            "mayfly_workers_cached",
            host.cached_workers,
            "Dynamic Workers known by id.",
        ),
        (
            "mayfly_compiled_bytes",
            host.compiled_bytes,
            "Compiled code kept for Workers to come.",
        ),
        (
            "mayfly_guests_memory_bytes",
            host.memory_bytes,
            "Memory of all guests.",
        ),
    ];
    for (name, value, help) in gauges {
        head(out, name, "gauge", help);
        line(out, &format!("{name} {value}"));
    }
    let counters = [
        ("mayfly_forks_total", host.forks, "Guests forked."),
        (
            "mayfly_starts_total",
            host.starts,
            "Guests that became a Worker.",
        ),
        (
            "mayfly_modules_sent_compiled_total",
            host.modules_sent_compiled,
            "Modules that a start need not parse.",
        ),
        (
            "mayfly_evictions_total",
            host.evictions,
            "Guests that ended to make room.",
        ),
        (
            "mayfly_violations_total",
            host.violations,
            "Guests ended for a frame of theirs.",
        ),
        ("mayfly_zygotes_total", host.zygotes, "Zygotes started."),
        (
            "mayfly_logs_dropped_total",
            host.logs_dropped,
            "Log lines above the rate.",
        ),
        (
            "mayfly_traces_dropped_total",
            host.traces_dropped,
            "Traces that no tail got.",
        ),
        (
            "mayfly_tail_events_dropped_total",
            host.tail_events_dropped,
            "Events that a streaming tail was too slow for.",
        ),
        (
            "mayfly_egress_requests_total",
            host.egress_requests,
            "Requests, WebSockets and connections that Workers asked of the internet.",
        ),
        (
            "mayfly_egress_sent_bytes_total",
            host.egress_sent_bytes,
            "Bytes that Workers sent to the internet.",
        ),
        (
            "mayfly_egress_received_bytes_total",
            host.egress_received_bytes,
            "Bytes that came back.",
        ),
    ];
    for (name, value, help) in counters {
        head(out, name, "counter", help);
        line(out, &format!("{name} {value}"));
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    // Writing into a String does not fail.
    let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(out: &mut String, text: &str) {
    out.push_str(text);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_adds_up() {
        let metrics = Metrics::default();
        let root: Arc<str> = Arc::from("front");
        for ms in [1, 2, 2000, 60_000] {
            metrics.invocation(&InvocationReport {
                worker: "front",
                root: &root,
                entrypoint: "",
                event: EventKind::Fetch,
                outcome: "ok",
                cpu: Duration::from_millis(1),
                wall: Duration::from_millis(ms),
            });
        }
        metrics.guest_ended(&EndReason::Evicted);
        let text = metrics.text(&mayfly_supervisor::Metrics::default());
        let labels = "worker=\"front\",event=\"fetch\",outcome=\"ok\"";
        for expect in [
            format!("mayfly_invocations_total{{{labels}}} 4"),
            format!("mayfly_invocation_cpu_seconds_total{{{labels}}} 0.004"),
            format!("mayfly_invocation_wall_seconds_bucket{{{labels},le=\"0.001\"}} 1"),
            format!("mayfly_invocation_wall_seconds_bucket{{{labels},le=\"0.0025\"}} 2"),
            format!("mayfly_invocation_wall_seconds_bucket{{{labels},le=\"5\"}} 3"),
            format!("mayfly_invocation_wall_seconds_bucket{{{labels},le=\"+Inf\"}} 4"),
            "mayfly_guest_ends_total{reason=\"evicted\"} 1".to_owned(),
        ] {
            assert!(text.lines().any(|line| line == expect), "{expect}\n{text}");
        }
    }
}
