//! Digests, codes, derivation and comparison; ciphers are in `aes` and `cipher`, signatures in
//! `curves`, `rsa` and `dsa`, large numbers in `numbers`.
//!
//! RustCrypto's crates, in Rust throughout. Keys come as bytes and are not kept: what a `CryptoKey`
//! may be used for, and the formats it is imported from, are the platform's.
//!
//! Invariants: the time of a comparison depends on lengths alone; nothing random is kept.

mod aes;
pub mod cipher;
mod curves;
mod dsa;
mod numbers;
pub mod rsa;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use md4::Md4;
use md5::Md5;
use sha1::Sha1;
use sha2::digest::DynDigest;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_256};
use subtle::ConstantTimeEq;

use crate::{HasOps, op, range_error};

/// Rounds of PBKDF2 in one call. A round of SHA-512 takes about half a microsecond, so this is some
/// ten seconds; nothing can interrupt it but the guest's CPU limit.
pub const PBKDF2_ROUNDS_MAX: u32 = 20_000_000;

/// Bytes that one derivation may give.
pub const DERIVED_BYTES_MAX: usize = 1024 * 1024;

/// `N * r * p` of scrypt in one call: some ten seconds.
pub const SCRYPT_COST_MAX: u64 = 1 << 26;

/// Memory that one call of scrypt may take; a Worker's own limit usually comes first.
pub const SCRYPT_BYTES_MAX: u64 = 1 << 30;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    let mut all = vec![
        op("cryptoDigest", crypto_digest::<S>),
        op("cryptoTimingSafeEqual", crypto_timing_safe_equal::<S>),
        op("cryptoHashNew", crypto_hash_new::<S>),
        op("cryptoHashUpdate", crypto_hash_update::<S>),
        op("cryptoHashCopy", crypto_hash_copy::<S>),
        op("cryptoHashFinish", crypto_hash_finish::<S>),
        op("cryptoHashFree", crypto_hash_free::<S>),
        op("cryptoHmac", crypto_hmac::<S>),
        op("cryptoHkdf", crypto_hkdf::<S>),
        op("cryptoPbkdf2", crypto_pbkdf2::<S>),
        op("cryptoScrypt", crypto_scrypt::<S>),
    ];
    all.extend(aes::declarations());
    all.extend(cipher::declarations());
    all.extend(dsa::declarations());
    all.extend(numbers::declarations());
    all.extend(curves::declarations());
    all.extend(rsa::declarations());
    all
}

/// Runs `$body` with `$hash` as the type of the digest named `$name`.
macro_rules! with_hash {
    ($name:expr, $hash:ident => $body:expr) => {
        match $name {
            "SHA-1" => {
                type $hash = sha1::Sha1;
                Ok($body)
            }
            "SHA-224" => {
                type $hash = sha2::Sha224;
                Ok($body)
            }
            "SHA-256" => {
                type $hash = sha2::Sha256;
                Ok($body)
            }
            "SHA-384" => {
                type $hash = sha2::Sha384;
                Ok($body)
            }
            "SHA-512" => {
                type $hash = sha2::Sha512;
                Ok($body)
            }
            "SHA-512/256" => {
                type $hash = sha2::Sha512_256;
                Ok($body)
            }
            "MD5" => {
                type $hash = md5::Md5;
                Ok($body)
            }
            "MD4" => {
                type $hash = md4::Md4;
                Ok($body)
            }
            other => Err($crate::crypto::unknown_digest(other)),
        }
    };
}
use with_hash;

/// The digest of `bytes`.
fn digest(algorithm: &str, bytes: &[u8]) -> Result<Vec<u8>, OpError> {
    with_hash!(algorithm, H => H::digest(bytes).to_vec())
}

fn crypto_digest<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (algorithm, bytes) = (args.string(0)?, args.bytes(1)?);
    digest(&algorithm, &bytes).map(Data::Bytes)
}

/// A digest under way.
pub struct Hash(Box<dyn DynDigest>);

impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash")
    }
}

