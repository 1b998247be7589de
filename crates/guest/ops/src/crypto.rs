//! Digests and comparison. Everything here is a plain function of its arguments.
//!
//! RustCrypto's crates, in Rust throughout: they build fast and keep nothing between calls.
//!
//! Invariant: the time of a comparison depends on lengths alone.

use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use subtle::ConstantTimeEq;

use crate::{HasOps, op};

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("cryptoDigest", crypto_digest::<S>),
        op("cryptoTimingSafeEqual", crypto_timing_safe_equal::<S>),
    ]
}

fn crypto_digest<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (algorithm, bytes) = (args.string(0)?, args.bytes(1)?);
    let digest = match algorithm.as_str() {
        "SHA-1" => Sha1::digest(&bytes).to_vec(),
        "SHA-256" => Sha256::digest(&bytes).to_vec(),
        "SHA-384" => Sha384::digest(&bytes).to_vec(),
        "SHA-512" => Sha512::digest(&bytes).to_vec(),
        "MD5" => Md5::digest(&bytes).to_vec(),
        other => return Err(unknown_digest(other)),
    };
    Ok(Data::Bytes(digest))
}

fn unknown_digest(name: &str) -> OpError {
    OpError {
        class: "NotSupportedError",
        message: format!("\"{name}\" is not a digest that is supported here"),
    }
}

fn crypto_timing_safe_equal<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (a, b) = (args.bytes(0)?, args.bytes(1)?);
    if a.len() != b.len() {
        return Err(OpError::type_error(format!(
            "inputs must have the same length: {} and {} bytes were given",
            a.len(),
            b.len()
        )));
    }
    Ok(Data::Bool(a.ct_eq(&b).into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        OpsState,
        testing::{bytes, call, text},
    };

    #[test]
    fn digests_of_abc_are_those_of_their_standards() {
        let check = |algorithm: &str, expect: &str| {
            let args = vec![text(algorithm), bytes("abc")];
            let Data::Bytes(found) = call(&mut OpsState::new(), "cryptoDigest", args).unwrap()
            else {
                panic!("not bytes");
            };
            let hex: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(hex.starts_with(expect), "{algorithm}: {hex}");
        };
        check("SHA-1", "a9993e364706816aba3e25717850c26c9cd0d89d");
        check(
            "SHA-256",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        );
        check(
            "SHA-384",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163",
        );
        check(
            "SHA-512",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea2",
        );
        check("MD5", "900150983cd24fb0d6963f7d28e17f72");
        let args = vec![text("SHA-3"), bytes("")];
        let refused = call(&mut OpsState::new(), "cryptoDigest", args).unwrap_err();
        assert_eq!(refused.class, "NotSupportedError");
    }

    #[test]
    fn comparison_needs_equal_lengths() {
        let equal = |a: &str, b: &str| {
            let args = vec![bytes(a), bytes(b)];
            call(&mut OpsState::new(), "cryptoTimingSafeEqual", args)
        };
        assert_eq!(equal("ab", "ab"), Ok(Data::Bool(true)));
        assert_eq!(equal("ab", "ac"), Ok(Data::Bool(false)));
        assert_eq!(equal("ab", "abc").unwrap_err().class, "TypeError");
    }
}
