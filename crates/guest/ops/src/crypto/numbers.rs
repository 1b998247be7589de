//! Large numbers: primes, and powers in a group of a prime for Diffie-Hellman and DSA.
//!
//! Numbers are big-endian bytes. Exponents may be secret: powers take a time that depends on lengths
//! alone. Deciding whether a number is prime does not.
//!
//! Invariant: what could take for ever has a bound, with an error of its own.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Limb, NonZero, Odd, Resize};
use crypto_primes::{Flavor, is_prime};
use mayfly_engine::data::{Args, Data, OpDecl, OpError, OpResult};

use super::operation;
use crate::{HasOps, op, random, range_error};

/// Bits of a number here. A power modulo such a number takes half a second.
pub const NUMBER_BITS_MAX: u32 = 10_000;

/// Places that one draw of a prime looks at before another starting point is drawn.
const SIEVE_PLACES: usize = 1 << 16;

/// Small primes that candidates are divided by before the slow test.
const SIEVE_PRIMES_MAX: u32 = 1 << 15;

/// Starting points that are tried. Of the largest safe primes one in a few has a hit.
const DRAWS_MAX: usize = 64;

pub fn declarations<S: HasOps>() -> Vec<OpDecl<S>> {
    vec![
        op("cryptoPower", power::<S>),
        op("cryptoPrimeIs", prime_is::<S>),
        op("cryptoPrimeDraw", prime_draw::<S>),
        op("cryptoPrimeSafe", prime_safe::<S>),
        op("cryptoNumberRemainder", remainder::<S>),
    ]
}

/// A number with as many limbs as its bytes need, or as `bits` ask for.
pub fn number(bytes: &[u8], bits: u32) -> Result<BoxedUint, OpError> {
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len());
    let bytes = &bytes[start..];
    let own = u32::try_from(bytes.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(8);
    if own > NUMBER_BITS_MAX + 8 {
        return Err(range_error(format!(
            "a number has {own} bits, the limit is {NUMBER_BITS_MAX}"
        )));
    }
    BoxedUint::from_be_slice(bytes, own.max(bits).max(64).next_multiple_of(64))
        .map_err(|_| operation("a number is too long"))
}

/// `base` to the `exponent` modulo an odd `modulus`, as long as the modulus.
fn power<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (base, exponent, modulus) = (args.bytes(0)?, args.bytes(1)?, args.bytes(2)?);
    let modulus = number(&modulus, 0)?;
    let length = modulus.bit_width().div_ceil(8) as usize;
    let odd = Option::<Odd<BoxedUint>>::from(modulus.to_odd())
        .ok_or_else(|| operation("the modulus must be odd"))?;
    let base = number(&base, odd.bits_precision())?;
    let limit = NonZero::new(odd.as_ref().clone());
    let limit = Option::<NonZero<BoxedUint>>::from(limit)
        .ok_or_else(|| operation("the modulus must not be zero"))?;
    let base = base.rem(&limit).resize(odd.bits_precision());
    let exponent = number(&exponent, 0)?;
    let params = BoxedMontyParams::new(odd);
    let result = BoxedMontyForm::new(base, &params).pow(&exponent).retrieve();
    let bytes = result.to_be_bytes();
    Ok(Data::Bytes(bytes[bytes.len() - length..].to_vec()))
}

fn prime_is<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let candidate = number(&args.bytes(0)?, 0)?;
    Ok(Data::Bool(is_prime(Flavor::Any, &candidate)))
}

/// Whether half of the number, rounded down, is a prime too.
fn prime_safe<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let half = number(&args.bytes(0)?, 0)?.shr(1);
    Ok(Data::Bool(is_prime(Flavor::Any, &half)))
}

/// What is left of a number after division by a small one.
fn remainder<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (value, divisor) = (number(&args.bytes(0)?, 0)?, args.u32(1)?);
    if divisor == 0 {
        return Err(range_error("a number is divided by zero"));
    }
    Ok(Data::Number(f64::from(small_remainder(&value, divisor))))
}

fn small_remainder(value: &BoxedUint, divisor: u32) -> u32 {
    let limb = NonZero::new(Limb::from(divisor));
    // The callers have no zero.
    Option::<NonZero<Limb>>::from(limb).map_or(0, |limb| value.rem_limb(limb).0 as u32)
}

