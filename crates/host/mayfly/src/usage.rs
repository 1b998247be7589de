//! `mayfly usage`: what Workers used in a month, and what that costs by published prices.
//!
//! The store keeps numbers, this file knows money. Amounts that a price includes are those of a whole
//! account and month, so they are taken off the sum and not off a row; a row shows what it would cost
//! by itself.

use std::fmt::Write as _;
use std::path::Path;

use mayfly_store::usage::{By, Numbers, Prefix, Row, Usage};
use serde_json::{Value, json};

use crate::args::{ByArg, Month, UsageArgs};
use crate::exit::Exit;
use crate::logs::visible;

/// The prices' file in the folder of the state.
const PRICES_FILE: &str = "prices.json";

/// Ids that begin alike, in a month, above which it is said that they run away: as many as are
/// included.
const RUNAWAY_IDS: u64 = 1000;

/// Prefixes that are looked at.
const PREFIXES: u32 = 5;

/// What one kind of use costs.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Price {
    /// For `per` units.
    usd: f64,
    per: f64,
    /// Units a month that cost nothing.
    included: f64,
}

/// What everything costs; the defaults are the published ones.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Prices {
    worker_days: Price,
    requests: Price,
    cpu_ms: Price,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            worker_days: Price {
                usd: 0.002,
                per: 1.0,
                included: 1000.0,
            },
            requests: Price {
                usd: 0.30,
                per: 1e6,
                included: 10e6,
            },
            cpu_ms: Price {
                usd: 0.02,
                per: 1e6,
                included: 30e6,
            },
        }
    }
}

/// Prints the report.
pub fn usage(arguments: &UsageArgs) -> Result<(), Exit> {
    let prices = prices(arguments)?;
    let month = arguments.month.unwrap_or_else(this_month);
    let (first, end) = days(month);
    let by = match arguments.by {
        ByArg::Worker => By::Worker,
        ByArg::Id => By::Id,
        ByArg::Day => By::Day,
    };
    let failed = |error: mayfly_store::usage::UsageError| Exit::State(error.to_string());
    if !arguments.state.join(mayfly_store::usage::FILE).is_file() {
        return Err(Exit::State(format!(
            "{} holds no usage; it is counted where `mayfly serve` is given --state",
            arguments.state.display()
        )));
    }
    let usage = Usage::read(&arguments.state).map_err(failed)?;
    let rows = usage.report(first, end, by).map_err(failed)?;
    let prefixes = usage.prefixes(first, end, PREFIXES).map_err(failed)?;
    let runaway: Vec<&Prefix> = prefixes
        .iter()
        .filter(|prefix| prefix.ids > RUNAWAY_IDS)
        .collect();
    let total = sum(&rows);
    let text = if arguments.json {
        as_json(month, &rows, &total, &prices, &prefixes, &runaway)
    } else if arguments.csv {
        as_csv(&rows, &prices)
    } else {
        as_table(month, arguments.by, &rows, &total, &prices)
    };
    print!("{text}");
    for prefix in runaway {
        eprintln!(
            "mayfly: warning: {} ids of {} that begin with {:?} were new in {}: each id costs a \
             Worker-day a day; ids should name code, not requests",
            prefix.ids,
            prefix.worker,
            visible(&prefix.prefix),
            month_text(month),
        );
    }
    Ok(())
}

fn prices(arguments: &UsageArgs) -> Result<Prices, Exit> {
    let beside = arguments.state.join(PRICES_FILE);
    let file = match &arguments.prices {
        Some(file) => file.as_path(),
        None if beside.is_file() => beside.as_path(),
        None => return Ok(Prices::default()),
    };
    let text = std::fs::read_to_string(file).map_err(|source| Exit::File {
        path: file.to_owned(),
        source,
    })?;
    read_prices(&text).map_err(|problem| wrong(file, &problem))
}

