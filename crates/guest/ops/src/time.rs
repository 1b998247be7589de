//! Clocks: the wall clock and the monotonic one since the guest's origin.
//!
//! Both read the kernel's clock through the vDSO. Coarsening, and what `Date.now()` shows during an
//! invocation, is the platform's decision.
//!
//! Invariant: the origin is this guest's own (see [`crate::OpsState::after_fork`]).

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use mayfly_engine::data::{Args, Data, OpDecl, OpResult};

use crate::{HasOps, op};

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("timeNow", time_now::<S>),
        op("timeMonotonic", time_monotonic::<S>),
    ]
}

#[derive(Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

fn time_now<S: HasOps>(_: &mut S, _: &mut Args) -> OpResult {
    // A clock set before 1970 reads as 0: JavaScript has no better answer for it either.
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Ok(Data::Number(since.as_secs_f64() * 1_000.0))
}

fn time_monotonic<S: HasOps>(state: &mut S, _: &mut Args) -> OpResult {
    let passed = state.ops().clock.origin.elapsed();
    Ok(Data::Number(passed.as_secs_f64() * 1_000.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OpsState, testing::call};

    fn number(value: OpResult) -> f64 {
        match value.unwrap() {
            Data::Number(number) => number,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_monotonic_clock_starts_anew_after_a_fork() {
        let mut state = OpsState::new();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let before = number(call(&mut state, "timeMonotonic", vec![]));
        assert!(before >= 20.0);
        state.after_fork();
        assert!(number(call(&mut state, "timeMonotonic", vec![])) < before);
    }

    #[test]
    fn the_wall_clock_counts_milliseconds_since_1970() {
        let now = number(call(&mut OpsState::new(), "timeNow", vec![]));
        assert!(now > 1.7e12 && now < 1e13, "{now}");
    }
}