impl Hash {
    fn new(algorithm: &str) -> Result<Self, OpError> {
        Ok(Self(match algorithm {
            "SHA-1" => Box::new(Sha1::new()),
            "SHA-224" => Box::new(Sha224::new()),
            "SHA-256" => Box::new(Sha256::new()),
            "SHA-384" => Box::new(Sha384::new()),
            "SHA-512" => Box::new(Sha512::new()),
            "SHA-512/256" => Box::new(Sha512_256::new()),
            "MD5" => Box::new(Md5::new()),
            "MD4" => Box::new(Md4::new()),
            other => return Err(unknown_digest(other)),
        }))
    }
}

fn crypto_hash_new<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let hash = Hash::new(&args.string(0)?)?;
    state.ops().hashes.insert(hash)
}

fn crypto_hash_update<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (handle, bytes) = (args.u32(0)?, args.bytes(1)?);
    state.ops().hashes.get(handle)?.0.update(&bytes);
    Ok(Data::Undefined)
}

fn crypto_hash_copy<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let hashes = &mut state.ops().hashes;
    let copy = Hash(hashes.get(args.u32(0)?)?.0.box_clone());
    hashes.insert(copy)
}

fn crypto_hash_finish<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let handle = args.u32(0)?;
    let hashes = &mut state.ops().hashes;
    let digest = hashes.get(handle)?.0.finalize_reset();
    hashes.remove(handle);
    Ok(Data::Bytes(digest.into_vec()))
}

fn crypto_hash_free<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    state.ops().hashes.remove(args.u32(0)?);
    Ok(Data::Undefined)
}

fn crypto_hmac<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (algorithm, key, bytes) = (args.string(0)?, args.bytes(1)?, args.bytes(2)?);
    let code = with_hash!(algorithm.as_str(), H => {
        // A key of any length is allowed, so there is nothing that could fail.
        Hmac::<H>::new_from_slice(&key).map(|mac| mac.chain_update(&bytes).finalize().into_bytes().to_vec())
    })?;
    code.map(Data::Bytes)
        .map_err(|_| operation("the key cannot be used"))
}

fn crypto_hkdf<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (algorithm, key) = (args.string(0)?, args.bytes(1)?);
    let (salt, info) = (args.bytes(2)?, args.bytes(3)?);
    let mut derived = derived_bytes(args.u32(4)?)?;
    with_hash!(algorithm.as_str(), H => {
        Hkdf::<H>::new(Some(&salt), &key).expand(&info, &mut derived)
    })?
    .map_err(|_| operation("HKDF gives at most 255 digests' lengths"))?;
    Ok(Data::Bytes(derived))
}

fn crypto_pbkdf2<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (algorithm, password) = (args.string(0)?, args.bytes(1)?);
    let (salt, rounds) = (args.bytes(2)?, args.u32(3)?);
    let mut derived = derived_bytes(args.u32(4)?)?;
    if rounds == 0 || rounds > PBKDF2_ROUNDS_MAX {
        return Err(operation(format!(
            "PBKDF2 takes 1 to {PBKDF2_ROUNDS_MAX} iterations, not {rounds}"
        )));
    }
    with_hash!(algorithm.as_str(), H => {
        pbkdf2::pbkdf2_hmac::<H>(&password, &salt, rounds, &mut derived);
    })?;
    Ok(Data::Bytes(derived))
}

/// `password, salt, log2 of N, r, p, count`.
fn crypto_scrypt<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (password, salt) = (args.bytes(0)?, args.bytes(1)?);
    let (log_n, r, p) = (args.u32(2)?, args.u32(3)?, args.u32(4)?);
    let mut derived = derived_bytes(args.u32(5)?)?;
    let cost = 1u64.checked_shl(log_n).unwrap_or(u64::MAX);
    let spent = cost
        .saturating_mul(u64::from(r))
        .saturating_mul(u64::from(p));
    let room = cost.saturating_mul(u64::from(r)).saturating_mul(128);
    if spent > SCRYPT_COST_MAX || room > SCRYPT_BYTES_MAX {
        return Err(range_error("scrypt's parameters ask for too much work"));
    }
    let params = u8::try_from(log_n)
        .ok()
        .and_then(|log_n| scrypt::Params::new(log_n, r, p).ok())
        .ok_or_else(|| range_error("scrypt's parameters are not valid"))?;
    if derived.is_empty() {
        return Ok(Data::Bytes(derived));
    }
    scrypt::scrypt(&password, &salt, &params, &mut derived)
        .map_err(|_| operation("scrypt failed"))?;
    Ok(Data::Bytes(derived))
}