fn wrong(file: &Path, problem: &str) -> Exit {
    Exit::Definition(format!("{}: {problem}", file.display()))
}

/// `{"worker_days": {"usd": 0.002, "per": 1, "included": 1000}, "requests": ..., "cpu_ms": ...}`.
fn read_prices(text: &str) -> Result<Prices, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let table = value.as_object().ok_or("must be an object")?;
    let mut prices = Prices::default();
    for (name, value) in table {
        let price = match name.as_str() {
            "worker_days" => &mut prices.worker_days,
            "requests" => &mut prices.requests,
            "cpu_ms" => &mut prices.cpu_ms,
            _ => {
                return Err(format!(
                    "{name:?} is no price; there are worker_days, requests, cpu_ms"
                ));
            }
        };
        let fields = value
            .as_object()
            .ok_or(format!("{name} must be an object"))?;
        for (field, value) in fields {
            let number = value.as_f64().filter(|number| *number >= 0.0);
            let number = number.ok_or(format!("{name}.{field} must be a number from 0 on"))?;
            match field.as_str() {
                "usd" => price.usd = number,
                "per" if number > 0.0 => price.per = number,
                "per" => return Err(format!("{name}.per must be above 0")),
                "included" => price.included = number,
                _ => return Err(format!("{name}.{field}: there are usd, per and included")),
            }
        }
    }
    Ok(prices)
}

impl Price {
    /// Of so many units, without what is included.
    fn list(&self, units: f64) -> f64 {
        units / self.per * self.usd
    }

    /// Of so many units a month.
    fn due(&self, units: f64) -> f64 {
        self.list((units - self.included).max(0.0))
    }
}

impl Prices {
    fn list(&self, numbers: &Numbers) -> f64 {
        self.worker_days.list(numbers.worker_days as f64)
            + self.requests.list(numbers.requests as f64)
            + self.cpu_ms.list(cpu_ms(numbers))
    }

    fn due(&self, numbers: &Numbers) -> f64 {
        self.worker_days.due(numbers.worker_days as f64)
            + self.requests.due(numbers.requests as f64)
            + self.cpu_ms.due(cpu_ms(numbers))
    }
}

fn cpu_ms(numbers: &Numbers) -> f64 {
    numbers.cpu_us as f64 / 1000.0
}

fn sum(rows: &[Row]) -> Numbers {
    let mut total = Numbers::default();
    for Row { numbers, .. } in rows {
        total.requests += numbers.requests;
        total.cpu_us += numbers.cpu_us;
        total.wall_us += numbers.wall_us;
        total.bytes_in += numbers.bytes_in;
        total.bytes_out += numbers.bytes_out;
        total.memory_peak = total.memory_peak.max(numbers.memory_peak);
        total.worker_days += numbers.worker_days;
        total.egress_requests += numbers.egress_requests;
        total.egress_sent += numbers.egress_sent;
        total.egress_received += numbers.egress_received;
    }
    total
}

// ---- forms

const COLUMNS: [&str; 11] = [
    "requests",
    "cpu ms",
    "wall s",
    "in",
    "out",
    "peak",
    "worker-days",
    "egress",
    "sent",
    "received",
    "list price",
];

fn as_table(month: Month, by: ByArg, rows: &[Row], total: &Numbers, prices: &Prices) -> String {
    let what = match by {
        ByArg::Worker => "worker",
        ByArg::Id => "id",
        ByArg::Day => "day",
    };
    let mut lines: Vec<Vec<String>> = Vec::with_capacity(rows.len() + 2);
    let mut head = vec![format!("{what} ({})", month_text(month))];
    head.extend(COLUMNS.iter().map(|column| (*column).to_owned()));
    lines.push(head);
    for row in rows {
        lines.push(cells(visible(&row.key), &row.numbers, prices));
    }
    lines.push(cells("total".to_owned(), total, prices));
    let mut out = aligned(&lines);
    out.push('\n');
    let due = |out: &mut String, what: &str, units: f64, price: &Price| {
        let _ = writeln!(
            out,
            "{what:<12} {:>16} - {:>14} included, ${} per {}: ${:.2}",
            grouped(units),
            grouped(price.included),
            price.usd,
            grouped(price.per),
            price.due(units),
        );
    };
    due(
        &mut out,
        "worker-days",
        total.worker_days as f64,
        &prices.worker_days,
    );
    due(
        &mut out,
        "requests",
        total.requests as f64,
        &prices.requests,
    );
    due(&mut out, "cpu ms", cpu_ms(total), &prices.cpu_ms);
    let _ = writeln!(out, "{:<12} ${:.2}", "to pay", prices.due(total));
    out
}

