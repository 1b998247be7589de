//! RSA: key generation and checks, PKCS #1 v1.5 and PSS signatures, OAEP encryption.
//!
//! A key is its PKCS #1 DER. Checking and preparing one costs more than using it, so the last few
//! are kept prepared; they are found again by their DER. Private operations are blinded.
//!
//! Deliberately absent are keys below 1024 bits, public exponents above 2^33 and keys of more than
//! two primes, as the crate refuses them.
//!
//! Invariant: why something did not decrypt or verify is not told.

use std::collections::VecDeque;
use std::rc::Rc;

use ::rsa::hazmat::{rsa_decrypt_and_check, rsa_encrypt};
use ::rsa::pkcs1::{
    DecodeRsaPrivateKey, DecodeRsaPublicKey, EncodeRsaPrivateKey, EncodeRsaPublicKey,
};
use ::rsa::pkcs1v15::{Pkcs1v15Encrypt, Pkcs1v15Sign};
use ::rsa::traits::PublicKeyParts;
use ::rsa::{BoxedUint, Oaep, PrivateKey, Pss, PublicKey};
use getrandom::SysRng;
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};
use subtle::ConstantTimeEq;

use super::{data_error, digest, operation, with_hash};
use crate::{HasOps, op};

/// Bits of a key that is made here. The time grows with the fourth power: 4096 bits take seconds
/// already, and nothing can interrupt it but the guest's CPU limit.
pub const GENERATED_BITS: std::ops::RangeInclusive<u32> = 1024..=8192;

/// DER of a key: one of 8192 bits takes some 5 KB. What is longer is not parsed at all.
pub const KEY_BYTES_MAX: usize = 16 * 1024;

/// Prepared keys of each kind that are kept. A Worker signs with one and verifies with a few; each
/// takes some 5 KB.
const PREPARED_KEYS: usize = 8;

/// Stands for a salt of any length where a signature is verified.
const SALT_BYTES_ANY: usize = u32::MAX as usize;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("cryptoRsaGenerate", generate::<S>),
        op("cryptoRsaPrivate", check_private::<S>),
        op("cryptoRsaPublic", check_public::<S>),
        op("cryptoRsaRecover", recover::<S>),
        op("cryptoRsaSign", sign::<S>),
        op("cryptoRsaVerify", verify::<S>),
        op("cryptoRsaEncrypt", encrypt::<S>),
        op("cryptoRsaDecrypt", decrypt::<S>),
        op("cryptoRsaApply", apply::<S>),
    ]
}

/// The last keys used, prepared.
#[derive(Debug, Default)]
pub struct Keys {
    private: Recent<PrivateKey>,
    public: Recent<PublicKey>,
}

impl Keys {
    fn private(&mut self, der: Vec<u8>) -> Result<Rc<PrivateKey>, OpError> {
        self.private.get(der, |der| {
            PrivateKey::from_pkcs1_der(der)
                .map_err(|_| data_error("the RSA private key is not valid"))
        })
    }

    fn public(&mut self, der: Vec<u8>) -> Result<Rc<PublicKey>, OpError> {
        self.public.get(der, |der| {
            PublicKey::from_pkcs1_der(der)
                .map_err(|_| data_error("the RSA public key is not valid"))
        })
    }
}

/// Keys by their DER, the last used in front.
#[derive(Debug)]
struct Recent<K>(VecDeque<(Vec<u8>, Rc<K>)>);

impl<K> Default for Recent<K> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<K> Recent<K> {
    fn get(
        &mut self,
        der: Vec<u8>,
        parse: impl FnOnce(&[u8]) -> Result<K, OpError>,
    ) -> Result<Rc<K>, OpError> {
        let known = self.0.iter().position(|(held, _)| held.ct_eq(&der).into());
        let entry = match known.and_then(|place| self.0.remove(place)) {
            Some(entry) => entry,
            None => {
                if der.len() > KEY_BYTES_MAX {
                    return Err(data_error("the RSA key is too long"));
                }
                let key = Rc::new(parse(&der)?);
                self.0.truncate(PREPARED_KEYS - 1);
                (der, key)
            }
        };
        let key = entry.1.clone();
        self.0.push_front(entry);
        Ok(key)
    }
}

fn generate<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (bits, bytes) = (args.u32(0)?, args.bytes(1)?);
    let exponent = integer(&bytes)?;
    if !GENERATED_BITS.contains(&bits) {
        let (least, most) = GENERATED_BITS.into_inner();
        return Err(operation(format!(
            "RSA keys of {least} to {most} bits are made here, not of {bits}"
        )));
    }
    let failed = |_| operation("no RSA key could be made with this exponent and length");
    // An even or tiny exponent fits no prime: the crate would look for ever.
    let odd = bytes.last().is_some_and(|last| last & 1 == 1);
    if !odd || exponent < BoxedUint::from(3u64) {
        return Err(failed(()));
    }
    if exponent > BoxedUint::from(PublicKey::MAX_PUB_EXPONENT) {
        return Err(failed(()));
    }
    let key = PrivateKey::new_with_exp(&mut SysRng, bits as usize, exponent);
    private_der(&key.map_err(|_| failed(()))?)
}

