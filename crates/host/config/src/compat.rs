//! Compatibility dates and flags: which behaviours a Worker gets.
//!
//! [`table`] has one row for each flag; [`resolve`] turns what a Worker asks for (a date, some
//! names) into the set of flags that are on. It does not know what a flag changes: code that has
//! two behaviours asks for the flag by its enable name.
//!
//! Invariant: a name is either in the table or refused; a flag without an effect here is taken
//! like any other, so that a Worker written elsewhere starts.

mod table;

use std::collections::HashSet;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::nearest::{self, Near};

pub use table::FLAGS;

/// Flags that one Worker may name: more than twice as many as there are names.
pub const FLAGS_MAX: usize = 1_024;

/// A day, as compatibility dates count them. Ordered; not checked against the calendar (the 30th
/// of February is a date, as it is elsewhere).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// For constants; the parts are trusted.
    pub const fn new(year: u16, month: u8, day: u8) -> Self {
        Self { year, month, day }
    }

    /// `YYYY-MM-DD` with a year from 2000 to 2999.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes[0] != b'2' || bytes[4] != b'-' || bytes[7] != b'-' {
            return None;
        }
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        let (year, month, day) = (text.get(..4)?, text.get(5..7)?, text.get(8..)?);
        if ![year, month, day].into_iter().all(digits) {
            return None;
        }
        let date = Self::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
        let sane = (1..=12).contains(&date.month) && (1..=31).contains(&date.day);
        sane.then_some(date)
    }

    /// Today's date in UTC.
    pub fn today() -> Self {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Self::of_day(since.as_secs() / 86_400)
    }

    /// The date of a day counted from 1970-01-01 (Howard Hinnant's `civil_from_days`).
    fn of_day(days: u64) -> Self {
        let shifted = days + 719_468;
        let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
        let leaps = day_of_era / 1_460;
        let year_of_era = (day_of_era - leaps + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = (month_from_march + 2) % 12 + 1;
        let year = era * 400 + year_of_era + u64::from(month <= 2);
        let small = |value: u64| u8::try_from(value).unwrap_or(u8::MAX);
        let year = u16::try_from(year).unwrap_or(u16::MAX);
        Self::new(year, small(month), small(day))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

/// When a flag is on without being named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// Never.
    Never,
    /// From this date on.
    Since(Date),
    /// At any date.
    Always,
}

/// One row of the table.
#[derive(Debug)]
pub struct Flag {
    /// The name that turns it on, and that code asks for.
    pub on: &'static str,
    /// The name that turns it off.
    pub off: Option<&'static str>,
    /// When it is on by itself.
    pub default: Default,
    /// May only be named where experiments are allowed.
    pub experimental: bool,
    /// Any of these being on turns it on as well, at dates from `implied_since` on.
    pub implied_by: &'static [&'static str],
    /// See `implied_by`.
    pub implied_since: Date,
    /// Whether it changes anything here. Held to the truth by a test that reads the sources.
    pub effect_here: bool,
}

/// Whether experimental flags may be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Experimental {
    /// `WorkerCode.allowExperimental`, and whatever an operator configures.
    Allowed,
    /// Everything else.
    Refused,
}

/// Why a date or a flag was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the variants mean")]
pub enum CompatError {
    #[error(
        "\"{given}\" is not a compatibility date: it must be a day of the calendar, written YYYY-MM-DD"
    )]
    MalformedDate { given: String },
    #[error(
        "Can't set compatibility date in the future: \"{given}\". Today's date (UTC) is \"{today}\""
    )]
    FutureDate { given: Date, today: Date },
    #[error("No such compatibility flag: {flag}{near}")]
    UnknownFlag { flag: String, near: Near },
    #[error("Compatibility flag specified multiple times: {flag}")]
    Twice { flag: String },
    #[error("Compatibility flags are mutually contradictory: {on} vs {off}")]
    Contradiction { on: &'static str, off: &'static str },
    #[error(
        "The compatibility flag {flag} is experimental and may change or be removed; it is not allowed here"
    )]
    Experimental { flag: &'static str },
    #[error("{count} compatibility flags are named, the limit is {FLAGS_MAX}")]
    TooMany { count: usize },
}