fn cells(key: String, numbers: &Numbers, prices: &Prices) -> Vec<String> {
    vec![
        key,
        grouped(numbers.requests as f64),
        format!("{:.3}", cpu_ms(numbers)),
        format!("{:.1}", numbers.wall_us as f64 / 1e6),
        bytes(numbers.bytes_in),
        bytes(numbers.bytes_out),
        bytes(numbers.memory_peak),
        grouped(numbers.worker_days as f64),
        grouped(numbers.egress_requests as f64),
        bytes(numbers.egress_sent),
        bytes(numbers.egress_received),
        format!("${:.4}", prices.list(numbers)),
    ]
}

/// The first column to the left, the others to the right.
fn aligned(lines: &[Vec<String>]) -> String {
    let columns = lines.first().map_or(0, Vec::len);
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for line in lines {
        let _ = write!(out, "{:<width$}", line[0], width = widths[0]);
        for (cell, width) in line.iter().zip(&widths).skip(1) {
            let _ = write!(out, "  {cell:>width$}");
        }
        out.push('\n');
    }
    out
}

fn grouped(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1024.0 && unit < UNITS.len() - 1 {
        number /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{number:.1} {}", UNITS[unit]),
    }
}

fn row_json(numbers: &Numbers, prices: &Prices) -> Value {
    json!({
        "requests": numbers.requests,
        "cpuMs": cpu_ms(numbers),
        "wallMs": numbers.wall_us as f64 / 1000.0,
        "bytesIn": numbers.bytes_in,
        "bytesOut": numbers.bytes_out,
        "memoryPeakBytes": numbers.memory_peak,
        "workerDays": numbers.worker_days,
        "egressRequests": numbers.egress_requests,
        "egressSentBytes": numbers.egress_sent,
        "egressReceivedBytes": numbers.egress_received,
        "listPriceUsd": prices.list(numbers),
    })
}

fn as_json(
    month: Month,
    rows: &[Row],
    total: &Numbers,
    prices: &Prices,
    prefixes: &[Prefix],
    runaway: &[&Prefix],
) -> String {
    let rows = rows.iter().map(|row| {
        let mut value = row_json(&row.numbers, prices);
        value["key"] = row.key.as_str().into();
        value
    });
    let prefix = |prefix: &Prefix| json!({"worker": prefix.worker, "prefix": prefix.prefix, "ids": prefix.ids});
    let value = json!({
        "month": month_text(month),
        "rows": rows.collect::<Vec<_>>(),
        "total": row_json(total, prices),
        "dueUsd": prices.due(total),
        "prefixes": prefixes.iter().map(prefix).collect::<Vec<_>>(),
        "runaway": runaway.iter().map(|one| prefix(one)).collect::<Vec<_>>(),
    });
    format!("{value:#}\n")
}