/// The crate's checks of a private key; gives the key with its CRT values computed afresh.
fn check_private<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let key = state.ops().rsa.private(args.bytes(0)?)?;
    private_der(&key)
}

fn check_public<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let key = state.ops().rsa.public(args.bytes(0)?)?;
    let der = key.to_pkcs1_der();
    let der = der.map_err(|_| data_error("the RSA public key is not valid"))?;
    Ok(Data::Bytes(der.into_vec()))
}

/// A private key of which only the exponents are known.
fn recover<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (n, e) = (integer(&args.bytes(0)?)?, integer(&args.bytes(1)?)?);
    let d = integer(&args.bytes(2)?)?;
    let key = PublicKey::new(n.clone(), e.clone())
        .and_then(|_| PrivateKey::from_components(n, e, d, Vec::new()))
        .map_err(|_| data_error("the RSA private key is not valid"))?;
    private_der(&key)
}

fn private_der(key: &PrivateKey) -> OpResult {
    let der = key.to_pkcs1_der();
    let der = der.map_err(|_| data_error("the RSA private key is not valid"))?;
    Ok(Data::Bytes(der.as_bytes().to_vec()))
}

fn integer(bytes: &[u8]) -> Result<BoxedUint, OpError> {
    let bits = u32::try_from(bytes.len().min(KEY_BYTES_MAX) * 8).unwrap_or(0);
    // The crate's width is at least one limb.
    BoxedUint::from_be_slice(bytes, bits.max(64))
        .map_err(|_| data_error("a number of the RSA key is too long"))
}

fn sign<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (scheme, hash, salt_bytes) = (args.string(0)?, args.string(1)?, args.u32(2)? as usize);
    let key = state.ops().rsa.private(args.bytes(3)?)?;
    let digest = digest(&hash, &args.bytes(4)?)?;
    let rng = &mut SysRng;
    let signature = match scheme.as_str() {
        "pkcs1" => with_hash!(hash.as_str(), H => {
            key.sign_with_rng(rng, Pkcs1v15Sign::new::<H>(), &digest)
        })?,
        "pss" => {
            check_salt(salt_bytes, &key.to_public_key())?;
            with_hash!(hash.as_str(), H => {
                key.sign_with_rng(rng, Pss::<H>::new_with_salt(salt_bytes), &digest)
            })?
        }
        other => return Err(unknown_scheme(other)),
    };
    signature
        .map(Data::Bytes)
        .map_err(|_| operation("the RSA key is too short for this signature"))
}

fn verify<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (scheme, hash, salt_bytes) = (args.string(0)?, args.string(1)?, args.u32(2)? as usize);
    let key = state.ops().rsa.public(args.bytes(3)?)?;
    let (signature, bytes) = (args.bytes(4)?, args.bytes(5)?);
    let digest = digest(&hash, &bytes)?;
    let holds = match scheme.as_str() {
        "pkcs1" => with_hash!(hash.as_str(), H => {
            key.verify(Pkcs1v15Sign::new::<H>(), &digest, &signature)
        })?,
        "pss" => {
            // Whatever length the salt has, if none is asked for.
            let salt_len = (salt_bytes != SALT_BYTES_ANY).then_some(salt_bytes);
            if let Some(salt_bytes) = salt_len {
                check_salt(salt_bytes, &key)?;
            }
            with_hash!(hash.as_str(), H => {
                let scheme = Pss::<H> { salt_len, ..Pss::new() };
                key.verify(scheme, &digest, &signature)
            })?
        }
        other => return Err(unknown_scheme(other)),
    };
    Ok(Data::Bool(holds.is_ok()))
}

/// A salt as long as the key cannot be right, and must not be allocated.
fn check_salt(salt_bytes: usize, key: &PublicKey) -> Result<(), OpError> {
    if salt_bytes >= key.size() {
        return Err(operation("the salt is too long for the RSA key"));
    }
    Ok(())
}

fn encrypt<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (hash, label) = (args.string(0)?, args.bytes(1)?);
    let key = state.ops().rsa.public(args.bytes(2)?)?;
    let bytes = args.bytes(3)?;
    with_hash!(hash.as_str(), H => {
        key.encrypt(&mut SysRng, Oaep::<H>::new_with_label(label), &bytes)
    })?
    .map(Data::Bytes)
    .map_err(|_| operation("the data is too long for the RSA key"))
}

