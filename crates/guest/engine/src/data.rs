//! Plain data that crosses between Rust and JavaScript, and the shape of a native op.
//!
//! Ops and handlers see only these values, so crates other than this one need no `unsafe` and no
//! rooting: whatever JavaScript passes has been copied out before the op runs.

use std::borrow::Cow;

/// A value by copy. JavaScript strings lose lone surrogates (they become U+FFFD), as Web IDL's
/// `USVString` does.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Data {
    /// `undefined`; also a missing argument.
    #[default]
    Undefined,
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A string.
    String(String),
    /// A string of the program's own, to JavaScript only: it is made once and then shared.
    Word(&'static str),
    /// A string that names a property, to JavaScript only: an atom, which is kept while it keeps coming.
    Name(String),
    /// To Rust: any ArrayBuffer or view of one. To JavaScript: a `Uint8Array` of its own buffer.
    Bytes(Vec<u8>),
    /// Bytes that are read before the handler they go to runs anything else, to JavaScript only: they stand
    /// at the start of the page that `engine.setArrivals` was given, and the value is their number. What that
    /// has no room for comes as `Bytes` does.
    Passing(Vec<u8>),
    /// An array.
    List(Vec<Data>),
    /// A plain object; own enumerable string keys in order.
    Record(Vec<(Cow<'static, str>, Data)>),
}

/// An error that an op throws.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpError {
    /// `TypeError`, `RangeError`, `Error`, or the name of a DOMException (`DataError`...), which
    /// the platform's `DOMException` is thrown for.
    pub class: &'static str,
    /// For the person who wrote the Worker.
    pub message: String,
}

impl OpError {
    /// A `TypeError`.
    pub fn type_error(message: impl Into<String>) -> Self {
        Self {
            class: "TypeError",
            message: message.into(),
        }
    }
}

/// What an op gives back.
pub type OpResult = Result<Data, OpError>;

/// A native op over the embedder's state `S`. `args` has exactly as many items as JavaScript
/// passed; use [`Args`] helpers for typed access.
pub type OpFn<S> = fn(state: &mut S, args: &mut Args) -> OpResult;

/// How an op is given the buffers among its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffers {
    /// By copy.
    Copied,
    /// By copy, but an ArrayBuffer (not a view of one) is given to it: it is detached.
    Taken,
    /// A copy of the start of a view: the argument after it says how many bytes.
    Counted,
}

/// One op as JavaScript finds it: `__mayfly.<object>.<name>`.
#[derive(Debug)]
pub struct OpDecl<S> {
    /// `ops` or `wire`.
    pub object: &'static str,
    /// What becomes of buffers among its arguments.
    pub buffers: Buffers,
    /// Its property name.
    pub name: &'static str,
    /// The function.
    pub function: OpFn<S>,
}

/// An op's arguments, taken one by one by position.
#[derive(Debug)]
pub struct Args(Vec<Data>);

impl Args {
    /// Wraps what JavaScript passed.
    pub fn new(values: Vec<Data>) -> Self {
        Self(values)
    }

    /// Moves argument `index` out.
    pub fn take(&mut self, index: usize) -> Data {
        self.0
            .get_mut(index)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Moves a string out.
    pub fn string(&mut self, index: usize) -> Result<String, OpError> {
        match self.take(index) {
            Data::String(text) => Ok(text),
            other => Err(wrong(index, "a string", &other)),
        }
    }

    /// Moves a string out; `undefined` and `null` are `None`.
    pub fn optional_string(&mut self, index: usize) -> Result<Option<String>, OpError> {
        match self.take(index) {
            Data::Undefined | Data::Null => Ok(None),
            Data::String(text) => Ok(Some(text)),
            other => Err(wrong(index, "a string or undefined", &other)),
        }
    }

    /// Moves bytes out.
    pub fn bytes(&mut self, index: usize) -> Result<Vec<u8>, OpError> {
        match self.take(index) {
            Data::Bytes(bytes) => Ok(bytes),
            other => Err(wrong(index, "bytes", &other)),
        }
    }

    /// A number.
    pub fn number(&mut self, index: usize) -> Result<f64, OpError> {
        match self.take(index) {
            Data::Number(number) => Ok(number),
            other => Err(wrong(index, "a number", &other)),
        }
    }

    /// A whole number from 0 to 4294967295.
    pub fn u32(&mut self, index: usize) -> Result<u32, OpError> {
        let number = self.number(index)?;
        // The cast saturates, so comparing back catches fractions, NaN and what is out of range.
        let whole = number as u32;
        if f64::from(whole) == number {
            Ok(whole)
        } else {
            Err(OpError::type_error(format!(
                "argument {index} is {number}, not a u32"
            )))
        }
    }

    /// A boolean.
    pub fn bool(&mut self, index: usize) -> Result<bool, OpError> {
        match self.take(index) {
            Data::Bool(value) => Ok(value),
            other => Err(wrong(index, "a boolean", &other)),
        }
    }

    /// Moves a list out.
    pub fn list(&mut self, index: usize) -> Result<Vec<Data>, OpError> {
        match self.take(index) {
            Data::List(items) => Ok(items),
            other => Err(wrong(index, "an array", &other)),
        }
    }
}

impl Data {
    /// The name of its kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Undefined => "undefined",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) | Self::Word(_) | Self::Name(_) => "a string",
            Self::Bytes(_) | Self::Passing(_) => "bytes",
            Self::List(_) => "an array",
            Self::Record(_) => "an object",
        }
    }
}

fn wrong(index: usize, wanted: &str, found: &Data) -> OpError {
    OpError::type_error(format!(
        "argument {index} is {}, not {wanted}",
        found.kind()
    ))
}
