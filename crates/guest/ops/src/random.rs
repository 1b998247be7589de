//! Randomness, straight from the kernel at every call.
//!
//! There is no generator here on purpose: whatever kept state would be shared by every guest that
//! is forked from one zygote.

use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};

use crate::{HasOps, op, range_error};

/// Bytes that one call may ask for. `getRandomValues` stops at 64 KiB; `node:crypto` may want more.
pub const RANDOM_BYTES_MAX: usize = 64 * 1024 * 1024;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("randomBytes", random_bytes::<S>),
        op("randomUuid", random_uuid::<S>),
    ]
}

fn random_bytes<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let count = args.u32(0)? as usize;
    if count > RANDOM_BYTES_MAX {
        return Err(range_error(format!(
            "{count} random bytes asked for, the limit is {RANDOM_BYTES_MAX}"
        )));
    }
    let mut bytes = vec![0; count];
    fill(&mut bytes)?;
    Ok(Data::Bytes(bytes))
}

fn random_uuid<S: HasOps>(_: &mut S, _: &mut Args) -> OpResult {
    let mut bytes = [0; 16];
    fill(&mut bytes)?;
    let uuid = uuid::Builder::from_random_bytes(bytes).into_uuid();
    Ok(Data::String(uuid.hyphenated().to_string()))
}

/// Fills `bytes` from the kernel.
pub fn fill(bytes: &mut [u8]) -> Result<(), OpError> {
    getrandom::fill(bytes).map_err(|error| OpError {
        class: "Error",
        message: format!("the kernel gave no random bytes: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{OpsState, testing::call};

    #[test]
    fn bytes_have_the_length_asked_for_and_differ() {
        let state = &mut OpsState::new();
        let mut draw = || call(state, "randomBytes", vec![Data::Number(32.0)]).unwrap();
        let (one, other) = (draw(), draw());
        assert!(matches!(&one, Data::Bytes(bytes) if bytes.len() == 32));
        assert_ne!(one, other);
        let refused = call(state, "randomBytes", vec![Data::Number(1e9)]).unwrap_err();
        assert_eq!(refused.class, "RangeError");
    }

    #[test]
    fn a_uuid_has_version_4_and_its_variant() {
        let Data::String(uuid) = call(&mut OpsState::new(), "randomUuid", vec![]).unwrap() else {
            panic!("not a string");
        };
        assert_eq!(uuid.len(), 36);
        assert_eq!(&uuid[14..15], "4");
        assert!("89ab".contains(&uuid[19..20]));
    }
}