fn decrypt<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (hash, label) = (args.string(0)?, args.bytes(1)?);
    let key = state.ops().rsa.private(args.bytes(2)?)?;
    let bytes = args.bytes(3)?;
    with_hash!(hash.as_str(), H => {
        key.decrypt_blinded(&mut SysRng, Oaep::<H>::new_with_label(label), &bytes)
    })?
    .map(Data::Bytes)
    .map_err(|_| operation("decryption failed"))
}

/// The key applied to bytes as Node.js's `publicEncrypt` and its siblings do: `work` is which of
/// them, `padding` `pkcs1` (version 1.5) or `none`.
fn apply<S: HasOps>(state: &mut S, args: &mut Args) -> OpResult {
    let (work, padding, der) = (args.string(0)?, args.string(1)?, args.bytes(2)?);
    let bytes = args.bytes(3)?;
    let keys = &mut state.ops().rsa;
    let is_padded = padding == "pkcs1";
    let result = match work.as_str() {
        "publicEncrypt" if is_padded => keys
            .public(der)?
            .encrypt(&mut SysRng, Pkcs1v15Encrypt, &bytes)
            .ok(),
        "privateDecrypt" if is_padded => keys
            .private(der)?
            .decrypt_blinded(&mut SysRng, Pkcs1v15Encrypt, &bytes)
            .ok(),
        "privateEncrypt" if is_padded => {
            let scheme = Pkcs1v15Sign::new_unprefixed();
            keys.private(der)?
                .sign_with_rng(&mut SysRng, scheme, &bytes)
                .ok()
        }
        "publicDecrypt" => {
            let key = keys.public(der)?;
            let opened = public_raw(&key, &bytes)?;
            if is_padded {
                unpadded(&opened)
            } else {
                Some(opened)
            }
        }
        "publicEncrypt" => Some(public_raw(&*keys.public(der)?, &bytes)?),
        "privateDecrypt" | "privateEncrypt" => {
            let key = keys.private(der)?;
            let number = raw_number(key.as_ref(), &bytes)?;
            let opened = rsa_decrypt_and_check(&*key, Some(&mut SysRng), &number);
            opened.ok().map(|number| fixed(&number, key.size()))
        }
        other => return Err(unknown_scheme(other)),
    };
    result
        .map(Data::Bytes)
        .ok_or_else(|| operation("Failed to cipher/decipher"))
}

fn public_raw(key: &PublicKey, bytes: &[u8]) -> Result<Vec<u8>, OpError> {
    let number = raw_number(key, bytes)?;
    let sealed = rsa_encrypt(key, &number).map_err(|_| operation("Failed to cipher/decipher"))?;
    Ok(fixed(&sealed, key.size()))
}

/// Without padding the data is a number below the modulus, and exactly as long.
fn raw_number(key: &impl PublicKeyParts, bytes: &[u8]) -> Result<BoxedUint, OpError> {
    if bytes.len() != key.size() {
        return Err(operation(
            "Failed to cipher/decipher: the data must be as long as the key",
        ));
    }
    let number = BoxedUint::from_be_slice(bytes, key.n().bits_precision())
        .map_err(|_| operation("Failed to cipher/decipher"))?;
    match number < **key.n() {
        true => Ok(number),
        false => Err(operation(
            "Failed to cipher/decipher: the data is too large for the key",
        )),
    }
}

fn fixed(number: &BoxedUint, length: usize) -> Vec<u8> {
    let bytes = number.to_be_bytes();
    let missing = length.saturating_sub(bytes.len());
    let mut out = vec![0; missing];
    out.extend_from_slice(&bytes[bytes.len().saturating_sub(length)..]);
    out
}

/// EMSA-PKCS1-v1_5 taken off again. It holds nothing secret: anyone can open a signature.
fn unpadded(bytes: &[u8]) -> Option<Vec<u8>> {
    let rest = bytes.strip_prefix(&[0, 1])?;
    let end = rest.iter().position(|byte| *byte != 0xff)?;
    (end >= 8 && rest[end] == 0).then(|| rest[end + 1..].to_vec())
}

