//! Frames as JavaScript sees them, and back.
//!
//! `platform/ops.ts` is the contract: a record becomes an object with camelCase names, a closed set
//! of words becomes strings, an event or outcome becomes a tuple that begins with its word. This file
//! has the two traits and the scalars; `heads` the records, `tuples` the tuples, `code` a Worker's code
//! and start.
//!
//! What comes from JavaScript was made by the platform, but user code may have reached into it, so a
//! value of the wrong shape is a TypeError in the op and never a panic. Bounds that the host would
//! kill for are checked here first, where they can still be an exception.

mod actors;
mod code;
mod heads;
mod tuples;

use std::borrow::Cow;
use std::sync::Arc;

use mayfly_engine::data::{Args, Data, OpError};
use mayfly_wire::{ActorId, Blob, CallId, CapId, ExportId, StreamId};

pub use code::{check_code, split_start};
pub use heads::check_message;
pub use tuples::{check_path, plain_attachments, split_rpc, split_value};

/// A value on its way to JavaScript.
pub trait IntoData {
    /// By copy, or by move where there are bytes.
    fn into_data(self) -> Data;
}

/// A value that JavaScript passed.
pub trait FromData: Sized {
    /// Takes it apart; an error if it has another shape.
    fn from_data(data: Data) -> Result<Self, OpError>;
}

/// The error for a value of another shape.
fn unexpected(wanted: &str, found: &Data) -> OpError {
    OpError::type_error(format!("expected {wanted}, found {}", found.kind()))
}

/// The error for a value beyond a bound of the wire.
fn too_long(what: &str, length: usize, limit: usize) -> OpError {
    OpError {
        class: "RangeError",
        message: format!("{what} of {length} is above the limit of {limit}"),
    }
}

/// Refuses a length above its bound.
fn bounded(what: &str, length: usize, limit: usize) -> Result<(), OpError> {
    if length > limit {
        return Err(too_long(what, length, limit));
    }
    Ok(())
}

impl IntoData for String {
    fn into_data(self) -> Data {
        Data::String(self)
    }
}

impl FromData for String {
    fn from_data(data: Data) -> Result<Self, OpError> {
        match data {
            Data::String(text) => Ok(text),
            Data::Word(text) => Ok(text.to_owned()),
            other => Err(unexpected("a string", &other)),
        }
    }
}

impl IntoData for bool {
    fn into_data(self) -> Data {
        Data::Bool(self)
    }
}

impl FromData for bool {
    fn from_data(data: Data) -> Result<Self, OpError> {
        match data {
            Data::Bool(value) => Ok(value),
            other => Err(unexpected("a boolean", &other)),
        }
    }
}

impl IntoData for f64 {
    fn into_data(self) -> Data {
        Data::Number(self)
    }
}

impl FromData for f64 {
    fn from_data(data: Data) -> Result<Self, OpError> {
        match data {
            Data::Number(number) => Ok(number),
            other => Err(unexpected("a number", &other)),
        }
    }
}

impl IntoData for u32 {
    fn into_data(self) -> Data {
        Data::Number(f64::from(self))
    }
}

impl FromData for u32 {
    fn from_data(data: Data) -> Result<Self, OpError> {
        Args::new(vec![data]).u32(0)
    }
}

impl IntoData for u16 {
    fn into_data(self) -> Data {
        Data::Number(f64::from(self))
    }
}

impl FromData for u16 {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let number = u32::from_data(data)?;
        Self::try_from(number).map_err(|_| OpError::type_error(format!("{number} is not a u16")))
    }
}

/// Exact up to 2^53, which no length reaches.
impl IntoData for u64 {
    fn into_data(self) -> Data {
        Data::Number(self as f64)
    }
}

impl FromData for u64 {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let number = f64::from_data(data)?;
        // The cast saturates, so comparing back catches fractions, NaN and what is out of range.
        let whole = number as Self;
        if whole as f64 == number {
            Ok(whole)
        } else {
            Err(OpError::type_error(format!("{number} is not a length")))
        }
    }
}

impl IntoData for Blob {
    fn into_data(self) -> Data {
        Data::Bytes(self.0)
    }
}

impl FromData for Blob {
    fn from_data(data: Data) -> Result<Self, OpError> {
        match data {
            Data::Bytes(bytes) => Ok(Self(bytes)),
            other => Err(unexpected("bytes", &other)),
        }
    }
}

impl<T: IntoData> IntoData for Option<T> {
    fn into_data(self) -> Data {
        self.map_or(Data::Undefined, T::into_data)
    }
}

impl<T: FromData> FromData for Option<T> {
    fn from_data(data: Data) -> Result<Self, OpError> {
        match data {
            Data::Undefined | Data::Null => Ok(None),
            data => T::from_data(data).map(Some),
        }
    }
}

