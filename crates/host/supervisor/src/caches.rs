//! Whose `caches` a Worker's are. What keeps their entries is given to the host by
//! [`crate::Options::caches`].
//!
//! A configured Worker's are its own, by its name. A dynamic Worker's are those of its id: whatever is
//! loaded under the same id by the same binding of the same Worker, also after the parent has started
//! anew, finds what was put before; bindings that share their ids share these too. A Worker without an
//! id has caches for as long as it lives.
//!
//! Invariant: no two Workers that are not the same by this rule have the same family and member.

use crate::capability::Scope;
use crate::worker::WorkerId;

/// See the file's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheOwner {
    /// A configured Worker with all that it loads, or a loader that several share.
    pub family: String,
    /// Which of them; empty for the configured Worker.
    pub member: String,
    /// Whether the member is gone for good when it is dropped.
    pub passing: bool,
}

impl CacheOwner {
    /// A configured Worker.
    pub fn configured(name: &str) -> Self {
        Self {
            family: format!("worker {name}"),
            member: String::new(),
            passing: false,
        }
    }

    /// What this one loads under an id.
    pub fn named(&self, scope: &Scope, binding: &str, id: &str, jitless: bool) -> Self {
        let (family, above, passing) = match scope {
            Scope::Shared(name) => (format!("loader {name}"), "", false),
            Scope::Private { .. } => (self.family.clone(), self.member.as_str(), self.passing),
        };
        // Lengths keep apart what a name could imitate.
        let binding = match scope {
            Scope::Shared(_) => "",
            Scope::Private { .. } => binding,
        };
        let compiler = if jitless { "-" } else { "+" };
        let member = format!(
            "{above}{compiler}{}:{binding}{}:{id}",
            binding.len(),
            id.len()
        );
        Self {
            family,
            member,
            passing,
        }
    }

    /// What this one loads without an id.
    pub fn unnamed(&self, worker: WorkerId) -> Self {
        Self {
            family: self.family.clone(),
            member: format!("{}#{}", self.member, worker.0),
            passing: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(parent: u64) -> Scope {
        Scope::Private {
            parent,
            binding: "L".to_owned(),
        }
    }

    #[test]
    fn an_id_is_the_same_after_its_parent_started_anew_and_nobody_elses() {
        let a = CacheOwner::configured("a");
        let of =
            |owner: &CacheOwner, scope: &Scope, binding, id| owner.named(scope, binding, id, false);
        assert_eq!(of(&a, &private(1), "L", "x"), of(&a, &private(2), "L", "x"));
        let others = [
            a.clone(),
            of(&a, &private(1), "L", "y"),
            of(&a, &private(1), "M", "x"),
            a.named(&private(1), "L", "x", true),
            of(&CacheOwner::configured("b"), &private(1), "L", "x"),
            of(&of(&a, &private(1), "L", "x"), &private(3), "L", "x"),
            of(&a, &private(1), "L", "x+1:L1:x"),
            of(&a, &Scope::Shared("a".to_owned()), "L", "x"),
            a.unnamed(WorkerId(1)),
            a.unnamed(WorkerId(2)),
        ];
        let one = of(&a, &private(1), "L", "x");
        for (index, other) in others.iter().enumerate() {
            assert_ne!(*other, one, "{index}");
            assert!(!others[index + 1..].contains(other), "{index}");
        }
        let shared = Scope::Shared("s".to_owned());
        let b = CacheOwner::configured("b");
        assert_eq!(of(&a, &shared, "L", "x"), of(&b, &shared, "M", "x"));
        let passing = a.unnamed(WorkerId(1));
        assert!(of(&passing, &private(4), "L", "x").passing);
    }
}