fn unknown_scheme(name: &str) -> OpError {
    OpError {
        class: "NotSupportedError",
        message: format!("\"{name}\" is not an RSA signature scheme"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpsState;
    use crate::testing::{bytes, call, text};

    const EXPONENT: [u8; 3] = [1, 0, 1];

    fn run(state: &mut OpsState, name: &str, args: Vec<Data>) -> OpResult {
        call(state, name, args)
    }

    fn pair(state: &mut OpsState, bits: f64) -> (Data, Data) {
        let args = vec![Data::Number(bits), bytes(EXPONENT)];
        let private = run(state, "cryptoRsaGenerate", args).unwrap();
        let Data::Bytes(der) = &private else {
            panic!("not bytes");
        };
        let public = PrivateKey::from_pkcs1_der(der).unwrap().to_public_key();
        let public = public.to_pkcs1_der().unwrap().into_vec();
        (private, Data::Bytes(public))
    }

    #[test]
    fn signatures_hold_for_their_data_alone() {
        let state = &mut OpsState::new();
        let (private, public) = pair(state, 1024.0);
        for scheme in ["pkcs1", "pss"] {
            for hash in ["SHA-1", "SHA-256", "SHA-384"] {
                let salt = Data::Number(20.0);
                let head = vec![text(scheme), text(hash), salt];
                let mut args = head.clone();
                args.extend([private.clone(), bytes("data")]);
                let signature = run(state, "cryptoRsaSign", args).unwrap();
                let mut verify = |data: &str| {
                    let mut args = head.clone();
                    args.extend([public.clone(), signature.clone(), bytes(data)]);
                    run(state, "cryptoRsaVerify", args)
                };
                assert_eq!(verify("data"), Ok(Data::Bool(true)), "{scheme} {hash}");
                assert_eq!(verify("date"), Ok(Data::Bool(false)), "{scheme} {hash}");
            }
        }
        let args = vec![
            text("pss"),
            text("SHA-256"),
            Data::Number(f64::from(u32::MAX)),
            private,
            bytes("data"),
        ];
        let refused = run(state, "cryptoRsaSign", args).unwrap_err();
        assert_eq!(refused.class, "OperationError");
    }

    #[test]
    fn what_was_encrypted_decrypts_with_its_label_alone() {
        let state = &mut OpsState::new();
        let (private, public) = pair(state, 1024.0);
        let args = vec![text("SHA-256"), bytes("label"), public, bytes("secret")];
        let sealed = run(state, "cryptoRsaEncrypt", args).unwrap();
        let mut open = |label: &str| {
            let args = vec![
                text("SHA-256"),
                bytes(label),
                private.clone(),
                sealed.clone(),
            ];
            run(state, "cryptoRsaDecrypt", args)
        };
        assert_eq!(open("label"), Ok(bytes("secret")));
        assert_eq!(open("").unwrap_err().class, "OperationError");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let state = &mut OpsState::new();
        let class = |result: OpResult| result.unwrap_err().class;
        assert_eq!(
            class(run(state, "cryptoRsaPrivate", vec![bytes("x")])),
            "DataError"
        );
        assert_eq!(
            class(run(state, "cryptoRsaPublic", vec![bytes("x")])),
            "DataError"
        );
        let huge = bytes(vec![0; KEY_BYTES_MAX + 1]);
        assert_eq!(
            class(run(state, "cryptoRsaPublic", vec![huge])),
            "DataError"
        );
        for exponent in [
            &[1][..],
            &[],
            &[1, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 1],
            &[1; 99],
        ] {
            let args = vec![Data::Number(1024.0), bytes(exponent)];
            assert!(run(state, "cryptoRsaGenerate", args).is_err());
        }
        let args = vec![Data::Number(512.0), bytes(EXPONENT)];
        assert_eq!(
            class(run(state, "cryptoRsaGenerate", args)),
            "OperationError"
        );
        for zero in [&[0][..], &[]] {
            let args = vec![bytes(zero), bytes(zero), bytes(zero)];
            assert_eq!(class(run(state, "cryptoRsaRecover", args)), "DataError");
        }
    }

    #[test]
    fn a_private_key_is_recovered_from_its_exponents() {
        let state = &mut OpsState::new();
        let (private, _) = pair(state, 1024.0);
        let Data::Bytes(der) = &private else {
            panic!("not bytes");
        };
        let key = PrivateKey::from_pkcs1_der(der).unwrap();
        let d = ::rsa::traits::PrivateKeyParts::d(&key).to_be_bytes();
        let args = vec![bytes(key.n_bytes()), bytes(key.e_bytes()), bytes(d)];
        let found = run(state, "cryptoRsaRecover", args).unwrap();
        let Data::Bytes(found) = found else {
            panic!("not bytes");
        };
        let found = PrivateKey::from_pkcs1_der(&found).unwrap();
        assert_eq!(found.to_public_key(), key.to_public_key());
    }

    #[test]
    fn only_the_last_keys_are_kept() {
        let mut recent = Recent::<u8>::default();
        for turn in 0..20u8 {
            recent.get(vec![turn], |der| Ok(der[0])).unwrap();
        }
        assert_eq!(recent.0.len(), PREPARED_KEYS);
        let known = recent.get(vec![19], |_| Err(data_error("parsed again")));
        assert_eq!(known.map(|key| *key), Ok(19));
        assert!(
            recent
                .get(vec![1], |_| Err(data_error("parsed again")))
                .is_err()
        );
    }
}
