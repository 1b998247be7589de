//! Elliptic curves: ECDSA and ECDH on the NIST curves, Ed25519, X25519.
//!
//! Keys are the bytes that standards name (scalars, points, seeds). Signatures are deterministic
//! (RFC 6979, RFC 8032): they need no randomness of their own.

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use x25519_dalek::{PublicKey, StaticSecret};

use super::{data_error, digest, operation};
use crate::{HasOps, op, random};

/// How often a random scalar is drawn again. One in four billion is out of range on P-256 and less
/// elsewhere, so the second draw is already a rarity.
const DRAWS_MAX: usize = 64;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("cryptoCurveSecret", curve_secret::<S>),
        op("cryptoCurvePublic", curve_public::<S>),
        op("cryptoCurvePoint", curve_point::<S>),
        op("cryptoCurveSign", curve_sign::<S>),
        op("cryptoCurveVerify", curve_verify::<S>),
        op("cryptoCurveShare", curve_share::<S>),
    ]
}

/// The same functions on each NIST curve: the crates have no common type that names them all.
macro_rules! nist_curve {
    ($module:ident, $krate:ident, $bytes:literal, $top_mask:literal) => {
        mod $module {
            use super::{DRAWS_MAX, data_error, operation, random};
            use mayfly_engine::data::OpError;
            use $krate::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
            use $krate::ecdsa::{Signature, SigningKey, VerifyingKey};
            use $krate::elliptic_curve::sec1::ToSec1Point;
            use $krate::{PublicKey, SecretKey};

            fn secret(bytes: &[u8]) -> Result<SecretKey, OpError> {
                let length = bytes.len() == $bytes;
                let key = length.then(|| SecretKey::from_slice(bytes).ok()).flatten();
                key.ok_or_else(|| data_error("the private key is not valid on this curve"))
            }

            fn point(bytes: &[u8]) -> Result<PublicKey, OpError> {
                PublicKey::from_sec1_bytes(bytes)
                    .map_err(|_| data_error("the public key is not a point of this curve"))
            }

            pub fn draw() -> Result<Vec<u8>, OpError> {
                for _ in 0..DRAWS_MAX {
                    let mut bytes = vec![0; $bytes];
                    random::fill(&mut bytes)?;
                    bytes[0] &= $top_mask;
                    if secret(&bytes).is_ok() {
                        return Ok(bytes);
                    }
                }
                Err(operation("no private key could be drawn"))
            }

            pub fn uncompressed(bytes: &[u8]) -> Result<Vec<u8>, OpError> {
                Ok(point(bytes)?.to_sec1_point(false).as_bytes().to_vec())
            }

            pub fn public(bytes: &[u8]) -> Result<Vec<u8>, OpError> {
                let key = secret(bytes)?.public_key();
                Ok(key.to_sec1_point(false).as_bytes().to_vec())
            }

            /// A short hash means the same number with zeros in front.
            fn widened(mut hash: Vec<u8>) -> Vec<u8> {
                let missing = usize::saturating_sub($bytes, hash.len());
                hash.splice(0..0, std::iter::repeat_n(0, missing));
                hash
            }

            pub fn sign(bytes: &[u8], hash: Vec<u8>) -> Result<Vec<u8>, OpError> {
                let key = SigningKey::from(secret(bytes)?);
                let signature: Signature = key
                    .sign_prehash(&widened(hash))
                    .map_err(|_| operation("signing failed"))?;
                Ok(signature.to_bytes().to_vec())
            }

            pub fn verify(bytes: &[u8], hash: Vec<u8>, signature: &[u8]) -> Result<bool, OpError> {
                let key = VerifyingKey::from(point(bytes)?);
                let Ok(signature) = Signature::from_slice(signature) else {
                    return Ok(false);
                };
                Ok(key.verify_prehash(&widened(hash), &signature).is_ok())
            }

            pub fn share(bytes: &[u8], other: &[u8]) -> Result<Vec<u8>, OpError> {
                let shared = secret(bytes)?.diffie_hellman(&point(other)?);
                Ok(shared.raw_secret_bytes().to_vec())
            }
        }
    };
}

nist_curve!(p224_ops, p224, 28, 0xff);
nist_curve!(p256_ops, p256, 32, 0xff);
nist_curve!(p384_ops, p384, 48, 0xff);
// 521 bits are 65 bytes and one bit.
nist_curve!(p521_ops, p521, 66, 0x01);

fn curve_secret<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let secret = match args.string(0)?.as_str() {
        "P-224" => p224_ops::draw()?,
        "P-256" => p256_ops::draw()?,
        "P-384" => p384_ops::draw()?,
        "P-521" => p521_ops::draw()?,
        "Ed25519" | "X25519" => {
            let mut bytes = vec![0; 32];
            random::fill(&mut bytes)?;
            bytes
        }
        other => return Err(unknown_curve(other)),
    };
    Ok(Data::Bytes(secret))
}