impl CompatError {
    /// The flag that the error is about; `None` if it is about the date.
    pub fn flag(&self) -> Option<&str> {
        match self {
            Self::UnknownFlag { flag, .. } | Self::Twice { flag } => Some(flag),
            Self::Contradiction { off, .. } => Some(off),
            Self::Experimental { flag } => Some(flag),
            Self::MalformedDate { .. } | Self::FutureDate { .. } | Self::TooMany { .. } => None,
        }
    }
}

/// The flags that are on, by their enable names, in the order of the table.
pub fn resolve(
    date: &str,
    flags: &[impl AsRef<str>],
    experimental: Experimental,
) -> Result<Vec<&'static str>, CompatError> {
    resolve_at(Date::today(), date, flags, experimental)
}

/// [`resolve`] on a given day.
pub fn resolve_at(
    today: Date,
    date: &str,
    flags: &[impl AsRef<str>],
    experimental: Experimental,
) -> Result<Vec<&'static str>, CompatError> {
    let date = check_date(today, date)?;
    let named = check_names(flags)?;
    let mut on = HashSet::new();
    for flag in FLAGS {
        if enabled_directly(flag, date, &named, experimental)? {
            on.insert(flag.on);
        }
    }
    add_implied(&mut on, date, &named);
    let enabled = FLAGS.iter().map(|flag| flag.on);
    Ok(enabled.filter(|name| on.contains(name)).collect())
}

fn check_date(today: Date, given: &str) -> Result<Date, CompatError> {
    let date = Date::parse(given).ok_or_else(|| CompatError::MalformedDate {
        given: given.chars().take(40).collect(),
    })?;
    if date > today {
        return Err(CompatError::FutureDate { given: date, today });
    }
    Ok(date)
}

fn check_names(flags: &[impl AsRef<str>]) -> Result<HashSet<&str>, CompatError> {
    if flags.len() > FLAGS_MAX {
        return Err(CompatError::TooMany { count: flags.len() });
    }
    let mut named = HashSet::new();
    for flag in flags.iter().map(AsRef::as_ref) {
        if !names().any(|name| name == flag) {
            return Err(CompatError::UnknownFlag {
                flag: flag.chars().take(100).collect(),
                near: nearest::among(flag, names()),
            });
        }
        if !named.insert(flag) {
            let flag = flag.to_owned();
            return Err(CompatError::Twice { flag });
        }
    }
    Ok(named)
}

/// Every name that may be given, those that turn on before those that turn off.
pub fn names() -> impl Iterator<Item = &'static str> {
    let offs = FLAGS.iter().filter_map(|flag| flag.off);
    FLAGS.iter().map(|flag| flag.on).chain(offs)
}

fn enabled_directly(
    flag: &'static Flag,
    date: Date,
    named: &HashSet<&str>,
    experimental: Experimental,
) -> Result<bool, CompatError> {
    let by_name = named.contains(flag.on);
    let off = flag.off.filter(|off| named.contains(off));
    if let (true, Some(off)) = (by_name, off) {
        return Err(CompatError::Contradiction { on: flag.on, off });
    }
    if by_name && flag.experimental && experimental == Experimental::Refused {
        return Err(CompatError::Experimental { flag: flag.on });
    }
    let by_date = match flag.default {
        Default::Never => false,
        Default::Since(since) => date >= since,
        Default::Always => true,
    };
    Ok(by_name || (by_date && off.is_none()))
}

/// Adds what follows from flags that are on, until nothing more does.
fn add_implied(on: &mut HashSet<&'static str>, date: Date, named: &HashSet<&str>) {
    loop {
        let before = on.len();
        for flag in FLAGS.iter().filter(|flag| date >= flag.implied_since) {
            let refused = flag.off.is_some_and(|off| named.contains(off));
            if !refused && flag.implied_by.iter().any(|other| on.contains(other)) {
                on.insert(flag.on);
            }
        }
        if on.len() == before {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
