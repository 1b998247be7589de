//! How a value becomes bytes and comes back, with every length checked before it is believed.
//!
//! Integers are little endian and of fixed size; strings and byte strings are a `u32` length and
//! their bytes; lists are a `u32` count and their items. There is no self-description: both ends
//! are built from this crate, and [`crate::VERSION`] is compared before the first frame.
//!
//! Invariant: decoding never panics and never allocates more than a small multiple of the bytes
//! it was given, whatever they are.

use thiserror::Error;

/// Why bytes are not a frame. The sender is at fault; the host answers by ending that guest.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WireError {
    /// The frame ended inside a value.
    #[error("frame ends {missing} bytes early")]
    Truncated {
        /// Bytes that the value still needed.
        missing: usize,
    },
    /// The frame went on after its last value.
    #[error("frame carries {extra} bytes after its end")]
    Trailing {
        /// Bytes left over.
        extra: usize,
    },
    /// A tag that names no variant of this type.
    #[error("unknown {kind} tag {tag}")]
    UnknownTag {
        /// The type whose tag it is.
        kind: &'static str,
        /// The tag as read.
        tag: u8,
    },
    /// A string that is not UTF-8.
    #[error("string is not UTF-8")]
    NotUtf8,
    /// A length above the bound of its kind.
    #[error("{kind} is {length} long, limit {limit}")]
    TooLong {
        /// What was measured.
        kind: &'static str,
        /// Its length as claimed by the sender.
        length: usize,
        /// The bound, a constant of [`crate::bounds`].
        limit: usize,
    },
}

/// Reads values off the front of a frame.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], WireError> {
        match self.rest.split_at_checked(count) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(WireError::Truncated {
                missing: count - self.rest.len(),
            }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// A length-prefixed byte string, borrowed from the frame.
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = u32::decode(self)? as usize;
        self.take(length)
    }

    /// Succeeds if every byte was read.
    pub fn finish(self) -> Result<(), WireError> {
        match self.rest.len() {
            0 => Ok(()),
            extra => Err(WireError::Trailing { extra }),
        }
    }
}

/// A value with one encoding.
pub trait Wire: Sized {
    /// Appends the encoding of `self` to `out`.
    fn encode(&self, out: &mut Vec<u8>);
    /// Reads one value off the front of `reader`.
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError>;
}

macro_rules! wire_number {
    ($($number:ty),*) => {$(
        impl Wire for $number {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
                Ok(<$number>::from_le_bytes(reader.array()?))
            }
        }
    )*};
}
wire_number!(u16, u32, u64, i32, f64);

impl Wire for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.array::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [tag] => Err(WireError::UnknownTag { kind: "bool", tag }),
        }
    }
}

/// A byte string; a type of its own so that it is copied whole and not item by item.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Blob(pub Vec<u8>);

impl Wire for Blob {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(&self.0, out);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self(reader.bytes()?.to_vec()))
    }
}

impl Wire for String {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_bytes(self.as_bytes(), out);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let bytes = reader.bytes()?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| WireError::NotUtf8)
    }
}

fn encode_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    encode_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn encode_length(length: usize, out: &mut Vec<u8>) {
    // Saturating keeps encode infallible; a value this long cannot fit in a frame and the
    // frame's own length check refuses it.
    u32::try_from(length).unwrap_or(u32::MAX).encode(out);
}

impl<T: Wire> Wire for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        bool::decode(reader)?.then(|| T::decode(reader)).transpose()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        encode_length(self.len(), out);
        for item in self {
            item.encode(out);
        }
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = u32::decode(reader)? as usize;
        // Every item takes at least one byte, so a count above what is left is a lie. Capacity
        // grows with items that were really there.
        if count > reader.remaining() {
            return Err(WireError::Truncated {
                missing: count - reader.remaining(),
            });
        }
        let limit = crate::bounds::LIST_ITEMS_MAX;
        if count > limit {
            return Err(WireError::TooLong {
                kind: "list",
                length: count,
                limit,
            });
        }
        let mut items = Vec::with_capacity(count.min(64));
        for _ in 0..count {
            items.push(T::decode(reader)?);
        }
        Ok(items)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode(out);
        self.1.encode(out);
    }
    fn decode(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok((A::decode(reader)?, B::decode(reader)?))
    }
}

/// Declares a struct that is encoded field by field in the order written.
macro_rules! wire_struct {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
        impl $crate::codec::Wire for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::codec::Wire::encode(&self.$field, out);)*
            }
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::WireError> {
                Ok(Self { $($field: $crate::codec::Wire::decode(reader)?,)* })
            }
        }
    };
}

/// Declares an enum that is encoded as a one-byte tag and its variant's fields.
macro_rules! wire_enum {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$variant_meta:meta])* $tag:literal = $variant:ident {
            $($(#[$field_meta:meta])* $field:ident: $type:ty,)*
        },)*
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub enum $name {
            $($(#[$variant_meta])* $variant { $($(#[$field_meta])* $field: $type,)* },)*
        }
        impl $crate::codec::Wire for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field,)* } => {
                        out.push($tag);
                        $($crate::codec::Wire::encode($field, out);)*
                    })*
                }
            }
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::WireError> {
                match $crate::codec::decode_tag(reader)? {
                    $($tag => Ok(Self::$variant {
                        $($field: $crate::codec::Wire::decode(reader)?,)*
                    }),)*
                    tag => Err($crate::codec::WireError::UnknownTag { kind: stringify!($name), tag }),
                }
            }
        }
    };
}

/// Declares a `u32` id as a type of its own.
macro_rules! wire_id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub u32);
        impl $crate::codec::Wire for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                self.0.encode(out);
            }
            fn decode(reader: &mut $crate::codec::Reader<'_>) -> Result<Self, $crate::codec::WireError> {
                Ok(Self(u32::decode(reader)?))
            }
        }
    };
}

pub(crate) use {wire_enum, wire_id, wire_struct};

pub(crate) fn decode_tag(reader: &mut Reader<'_>) -> Result<u8, WireError> {
    let [tag] = reader.array()?;
    Ok(tag)
}