/// A random prime of `bits` with `prime % step == rest`; a safe one if asked for.
fn prime_draw<S: HasOps>(_: &mut S, args: &mut Args) -> OpResult {
    let (bits, is_safe) = (args.u32(0)?, args.bool(1)?);
    let (step, rest) = (args.u32(2)?, args.u32(3)?);
    if !(2..=NUMBER_BITS_MAX).contains(&bits) {
        return Err(range_error(format!(
            "a prime has 2 to {NUMBER_BITS_MAX} bits here, not {bits}"
        )));
    }
    if step % 2 != 0 || rest >= step || rest % 2 == 0 || step > 1 << 16 {
        return Err(range_error("there are no primes with this remainder"));
    }
    let prime = if bits <= 24 {
        draw_small(bits, is_safe, step, rest)?
    } else {
        draw(bits, is_safe, step, rest)?
    };
    Ok(Data::Bytes(prime))
}

/// Primes of few bits: all that qualify are counted, one of them is drawn.
fn draw_small(bits: u32, is_safe: bool, step: u32, rest: u32) -> Result<Vec<u8>, OpError> {
    let small = |value: u32| {
        value >= 2
            && !(2..)
                .take_while(|d| d * d <= value)
                .any(|d| value.is_multiple_of(d))
    };
    let first = 1u32 << (bits - 1);
    let fits =
        |value: &u32| value % step == rest && small(*value) && (!is_safe || small((value - 1) / 2));
    // Two draws of a start, then the next that fits: small primes are no secrets.
    let mut seed = [0; 4];
    random::fill(&mut seed)?;
    let start = u32::from_be_bytes(seed) % first;
    // The even prime fits no odd remainder but is a prime of two bits all the same.
    let found = (0..first).map(|at| first + (start + at) % first).find(fits);
    found
        .map(|prime| trimmed(&prime.to_be_bytes()))
        .ok_or_else(|| operation("there is no such prime of this length"))
}

fn draw(bits: u32, is_safe: bool, step: u32, rest: u32) -> Result<Vec<u8>, OpError> {
    let primes = small_primes();
    let length = bits.div_ceil(8) as usize;
    for _ in 0..DRAWS_MAX {
        let mut bytes = vec![0; length];
        random::fill(&mut bytes)?;
        // Both top bits are set, so that a product of two such primes is as long as it can be.
        let top = (bits - 1) % 8;
        bytes[0] &= 0xff >> (7 - top);
        bytes[0] |= 1 << top;
        match top {
            0 => bytes[1] |= 0x80,
            _ => bytes[0] |= 1 << (top - 1),
        }
        // Room above, so that the steps never overflow.
        let mut start = number(&bytes, bits + 64)?;
        let over = small_remainder(&start, step);
        start = start.wrapping_sub(BoxedUint::from(u64::from(over)).resize(start.bits_precision()));
        start = start.wrapping_add(BoxedUint::from(u64::from(rest)).resize(start.bits_precision()));
        if let Some(prime) = first_prime(&start, bits, is_safe, step, &primes) {
            return Ok(trimmed(&prime.to_be_bytes()));
        }
    }
    Err(operation("no prime was found"))
}

/// The first prime of `start + k * step`, for `k` below the sieve's size.
fn first_prime(
    start: &BoxedUint,
    bits: u32,
    is_safe: bool,
    step: u32,
    primes: &[u32],
) -> Option<BoxedUint> {
    let mut is_composite = vec![false; SIEVE_PLACES];
    for &prime in primes {
        let stride = u64::from(step % prime);
        let at = u64::from(small_remainder(start, prime));
        let p = u64::from(prime);
        if stride == 0 {
            continue;
        }
        // Solve at + k * stride = target (mod prime) for k.
        let inverse = inverse(stride, p);
        let mut strike = |target: u64| {
            let first = (target + p - at) % p * inverse % p;
            for place in (first as usize..SIEVE_PLACES).step_by(prime as usize) {
                is_composite[place] = true;
            }
        };
        strike(0);
        // Half of it is divisible by `prime` where the number itself leaves one.
        if is_safe {
            strike(1);
        }
    }
    let survivors = is_composite
        .iter()
        .enumerate()
        .filter(|(_, struck)| !**struck);
    for (place, _) in survivors {
        let offset = u64::from(step) * place as u64;
        let candidate = start.wrapping_add(BoxedUint::from(offset).resize(start.bits_precision()));
        if candidate.bit_width() != bits {
            return None;
        }
        let candidate = candidate.resize(bits.next_multiple_of(64));
        // The half first: it fails as often and costs the same.
        if is_safe && !is_prime(Flavor::Any, &candidate.shr(1)) {
            continue;
        }
        if is_prime(Flavor::Any, &candidate) {
            return Some(candidate);
        }
    }
    None
}