impl<T: IntoData> IntoData for Vec<T> {
    fn into_data(self) -> Data {
        Data::List(self.into_iter().map(T::into_data).collect())
    }
}

impl<T: FromData> FromData for Vec<T> {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let items = list(data)?;
        bounded("a list", items.len(), mayfly_wire::bounds::LIST_ITEMS_MAX)?;
        items.into_iter().map(T::from_data).collect()
    }
}

impl<T: IntoData> IntoData for Box<T> {
    fn into_data(self) -> Data {
        (*self).into_data()
    }
}

impl<T: FromData> FromData for Box<T> {
    fn from_data(data: Data) -> Result<Self, OpError> {
        T::from_data(data).map(Self::new)
    }
}

impl<T: IntoData + Clone> IntoData for Arc<T> {
    fn into_data(self) -> Data {
        Self::unwrap_or_clone(self).into_data()
    }
}

impl<T: FromData> FromData for Arc<T> {
    fn from_data(data: Data) -> Result<Self, OpError> {
        T::from_data(data).map(Self::new)
    }
}

macro_rules! ids {
    ($($id:ident),*) => {$(
        impl IntoData for $id {
            fn into_data(self) -> Data {
                self.0.into_data()
            }
        }
        impl FromData for $id {
            fn from_data(data: Data) -> Result<Self, OpError> {
                u32::from_data(data).map(Self)
            }
        }
    )*};
}
ids!(ActorId, CallId, CapId, ExportId, StreamId);

/// A closed set of words: an enum without fields on the wire, a string in JavaScript.
macro_rules! words {
    ($type:ident { $($variant:ident = $word:literal,)* }) => {
        impl $crate::convert::IntoData for $type {
            fn into_data(self) -> Data {
                Data::Word(match self { $(Self::$variant {} => $word,)* })
            }
        }
        impl $crate::convert::FromData for $type {
            fn from_data(data: Data) -> Result<Self, OpError> {
                match String::from_data(data)?.as_str() {
                    $($word => Ok(Self::$variant {}),)*
                    other => Err(OpError::type_error(format!(
                        "\"{other}\" is not a {}", stringify!($type)
                    ))),
                }
            }
        }
    };
}

/// A record whose fields convert one by one.
macro_rules! record {
    ($type:ident { $($field:ident = $name:literal,)* }) => {
        impl $crate::convert::IntoData for $type {
            fn into_data(self) -> Data {
                $crate::convert::object([
                    $(($name, $crate::convert::IntoData::into_data(self.$field)),)*
                ])
            }
        }
        impl $crate::convert::FromData for $type {
            fn from_data(data: Data) -> Result<Self, OpError> {
                let mut fields = $crate::convert::Fields::of(data)?;
                Ok(Self { $($field: fields.take($name)?,)* })
            }
        }
    };
}

use {record, words};

/// An object with these properties.
fn object<const N: usize>(properties: [(&'static str, Data); N]) -> Data {
    Data::Record(
        properties
            .into_iter()
            .map(|(name, value)| (Cow::Borrowed(name), value))
            .collect(),
    )
}

/// A tuple that begins with its word.
fn tuple<const N: usize>(word: &'static str, rest: [Data; N]) -> Data {
    let mut items = Vec::with_capacity(N + 1);
    items.push(Data::Word(word));
    items.extend(rest);
    Data::List(items)
}

fn list(data: Data) -> Result<Vec<Data>, OpError> {
    match data {
        Data::List(items) => Ok(items),
        other => Err(unexpected("an array", &other)),
    }
}

/// A tuple's items, taken by position; what is missing is `undefined`.
struct Items(Args);

impl Items {
    fn of(data: Data) -> Result<Self, OpError> {
        Ok(Self(Args::new(list(data)?)))
    }

    fn take<T: FromData>(&mut self, index: usize) -> Result<T, OpError> {
        T::from_data(self.0.take(index))
    }

    /// The word that a tuple begins with.
    fn word(&mut self) -> Result<String, OpError> {
        self.take(0)
    }
}

/// A record's properties, taken by name; what is missing is `undefined`.
struct Fields(Vec<(Cow<'static, str>, Data)>);

impl Fields {
    fn of(data: Data) -> Result<Self, OpError> {
        match data {
            Data::Record(properties) => Ok(Self(properties)),
            other => Err(unexpected("an object", &other)),
        }
    }

    fn take<T: FromData>(&mut self, name: &str) -> Result<T, OpError> {
        let value = self
            .0
            .iter_mut()
            .find(|(property, _)| property == name)
            .map(|(_, value)| std::mem::take(value))
            .unwrap_or_default();
        T::from_data(value).map_err(|error| OpError {
            class: error.class,
            message: format!("{name}: {}", error.message),
        })
    }
}
