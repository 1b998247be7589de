//! A rate limit as a service: `platform/cloudflare/rate-limit.ts` asks whether a key may pass.
//!
//! `POST /limit` with `{"key"}` gives `{"success"}`. As the Workers documentation has it, a limit counts
//! per key in windows of a period and is kept in memory: what it counted ends with the host.
//!
//! Invariant: at most [`KEYS_MAX`] keys are counted at once; beyond that the oldest windows make way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mayfly_exchange::{BoxFuture, Failure, Request, Response, Service};
use serde_json::{Value, json};

use crate::answer::{BodyError, Refusal, json as answer, read_body};

/// Keys that are counted at once.
pub const KEYS_MAX: usize = 100_000;
/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes of a question: a key as JSON, each byte of it escaped.
const BODY_BYTES_MAX: usize = KEY_BYTES_MAX * 6 + 64;

/// See the file's head. Bindings of one namespace share one.
#[derive(Debug)]
pub struct RateLimit {
    limit: u32,
    period: Duration,
    counts: Arc<Mutex<HashMap<String, Window>>>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    began: Instant,
    passed: u32,
}

impl RateLimit {
    /// Lets each key pass `limit` times in a `period`.
    pub fn new(limit: u32, period: Duration) -> Self {
        Self {
            limit,
            period,
            counts: Arc::default(),
        }
    }

    /// Whether a key may pass now; counts it if so.
    fn passes(&self, key: &str, now: Instant) -> bool {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |window: &Window| now.duration_since(window.began) >= self.period;
        if counts.len() >= KEYS_MAX && !counts.contains_key(key) {
            counts.retain(|_, window| !over(window));
            if counts.len() >= KEYS_MAX
                && let Some(oldest) = counts.values().map(|window| window.began).min()
            {
                counts.retain(|_, window| window.began > oldest);
            }
        }
        let fresh = Window {
            began: now,
            passed: 0,
        };
        let window = counts.entry(key.to_owned()).or_insert(fresh);
        if over(window) {
            *window = fresh;
        }
        if window.passed >= self.limit {
            return false;
        }
        window.passed += 1;
        true
    }
}

impl Service for RateLimit {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let this = Self {
            limit: self.limit,
            period: self.period,
            counts: self.counts.clone(),
        };
        Box::pin(async move {
            let body = match read_body(request.body, BODY_BYTES_MAX).await {
                Ok(body) => body,
                Err(BodyError::TooLong) => return Ok(too_long().response()),
                Err(BodyError::Failed(failure)) => return Err(failure),
            };
            let asked: Option<Value> = serde_json::from_slice(&body).ok();
            let key = asked.as_ref().and_then(|asked| asked["key"].as_str());
            Ok(match key {
                None => Refusal::new(400, "a key is wanted").response(),
                Some(key) if key.len() > KEY_BYTES_MAX => too_long().response(),
                Some(key) => answer(&json!({ "success": this.passes(key, Instant::now()) })),
            })
        })
    }
}

fn too_long() -> Refusal {
    Refusal::new(414, format!("a key has at most {KEY_BYTES_MAX} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_passes_as_often_as_it_may_in_each_period() {
        let limit = RateLimit::new(2, Duration::from_secs(10));
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let passed: Vec<bool> = [0, 1, 2, 9]
            .iter()
            .map(|s| limit.passes("a", at(*s)))
            .collect();
        assert_eq!(passed, [true, true, false, false]);
        assert!(limit.passes("b", at(9)), "each key has its own count");
        assert!(limit.passes("a", at(10)), "the next period begins anew");
    }

    #[test]
    fn what_is_counted_is_bounded() {
        let limit = RateLimit::new(1, Duration::from_secs(60));
        let start = Instant::now();
        for index in 0..KEYS_MAX + 10 {
            assert!(limit.passes(
                &index.to_string(),
                start + Duration::from_nanos(index as u64)
            ));
        }
        let counts = limit.counts.lock().unwrap();
        assert!(counts.len() <= KEYS_MAX && counts.contains_key(&(KEYS_MAX + 9).to_string()));
    }
}
