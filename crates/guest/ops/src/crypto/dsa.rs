//! DSA signatures. Keys are the numbers that FIPS 186 names, each big endian.
//!
//! Signatures are deterministic (RFC 6979), `r` and `s` side by side, each as long as `q`.
//!
//! Deliberately absent is making keys: the algorithm is kept for keys that exist.

use dsa::signature::hazmat::PrehashVerifier;
use dsa::{Components, Signature, SigningKey, VerifyingKey};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};

use super::numbers::number;
use super::{data_error, digest, operation, with_hash};
use crate::{HasOps, op};

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("cryptoDsaSign", sign::<S>),
        op("cryptoDsaVerify", verify::<S>),
    ]
}

fn wrong<E>(_: E) -> OpError {
    data_error("the DSA key is not valid")
}

fn public(args: &mut Args, at: usize) -> Result<VerifyingKey, OpError> {
    let mut part = |index| number(&args.bytes(at + index)?, 0);
    let (p, q, g, y) = (part(0)?, part(1)?, part(2)?, part(3)?);
    let components = Components::from_components(p, q, g).map_err(wrong)?;
    VerifyingKey::from_components(components, y).map_err(wrong)
}

fn order_bytes(key: &VerifyingKey) -> usize {
    key.components().q().bit_width().div_ceil(8) as usize
}

/// `hash, p, q, g, y, x, bytes`.
fn sign<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let hash = args.string(0)?;
    let key = public(args, 1)?;
    let length = order_bytes(&key);
    let x = number(&args.bytes(5)?, 0)?;
    let digest = digest(&hash, &args.bytes(6)?)?;
    let key = SigningKey::from_components(key, x).map_err(wrong)?;
    let signature = with_hash!(hash.as_str(), H => key.sign_prehashed_rfc6979::<H>(&digest))?
        .map_err(|_| operation("signing failed"))?;
    let mut both = Vec::with_capacity(2 * length);
    for part in [signature.r(), signature.s()] {
        let bytes = part.to_be_bytes();
        both.extend_from_slice(&bytes[bytes.len().saturating_sub(length)..]);
    }
    Ok(Data::Bytes(both))
}

/// `hash, p, q, g, y, signature, bytes`.
fn verify<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let hash = args.string(0)?;
    let key = public(args, 1)?;
    let length = order_bytes(&key);
    let signature = args.bytes(5)?;
    let digest = digest(&hash, &args.bytes(6)?)?;
    if signature.len() != 2 * length {
        return Ok(Data::Bool(false));
    }
    let (r, s) = signature.split_at(length);
    let bits = key.components().q().bits_precision();
    let signature = Signature::from_components(number(r, bits)?, number(s, bits)?);
    let holds = signature.is_some_and(|signature| key.verify_prehash(&digest, &signature).is_ok());
    Ok(Data::Bool(holds))
}