fn as_csv(rows: &[Row], prices: &Prices) -> String {
    let mut out =
        "key,requests,cpu_ms,wall_ms,bytes_in,bytes_out,memory_peak_bytes,worker_days,egress_requests,\
         egress_sent_bytes,egress_received_bytes,list_price_usd\n"
            .to_owned();
    for Row { key, numbers } in rows {
        let _ = writeln!(
            out,
            "{},{},{:.3},{:.3},{},{},{},{},{},{},{},{:.6}",
            csv_text(key),
            numbers.requests,
            cpu_ms(numbers),
            numbers.wall_us as f64 / 1000.0,
            numbers.bytes_in,
            numbers.bytes_out,
            numbers.memory_peak,
            numbers.worker_days,
            numbers.egress_requests,
            numbers.egress_sent,
            numbers.egress_received,
            prices.list(numbers),
        );
    }
    out
}

/// Quoted where it has to be; and where a spreadsheet would take it for a formula, with a mark before
/// it: ids are Workers' own words.
fn csv_text(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula {
        format!("'{text}")
    } else {
        text.to_owned()
    };
    if text.contains([',', '"', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text
}

// ---- months

fn month_text(month: Month) -> String {
    format!("{:04}-{:02}", month.year, month.month)
}

fn this_month() -> Month {
    let (year, month) = civil(mayfly_observe::today());
    Month { year, month }
}

/// Its first day and the first day of the next, from the epoch.
fn days(month: Month) -> (i64, i64) {
    let next = match month.month {
        12 => (month.year + 1, 1),
        number => (month.year, number + 1),
    };
    (
        day_number(month.year, month.month),
        day_number(next.0, next.1),
    )
}

/// The first of a month, counted from the epoch: days of a calendar whose years begin in March.
fn day_number(year: i64, month: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year and month of a day counted from the epoch.
fn civil(day: i64) -> (i64, i64) {
    let mut year = 1970 + day / 366;
    while day_number(year + 1, 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| day_number(year, *month) <= day);
    (year, month.unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_have_their_days() {
        for (year, month, first, length) in [
            (1970, 1, 0, 31),
            (2000, 2, 10_988, 29),
            (2024, 2, 19_754, 29),
            (2026, 11, 20_758, 30),
            (2026, 12, 20_788, 31),
        ] {
            let (from, end) = days(Month { year, month });
            assert_eq!((from, end - from), (first, length), "{year}-{month}");
            assert_eq!(civil(from), (year, month));
            assert_eq!(civil(end - 1), (year, month));
        }
    }

    #[test]
    fn what_is_included_is_taken_off_the_sum() {
        let prices = Prices::default();
        let numbers = Numbers {
            requests: 12_000_000,
            cpu_us: 31_000_000_000,
            worker_days: 1500,
            ..Numbers::default()
        };
        // 500 Worker-days, two million requests, one million CPU milliseconds.
        assert!((prices.due(&numbers) - (1.0 + 0.6 + 0.02)).abs() < 1e-9);
        assert!((prices.list(&numbers) - (3.0 + 3.6 + 0.62)).abs() < 1e-9);
    }

    #[test]
    fn prices_are_read_and_checked() {
        let prices = read_prices(r#"{"requests": {"usd": 0.15, "included": 0}}"#).unwrap();
        assert_eq!((prices.requests.usd, prices.requests.per), (0.15, 1e6));
        for (text, expect) in [
            ("[]", "must be an object"),
            (r#"{"disk": {}}"#, "is no price"),
            (
                r#"{"requests": {"usd": -1}}"#,
                "requests.usd must be a number",
            ),
            (
                r#"{"requests": {"per": 0}}"#,
                "requests.per must be above 0",
            ),
        ] {
            assert!(read_prices(text).unwrap_err().contains(expect), "{text}");
        }
    }

    #[test]
    fn a_cell_is_no_formula() {
        assert_eq!(csv_text("=1+1"), "'=1+1");
        assert_eq!(csv_text("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(csv_text("front/user-1"), "front/user-1");
    }

    #[test]
    fn numbers_are_for_the_eye() {
        assert_eq!(grouped(1_234_567.0), "1,234,567");
        assert_eq!(grouped(999.0), "999");
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536 * 1024), "1.5 MiB");
    }
}
