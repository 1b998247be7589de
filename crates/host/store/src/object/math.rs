//! SQL's mathematical functions, which SQLite leaves out unless it is compiled for them.
//!
//! As SQLite documents them: what is no number, or has no real result, is NULL.

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};
use std::f64::consts::PI;

type One = fn(f64) -> f64;
type Two = fn(f64, f64) -> f64;

const OF_ONE: &[(&str, One)] = &[
    ("acos", f64::acos),
    ("acosh", f64::acosh),
    ("asin", f64::asin),
    ("asinh", f64::asinh),
    ("atan", f64::atan),
    ("atanh", f64::atanh),
    ("cos", f64::cos),
    ("cosh", f64::cosh),
    ("degrees", f64::to_degrees),
    ("exp", f64::exp),
    ("ln", f64::ln),
    ("log", f64::log10),
    ("log10", f64::log10),
    ("log2", f64::log2),
    ("radians", f64::to_radians),
    ("sin", f64::sin),
    ("sinh", f64::sinh),
    ("sqrt", f64::sqrt),
    ("tan", f64::tan),
    ("tanh", f64::tanh),
];

const OF_TWO: &[(&str, Two)] = &[
    ("atan2", f64::atan2),
    ("log", |base, number| number.log10() / base.log10()),
    ("mod", |dividend, divisor| dividend % divisor),
    ("pow", f64::powf),
    ("power", f64::powf),
];

/// These keep integers as they are.
const ROUNDING: &[(&str, One)] = &[
    ("ceil", f64::ceil),
    ("ceiling", f64::ceil),
    ("floor", f64::floor),
    ("trunc", f64::trunc),
];

/// Gives a connection all of them.
pub fn install(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    for &(name, function) in OF_ONE {
        connection.create_scalar_function(name, 1, flags, move |context| {
            Ok(number(context, 0).map(function).filter(|it| !it.is_nan()))
        })?;
    }
    for &(name, function) in OF_TWO {
        connection.create_scalar_function(name, 2, flags, move |context| {
            let both = number(context, 0).zip(number(context, 1));
            Ok(both.map(|(a, b)| function(a, b)).filter(|it| !it.is_nan()))
        })?;
    }
    for &(name, function) in ROUNDING {
        connection.create_scalar_function(name, 1, flags, move |context| {
            Ok(match context.get_raw(0) {
                ValueRef::Integer(whole) => rusqlite::types::Value::Integer(whole),
                _ => match number(context, 0) {
                    Some(number) => rusqlite::types::Value::Real(function(number)),
                    None => rusqlite::types::Value::Null,
                },
            })
        })?;
    }
    connection.create_scalar_function("pi", 0, flags, |_| Ok(PI))
}

fn number(context: &Context<'_>, index: usize) -> Option<f64> {
    match context.get_raw(index) {
        ValueRef::Integer(whole) => Some(whole as f64),
        ValueRef::Real(number) => Some(number),
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}