/// `value` times what is one, modulo a prime: by Fermat's little theorem.
fn inverse(value: u64, prime: u64) -> u64 {
    let (mut base, mut exponent, mut result) = (value % prime, prime - 2, 1);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base % prime;
        }
        base = base * base % prime;
        exponent >>= 1;
    }
    result
}

fn small_primes() -> Vec<u32> {
    let mut is_composite = vec![false; SIEVE_PRIMES_MAX as usize];
    let mut primes = Vec::new();
    for value in 2..SIEVE_PRIMES_MAX {
        if is_composite[value as usize] {
            continue;
        }
        for multiple in (value * value..SIEVE_PRIMES_MAX).step_by(value as usize) {
            is_composite[multiple as usize] = true;
        }
        // Evenness is excluded by the steps.
        if value > 2 {
            primes.push(value);
        }
    }
    primes
}

fn trimmed(bytes: &[u8]) -> Vec<u8> {
    let start = bytes
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(bytes.len());
    bytes[start..].to_vec()
}

#[cfg(test)]
mod tests {
    use super::super::from_hex;
    use super::*;
    use crate::OpsState;
    use crate::testing::{bytes, call};

    fn run(name: &str, args: Vec<Data>) -> OpResult {
        call(&mut OpsState::new(), name, args)
    }

    #[test]
    fn powers_are_as_long_as_the_modulus() {
        let power = |base: &[u8], exponent: &[u8], modulus: &[u8]| {
            run(
                "cryptoPower",
                vec![bytes(base), bytes(exponent), bytes(modulus)],
            )
        };
        // 3^200 mod 1000003, and what is larger than the modulus.
        let expect = (0..200).fold(1u64, |value, _| value * 3 % 1_000_003);
        let modulus = &1_000_003u32.to_be_bytes()[1..];
        assert_eq!(
            power(&[3], &[200], modulus),
            Ok(bytes(&expect.to_be_bytes()[5..]))
        );
        assert_eq!(
            power(&[0x0f, 0x42, 0x43 + 3], &[200], modulus),
            Ok(bytes(&expect.to_be_bytes()[5..]))
        );
        assert_eq!(power(&[2], &[0], &[0, 0, 7]), Ok(bytes([1])));
        assert!(power(&[2], &[2], &[8]).is_err());
        assert!(power(&[2], &[2], &[]).is_err());
        assert!(power(&[2], &[2], &vec![0xff; 2_000]).is_err());
    }

    #[test]
    fn primes_are_told_from_others() {
        let is = |hex: &str| run("cryptoPrimeIs", vec![bytes(from_hex(hex))]);
        for prime in [
            "02",
            "03",
            "05",
            "010001",
            "7fffffffffffffffffffffffffffffff",
        ] {
            assert_eq!(is(prime), Ok(Data::Bool(true)), "{prime}");
        }
        for other in [
            "00",
            "01",
            "04",
            "09",
            "0231",
            "ffffffffffffffffffffffffffffffff",
        ] {
            assert_eq!(is(other), Ok(Data::Bool(false)), "{other}");
        }
        assert_eq!(
            run("cryptoPrimeSafe", vec![bytes([23])]),
            Ok(Data::Bool(true))
        );
        assert_eq!(
            run("cryptoPrimeSafe", vec![bytes([29])]),
            Ok(Data::Bool(false))
        );
    }

    #[test]
    fn drawn_primes_have_their_length_and_remainder() {
        let draw = |bits: u32, is_safe: bool, step: u32, rest: u32| {
            let args = vec![
                Data::Number(f64::from(bits)),
                Data::Bool(is_safe),
                Data::Number(f64::from(step)),
                Data::Number(f64::from(rest)),
            ];
            run("cryptoPrimeDraw", args)
        };
        for (bits, is_safe, step, rest) in [
            (3, true, 2, 1),
            (8, false, 2, 1),
            (25, false, 2, 1),
            (129, false, 12, 11),
            (128, true, 24, 23),
            (256, true, 2, 1),
        ] {
            let Data::Bytes(prime) = draw(bits, is_safe, step, rest).unwrap() else {
                panic!("not bytes");
            };
            let value = number(&prime, 0).unwrap();
            assert_eq!(value.bit_width(), bits);
            assert_eq!(small_remainder(&value, step), rest);
            assert!(
                is_prime(if is_safe { Flavor::Safe } else { Flavor::Any }, &value),
                "{bits}"
            );
        }
        assert!(draw(1, false, 2, 1).is_err());
        assert!(draw(NUMBER_BITS_MAX + 1, false, 2, 1).is_err());
        assert!(draw(64, false, 4, 2).is_err());
        assert!(draw(64, false, 0, 0).is_err());
    }
}