fn derived_bytes(count: u32) -> Result<Vec<u8>, OpError> {
    let count = count as usize;
    if count > DERIVED_BYTES_MAX {
        return Err(range_error(format!(
            "{count} bytes are to be derived, the limit is {DERIVED_BYTES_MAX}"
        )));
    }
    Ok(vec![0; count])
}

fn unknown_digest(name: &str) -> OpError {
    OpError {
        class: "NotSupportedError",
        message: format!("\"{name}\" is not a digest that is supported here"),
    }
}

/// What WebCrypto throws when the work itself fails. It says no more than it must: why something
/// did not decrypt can be a secret.
fn operation(message: impl Into<String>) -> OpError {
    OpError {
        class: "OperationError",
        message: message.into(),
    }
}

/// What WebCrypto throws about a key that is none.
fn data_error(message: impl Into<String>) -> OpError {
    OpError {
        class: "DataError",
        message: message.into(),
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
fn from_hex(hex: &str) -> Vec<u8> {
    let digits: String = hex.split_whitespace().collect();
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    (0..digits.len()).step_by(2).map(byte).collect()
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
        check(
            "SHA-224",
            "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7",
        );
        check(
            "SHA-512/256",
            "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23",
        );
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

    #[test]
    fn a_hash_taken_in_pieces_is_the_hash_of_the_whole() {
        let state = &mut OpsState::new();
        let handle = call(state, "cryptoHashNew", vec![text("SHA-256")]).unwrap();
        call(state, "cryptoHashUpdate", vec![handle.clone(), bytes("a")]).unwrap();
        let copy = call(state, "cryptoHashCopy", vec![handle.clone()]).unwrap();
        call(state, "cryptoHashUpdate", vec![handle.clone(), bytes("bc")]).unwrap();
        let whole = call(state, "cryptoDigest", vec![text("SHA-256"), bytes("abc")]);
        assert_eq!(call(state, "cryptoHashFinish", vec![handle.clone()]), whole);
        assert!(call(state, "cryptoHashFinish", vec![handle]).is_err());
        let first = call(state, "cryptoDigest", vec![text("SHA-256"), bytes("a")]);
        assert_eq!(call(state, "cryptoHashFinish", vec![copy]), first);
    }

    /// RFC 4231 case 2, RFC 5869 case 1, RFC 6070 case 2.
    #[test]
    fn codes_and_derivations_are_those_of_their_rfcs() {
        let check = |name: &str, args: Vec<Data>, expect: &str| {
            let found = call(&mut OpsState::new(), name, args).unwrap();
            assert_eq!(found, bytes(from_hex(expect)), "{name}");
        };
        let code = vec![
            text("SHA-256"),
            bytes("Jefe"),
            bytes("what do ya want for nothing?"),
        ];
        let expect = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        check("cryptoHmac", code, expect);
        let hkdf = vec![
            text("SHA-256"),
            bytes([0x0b; 22]),
            bytes(from_hex("000102030405060708090a0b0c")),
            bytes(from_hex("f0f1f2f3f4f5f6f7f8f9")),
            Data::Number(42.0),
        ];
        let expect = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf\
            34007208d5b887185865";
        check("cryptoHkdf", hkdf, expect);
        let pbkdf2 = vec![
            text("SHA-1"),
            bytes("password"),
            bytes("salt"),
            Data::Number(2.0),
            Data::Number(20.0),
        ];
        check(
            "cryptoPbkdf2",
            pbkdf2,
            "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957",
        );
    }
}