fn curve_public<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (curve, secret) = (args.string(0)?, args.bytes(1)?);
    let public = match curve.as_str() {
        "P-224" => p224_ops::public(&secret)?,
        "P-256" => p256_ops::public(&secret)?,
        "P-384" => p384_ops::public(&secret)?,
        "P-521" => p521_ops::public(&secret)?,
        "Ed25519" => {
            let key = SigningKey::from_bytes(&key_of(&secret)?);
            key.verifying_key().to_bytes().to_vec()
        }
        "X25519" => {
            let key = StaticSecret::from(key_of(&secret)?);
            PublicKey::from(&key).to_bytes().to_vec()
        }
        other => return Err(unknown_curve(other)),
    };
    Ok(Data::Bytes(public))
}

fn curve_point<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (curve, point) = (args.string(0)?, args.bytes(1)?);
    let whole = match curve.as_str() {
        "P-224" => p224_ops::uncompressed(&point),
        "P-256" => p256_ops::uncompressed(&point),
        "P-384" => p384_ops::uncompressed(&point),
        "P-521" => p521_ops::uncompressed(&point),
        // What is wrong with such a point shows when it is used, as the standards have it.
        "Ed25519" | "X25519" => key_of(&point).map(Vec::from),
        other => return Err(unknown_curve(other)),
    };
    Ok(whole.map_or(Data::Undefined, Data::Bytes))
}

fn curve_sign<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (curve, hash) = (args.string(0)?, args.string(1)?);
    let (secret, bytes) = (args.bytes(2)?, args.bytes(3)?);
    let signature = match curve.as_str() {
        "P-224" => p224_ops::sign(&secret, digest(&hash, &bytes)?)?,
        "P-256" => p256_ops::sign(&secret, digest(&hash, &bytes)?)?,
        "P-384" => p384_ops::sign(&secret, digest(&hash, &bytes)?)?,
        "P-521" => p521_ops::sign(&secret, digest(&hash, &bytes)?)?,
        "Ed25519" => {
            let key = SigningKey::from_bytes(&key_of(&secret)?);
            key.sign(&bytes).to_bytes().to_vec()
        }
        other => return Err(unknown_curve(other)),
    };
    Ok(Data::Bytes(signature))
}

fn curve_verify<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (curve, hash, point) = (args.string(0)?, args.string(1)?, args.bytes(2)?);
    let (signature, bytes) = (args.bytes(3)?, args.bytes(4)?);
    let holds = match curve.as_str() {
        "P-224" => p224_ops::verify(&point, digest(&hash, &bytes)?, &signature)?,
        "P-256" => p256_ops::verify(&point, digest(&hash, &bytes)?, &signature)?,
        "P-384" => p384_ops::verify(&point, digest(&hash, &bytes)?, &signature)?,
        "P-521" => p521_ops::verify(&point, digest(&hash, &bytes)?, &signature)?,
        "Ed25519" => verify_ed25519(&point, &signature, &bytes)?,
        other => return Err(unknown_curve(other)),
    };
    Ok(Data::Bool(holds))
}

/// A key that is no point, or a signature of another length, just does not hold. Small-order
/// points are refused, as WebCrypto's specification of Ed25519 asks.
fn verify_ed25519(point: &[u8], signature: &[u8], bytes: &[u8]) -> Result<bool, OpError> {
    let key = VerifyingKey::from_bytes(&key_of(point)?);
    let (Ok(key), Ok(signature)) = (key, Signature::from_slice(signature)) else {
        return Ok(false);
    };
    Ok(key.verify_strict(bytes, &signature).is_ok())
}

fn curve_share<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (curve, secret, point) = (args.string(0)?, args.bytes(1)?, args.bytes(2)?);
    let shared = match curve.as_str() {
        "P-224" => p224_ops::share(&secret, &point)?,
        "P-256" => p256_ops::share(&secret, &point)?,
        "P-384" => p384_ops::share(&secret, &point)?,
        "P-521" => p521_ops::share(&secret, &point)?,
        "X25519" => {
            let other = PublicKey::from(key_of(&point)?);
            let shared = StaticSecret::from(key_of(&secret)?).diffie_hellman(&other);
            if !shared.was_contributory() {
                return Err(operation("the shared secret is all zero"));
            }
            shared.to_bytes().to_vec()
        }
        other => return Err(unknown_curve(other)),
    };
    Ok(Data::Bytes(shared))
}

fn key_of(bytes: &[u8]) -> Result<[u8; 32], OpError> {
    let wrong = |_| data_error(format!("the key must have 32 bytes, not {}", bytes.len()));
    bytes.try_into().map_err(wrong)
}

