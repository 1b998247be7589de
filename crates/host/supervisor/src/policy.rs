//! What an operator says about Workers besides `limits` of the documented form: further limits, and
//! whether code may be compiled.
//!
//! [`Caps`] stand in the configuration of a Worker, or of a loader for all that it loads. A dynamic
//! Worker is bound by those of the loader it came from and of every loader above that one.

use std::time::Duration;

/// Limits of one Worker; where one is absent, the default of [`crate::Options`] holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caps {
    /// CPU of one invocation.
    pub cpu: Option<Duration>,
    /// Subrequests of one invocation.
    pub sub_requests: Option<u32>,
    /// Time from an invocation's delivery until all its work has ended.
    pub wall: Option<Duration>,
    /// CPU until the main module has been evaluated.
    pub startup: Option<Duration>,
    /// Memory: heap, buffers, WebAssembly and strings together.
    pub memory_bytes: Option<u64>,
    /// Distinct dynamic Workers that one invocation may have at work at once; more wait.
    pub workers_in_flight: Option<u32>,
}

impl Caps {
    /// The lower of each.
    pub fn lower(&self, other: &Self) -> Self {
        fn min<T: Ord + Copy>(a: Option<T>, b: Option<T>) -> Option<T> {
            a.into_iter().chain(b).min()
        }
        Self {
            cpu: min(self.cpu, other.cpu),
            sub_requests: min(self.sub_requests, other.sub_requests),
            wall: min(self.wall, other.wall),
            startup: min(self.startup, other.startup),
            memory_bytes: min(self.memory_bytes, other.memory_bytes),
            workers_in_flight: min(self.workers_in_flight, other.workers_in_flight),
        }
    }
}

/// What a loader imposes on what it loads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Run it in a process that can have no executable memory.
    pub jitless: bool,
    /// Bounds.
    pub caps: Caps,
}

impl Policy {
    /// Both at once.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            jitless: self.jitless || other.jitless,
            caps: self.caps.lower(&other.caps),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stricter_holds() {
        let loose = Policy::default();
        let strict = Policy {
            jitless: true,
            caps: Caps {
                wall: Some(Duration::from_secs(1)),
                sub_requests: Some(3),
                ..Caps::default()
            },
        };
        let other = Policy {
            jitless: false,
            caps: Caps {
                sub_requests: Some(2),
                ..Caps::default()
            },
        };
        assert_eq!(loose.and(&strict), strict);
        let both = strict.and(&other);
        assert!(both.jitless);
        assert_eq!(both.caps.sub_requests, Some(2));
        assert_eq!(both.caps.wall, strict.caps.wall);
    }
}
