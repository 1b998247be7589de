//! Landlock: no file, no TCP port, no abstract socket and no signal beyond the zygote's own tree.
//!
//! It holds where a container refuses a mount or network namespace. What the running kernel does
//! not know of it is left out; a kernel without Landlock gives a missing layer.

use crate::namespaces::Layer;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetError,
    RulesetStatus, Scope,
};

/// The newest Landlock whose every right is refused here.
const NEWEST: ABI = ABI::V6;

/// Refuses every right that Landlock knows, for this process and all it forks.
pub fn refuse_all() -> Layer {
    const NAME: &str = "landlock";
    match restrict() {
        Ok(RulesetStatus::FullyEnforced) => Layer::active(NAME),
        Ok(RulesetStatus::PartiallyEnforced) => Layer {
            name: NAME,
            active: true,
            reason: "partly: this kernel knows an older Landlock".to_owned(),
        },
        Ok(RulesetStatus::NotEnforced) => Layer::missing(NAME, "not in this kernel"),
        Err(error) => Layer::missing(NAME, error.to_string()),
    }
}

fn restrict() -> Result<RulesetStatus, RulesetError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?
        .restrict_self()?;
    Ok(status.ruleset)
}