fn unknown_curve(name: &str) -> OpError {
    OpError {
        class: "NotSupportedError",
        message: format!("\"{name}\" is not a curve that is supported here for this"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::from_hex;
    use super::*;
    use crate::OpsState;
    use crate::testing::{bytes, call, text};

    fn run(name: &str, args: Vec<Data>) -> OpResult {
        call(&mut OpsState::new(), name, args)
    }

    const NIST: [(&str, usize); 4] = [("P-224", 28), ("P-256", 32), ("P-384", 48), ("P-521", 66)];

    #[test]
    fn signatures_hold_for_their_data_alone_with_every_hash() {
        for (curve, length) in NIST {
            for hash in ["SHA-1", "SHA-256", "SHA-384", "SHA-512"] {
                let secret = run("cryptoCurveSecret", vec![text(curve)]).unwrap();
                let point = run("cryptoCurvePublic", vec![text(curve), secret.clone()]).unwrap();
                let args = vec![text(curve), text(hash), secret, bytes("data")];
                let signature = run("cryptoCurveSign", args).unwrap();
                assert!(matches!(&signature, Data::Bytes(all) if all.len() == 2 * length));
                let verify = |data: &str| {
                    let (point, signature) = (point.clone(), signature.clone());
                    let args = vec![text(curve), text(hash), point, signature, bytes(data)];
                    run("cryptoCurveVerify", args)
                };
                assert_eq!(verify("data"), Ok(Data::Bool(true)), "{curve} {hash}");
                assert_eq!(verify("date"), Ok(Data::Bool(false)), "{curve} {hash}");
            }
        }
    }

    /// RFC 6979, A.2.5: P-256, SHA-256, "sample".
    #[test]
    fn ecdsa_is_deterministic() {
        let secret = from_hex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
        let args = vec![
            text("P-256"),
            text("SHA-256"),
            bytes(secret),
            bytes("sample"),
        ];
        let expect = "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716\
            f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8";
        assert_eq!(run("cryptoCurveSign", args), Ok(bytes(from_hex(expect))));
    }

    #[test]
    fn both_sides_share_one_secret() {
        for curve in ["P-256", "P-384", "P-521", "X25519"] {
            let secret = || run("cryptoCurveSecret", vec![text(curve)]).unwrap();
            let public = |secret: &Data| {
                run("cryptoCurvePublic", vec![text(curve), secret.clone()]).unwrap()
            };
            let share = |secret: &Data, point: Data| {
                run("cryptoCurveShare", vec![text(curve), secret.clone(), point]).unwrap()
            };
            let (ours, theirs) = (secret(), secret());
            assert_eq!(
                share(&ours, public(&theirs)),
                share(&theirs, public(&ours)),
                "{curve}"
            );
        }
        let args = vec![text("X25519"), bytes([1; 32]), bytes([0; 32])];
        assert_eq!(
            run("cryptoCurveShare", args).unwrap_err().class,
            "OperationError"
        );
    }

    /// RFC 8032, 7.1, test 3; RFC 7748, 5.2, one iteration.
    #[test]
    fn edwards_and_montgomery_are_those_of_their_rfcs() {
        let seed = from_hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
        let point = from_hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
        let public = run("cryptoCurvePublic", vec![text("Ed25519"), bytes(&seed)]);
        assert_eq!(public, Ok(bytes(&point)));
        let args = vec![
            text("Ed25519"),
            text(""),
            bytes(seed),
            bytes(from_hex("af82")),
        ];
        let Data::Bytes(signature) = run("cryptoCurveSign", args).unwrap() else {
            panic!("not bytes");
        };
        let expect = from_hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac");
        assert_eq!(signature[..32], expect);
        let verify = |signature: &[u8]| {
            let data = bytes(from_hex("af82"));
            let args = vec![
                text("Ed25519"),
                text(""),
                bytes(&point),
                bytes(signature),
                data,
            ];
            run("cryptoCurveVerify", args)
        };
        assert_eq!(verify(&signature), Ok(Data::Bool(true)));
        assert_eq!(verify(&signature[1..]), Ok(Data::Bool(false)));
        let mut nine = [0; 32];
        nine[0] = 9;
        let args = vec![text("X25519"), bytes(nine), bytes(nine)];
        let expect = from_hex("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
        assert_eq!(run("cryptoCurveShare", args), Ok(bytes(expect)));
    }

    #[test]
    fn points_may_be_compressed_and_must_be_on_the_curve() {
        for (curve, length) in NIST {
            let secret = run("cryptoCurveSecret", vec![text(curve)]).unwrap();
            let Data::Bytes(whole) = run("cryptoCurvePublic", vec![text(curve), secret]).unwrap()
            else {
                panic!("not bytes");
            };
            let mut short = vec![2 + (whole[2 * length] & 1)];
            short.extend_from_slice(&whole[1..=length]);
            let point = |given: &[u8]| run("cryptoCurvePoint", vec![text(curve), bytes(given)]);
            assert_eq!(point(&short), Ok(bytes(&whole)), "{curve}");
            let mut wrong = whole.clone();
            wrong[2 * length] ^= 1;
            assert_eq!(point(&wrong), Ok(Data::Undefined), "{curve}");
            assert_eq!(point(&[]), Ok(Data::Undefined), "{curve}");
        }
        let args = vec![text("P-256"), bytes([0; 32])];
        assert_eq!(
            run("cryptoCurvePublic", args).unwrap_err().class,
            "DataError"
        );
        assert!(run("cryptoCurveSecret", vec![text("P-192")]).is_err());
    }
}
