//! Which invocations somebody wants to follow. Travels as a query string from `mayfly tail` to the
//! host, which applies it: what is not wanted is never sent.

use mayfly_supervisor::TraceReport;
use std::hash::{BuildHasher, RandomState};

/// How an invocation ended, in the words of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// `ok`.
    Ok,
    /// Any failure.
    Error,
    /// The caller left.
    Canceled,
}

impl Status {
    /// Of an outcome.
    pub fn of(outcome: &str) -> Self {
        match outcome {
            "ok" => Self::Ok,
            "canceled" | "responseStreamDisconnected" => Self::Canceled,
            _ => Self::Error,
        }
    }

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Canceled => "canceled",
        }
    }
}

/// See the file's head. What is empty passes everything.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Filter {
    /// Names of Workers: configured ones with all their dynamic ones, or dynamic ones.
    pub workers: Vec<String>,
    /// How they ended.
    pub statuses: Vec<Status>,
    /// Outcomes by name, such as `exceededCpu`.
    pub outcomes: Vec<String>,
    /// HTTP methods.
    pub methods: Vec<String>,
    /// Text that stands in a log line or an exception.
    pub search: Option<String>,
    /// The share to send, from 0 to 1; `None` is all.
    pub sample: Option<f64>,
}

/// What cannot be a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value}: {problem}")]
pub struct FilterError {
    name: String,
    value: String,
    problem: &'static str,
}

/// Values of one kind: a bound on what one follower makes the host compare.
const VALUES_MAX: usize = 64;

impl Filter {
    /// From a query string.
    pub fn parse(query: &str) -> Result<Self, FilterError> {
        let mut filter = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let wrong = |problem| FilterError {
                name: name.to_string(),
                value: value.to_string(),
                problem,
            };
            let add = |list: &mut Vec<String>| {
                if list.len() >= VALUES_MAX {
                    return Err(wrong("too many of these"));
                }
                list.push(value.to_string());
                Ok(())
            };
            match &*name {
                "worker" => add(&mut filter.workers)?,
                "outcome" => add(&mut filter.outcomes)?,
                "method" => add(&mut filter.methods)?,
                "search" => filter.search = Some(value.to_string()),
                "status" => match &*value {
                    "ok" => filter.statuses.push(Status::Ok),
                    "error" => filter.statuses.push(Status::Error),
                    "canceled" => filter.statuses.push(Status::Canceled),
                    _ => return Err(wrong("must be ok, error or canceled")),
                },
                "sample" => match value.parse::<f64>() {
                    Ok(share) if (0.0..=1.0).contains(&share) => filter.sample = Some(share),
                    _ => return Err(wrong("must be a number from 0 to 1")),
                },
                _ => return Err(wrong("is no filter")),
            }
        }
        Ok(filter)
    }

    /// As a query string.
    pub fn query(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for worker in &self.workers {
            query.append_pair("worker", worker);
        }
        for status in &self.statuses {
            query.append_pair("status", status.name());
        }
        for outcome in &self.outcomes {
            query.append_pair("outcome", outcome);
        }
        for method in &self.methods {
            query.append_pair("method", method);
        }
        if let Some(search) = &self.search {
            query.append_pair("search", search);
        }
        if let Some(sample) = self.sample {
            query.append_pair("sample", &sample.to_string());
        }
        query.finish()
    }

    /// Whether it lets a trace pass. Each look draws anew.
    pub fn passes(&self, report: &TraceReport<'_>) -> bool {
        let invocation = report.invocation;
        let one_of = |list: &[String], value: &str| {
            list.is_empty() || list.iter().any(|one| one.eq_ignore_ascii_case(value))
        };
        let worker =
            one_of(&self.workers, invocation.worker) || one_of(&self.workers, invocation.root);
        let status = Status::of(invocation.outcome);
        worker
            && (self.statuses.is_empty() || self.statuses.contains(&status))
            && one_of(&self.outcomes, invocation.outcome)
            && one_of(&self.methods, report.method)
            && self
                .search
                .as_ref()
                .is_none_or(|text| said(report.item, text))
            && self.sample.is_none_or(|share| drawn() < share)
    }
}

/// In log lines and exceptions only: a search for `200` is not one for a status.
fn said(item: &str, text: &str) -> bool {
    let Ok(item) = serde_json::from_str::<serde_json::Value>(item) else {
        return false;
    };
    let logs = item["logs"].as_array().into_iter().flatten();
    let mut logs = logs.map(|log| log["message"].to_string());
    let exceptions = item["exceptions"].as_array().into_iter().flatten();
    let mut exceptions = exceptions.map(|exception| exception.to_string());
    logs.any(|log| log.contains(text)) || exceptions.any(|exception| exception.contains(text))
}

/// A number from 0 up to 1.
fn drawn() -> f64 {
    // Keyed afresh by the standard library for each state.
    (RandomState::new().hash_one(()) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_travels_whole() {
        let filter = Filter {
            workers: vec!["front".to_owned(), "LOADER/a b&c".to_owned()],
            statuses: vec![Status::Error, Status::Canceled],
            outcomes: vec!["exceededCpu".to_owned()],
            methods: vec!["POST".to_owned()],
            search: Some("é=1&x".to_owned()),
            sample: Some(0.25),
        };
        assert_eq!(Filter::parse(&filter.query()), Ok(filter));
        assert_eq!(Filter::parse(""), Ok(Filter::default()));
    }

    #[test]
    fn what_is_no_filter_is_named() {
        for (query, expect) in [
            ("sample=2", "sample=2: must be a number from 0 to 1"),
            ("status=fine", "status=fine: must be ok, error or canceled"),
            ("colour=red", "colour=red: is no filter"),
        ] {
            assert_eq!(Filter::parse(query).unwrap_err().to_string(), expect);
        }
    }

    #[test]
    fn a_share_is_drawn_evenly() {
        let below = (0..10_000).filter(|_| drawn() < 0.3).count();
        assert!((2500..3500).contains(&below), "{below}");
    }
}
