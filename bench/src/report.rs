//! Figures as a table, as JSON, and as a chart of ratios in SVG.
//!
//! A ratio is always "how many times better than workerd": above 1 Mayfly is ahead, whatever the
//! unit. A goal is a ratio too.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cases::Figure;
use crate::peer::{Peer, version};

/// The goals of the project, as "at least so many times better than workerd in the same run".
const GOALS: &[(&str, f64)] = &[
    ("cold load, p50", 8.0),
    ("cold load, p99", 5.0),
    ("cold loads, sustained by 8 clients", 4.0),
    ("warm get(), 1 connections", 1.5),
    ("warm get(), 32 connections", 1.5),
    ("warm get(), 256 connections", 1.5),
    ("RPC call, one after another", 2.0),
    ("memory per live Worker, 100 to 1000, all told", 1.5),
    ("memory per live Worker, 1000 to 5000, all told", 1.5),
    (CPU_MEAN, 0.9),
    ("100 MB streamed through parent and child", 1.0),
];

const CPU_MEAN: &str = "CPU: geometric mean of all";

/// What one system gave.
pub struct Column {
    /// Which.
    pub peer: Peer,
    /// Its figures, or why it did not run.
    pub figures: Result<Vec<Figure>, String>,
}

struct Row {
    name: String,
    unit: &'static str,
    /// One for each column.
    values: Vec<Option<f64>>,
    better_by: Option<f64>,
    goal: Option<f64>,
}

/// All columns side by side.
pub struct Report {
    columns: Vec<Column>,
    rows: Vec<Row>,
}

impl Report {
    /// Joins them: Mayfly's cases name the rows.
    pub fn new(columns: Vec<Column>) -> Self {
        let mut rows: Vec<Row> = figures_of(&columns, Peer::Mayfly)
            .iter()
            .map(|figure| row(&columns, figure))
            .collect();
        rows.extend(cpu_mean(&rows));
        Self { columns, rows }
    }

    /// Cases of Mayfly's that gave no number.
    pub fn failures(&self) -> Vec<String> {
        let mayfly = self
            .columns
            .iter()
            .find(|column| column.peer == Peer::Mayfly);
        match mayfly.map(|column| &column.figures) {
            Some(Ok(figures)) => figures
                .iter()
                .filter_map(|figure| {
                    Some(format!("{}: {}", figure.name, figure.value.as_ref().err()?))
                })
                .collect(),
            Some(Err(error)) => vec![error.clone()],
            None => vec!["mayfly did not run".to_owned()],
        }
    }

    /// For a terminal.
    pub fn table(&self) -> String {
        let mut text = format!("{:<56}", "case");
        for column in &self.columns {
            let _ = write!(text, " {:>11}", column.peer.name());
        }
        let _ = writeln!(text, " {:<4} {:>9}  goal", "", "better by");
        for row in &self.rows {
            let _ = write!(text, "{:<56}", row.name);
            for value in &row.values {
                let _ = write!(
                    text,
                    " {:>11}",
                    value.map_or_else(|| "-".to_owned(), number)
                );
            }
            let ratio = row
                .better_by
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x"));
            let _ = write!(text, " {:<4} {ratio:>9}", row.unit);
            if let Some(goal) = row.goal {
                let met = row.better_by.is_some_and(|ratio| ratio >= goal);
                let _ = write!(text, "  {goal}x{}", if met { ", met" } else { "" });
            }
            text.push('\n');
        }
        text.push('\n');
        for column in &self.columns {
            let _ = writeln!(
                text,
                "{} {}: {}",
                column.peer.name(),
                version(column.peer),
                column.peer.remark()
            );
            match &column.figures {
                Err(error) => {
                    let _ = writeln!(text, "  did not run: {error}");
                }
                Ok(figures) => {
                    for figure in figures {
                        if let Err(error) = &figure.value {
                            let _ = writeln!(text, "  {}: {error}", figure.name);
                        }
                    }
                }
            }
        }
        text
    }

    /// The same table for docs/performance.md.
    pub fn markdown(&self) -> String {
        let mut text = String::from("| case | unit |");
        for column in &self.columns {
            let _ = write!(text, " {} |", column.peer.name());
        }
        text.push_str(" better by | goal |\n| --- | --- |");
        text.push_str(&" ---: |".repeat(self.columns.len()));
        text.push_str(" ---: | --- |\n");
        for row in &self.rows {
            let _ = write!(text, "| {} | {} |", row.name, row.unit);
            for value in &row.values {
                let _ = write!(text, " {} |", value.map_or_else(String::new, number));
            }
            let ratio = row
                .better_by
                .map_or_else(String::new, |ratio| format!("{ratio:.2}x"));
            let goal = row.goal.map_or_else(String::new, |goal| {
                let met = row.better_by.is_some_and(|ratio| ratio >= goal);
                format!("{goal}x, {}", if met { "met" } else { "not met" })
            });
            let _ = writeln!(text, " {ratio} | {goal} |");
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> String {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                let values: serde_json::Map<String, Value> = self
                    .columns
                    .iter()
                    .zip(&row.values)
                    .map(|(column, value)| (column.peer.name().to_owned(), json!(value)))
                    .collect();
                json!({
                    "case": row.name, "unit": row.unit, "values": values,
                    "better_by": row.better_by, "goal": row.goal,
                })
            })
            .collect();
        let systems: Vec<Value> = self
            .columns
            .iter()
            .map(|column| {
                json!({
                    "name": column.peer.name(), "version": version(column.peer),
                    "remark": column.peer.remark(), "error": column.figures.as_ref().err(),
                })
            })
            .collect();
        format!("{:#}\n", json!({ "systems": systems, "rows": rows }))
    }

    /// For the README: one bar a case, to the right of the line where Mayfly is ahead.
    pub fn svg(&self) -> String {
        let rows: Vec<(&Row, f64)> = self
            .rows
            .iter()
            .filter_map(|row| Some((row, row.better_by?)))
            .filter(|(row, _)| row.unit != "ids" && !row.name.starts_with("memory of all"))
            .collect();
        const LINE: f64 = 20.0;
        const LEFT: f64 = 330.0;
        const MIDDLE: f64 = 500.0;
        const DOUBLING: f64 = 42.0;
        let height = 46.0 + LINE * rows.len() as f64;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
             <rect width=\"760\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"{LEFT}\" y=\"18\" text-anchor=\"end\" font-weight=\"bold\">Mayfly against workerd</text>\n\
             <text x=\"{MIDDLE}\" y=\"18\" text-anchor=\"middle\" fill=\"#555\">how many times better</text>\n"
        );
        for (index, (row, ratio)) in rows.iter().enumerate() {
            let y = 30.0 + LINE * index as f64;
            let reach = (ratio.log2() * DOUBLING).clamp(-150.0, 210.0);
            let (x, width) = if reach < 0.0 {
                (MIDDLE + reach, -reach)
            } else {
                (MIDDLE, reach)
            };
            let colour = if *ratio >= 1.0 { "#2f7d5b" } else { "#c0564b" };
            let beside = if reach < 0.0 {
                MIDDLE + 6.0
            } else {
                MIDDLE + reach + 6.0
            };
            let _ = writeln!(
                svg,
                "<text x=\"{LEFT}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
                 <rect x=\"{x:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"13\" fill=\"{colour}\"/>\
                 <text x=\"{beside:.1}\" y=\"{:.0}\">{}x</text>",
                y + 11.0,
                escape(&row.name),
                y + 11.0,
                number(*ratio),
            );
        }
        let _ = writeln!(
            svg,
            "<line x1=\"{MIDDLE}\" y1=\"24\" x2=\"{MIDDLE}\" y2=\"{:.0}\" stroke=\"#333\"/>\n</svg>",
            height - 10.0
        );
        svg
    }
}

fn figures_of(columns: &[Column], peer: Peer) -> &[Figure] {
    columns
        .iter()
        .find(|column| column.peer == peer)
        .and_then(|column| column.figures.as_ref().ok())
        .map_or(&[], Vec::as_slice)
}

fn row(columns: &[Column], figure: &Figure) -> Row {
    let value = |peer| {
        let figures = figures_of(columns, peer);
        let found = figures.iter().find(|other| other.name == figure.name)?;
        found.value.as_ref().ok().copied()
    };
    let (theirs, ours) = (value(Peer::Workerd), value(Peer::Mayfly));
    let better_by = theirs.zip(ours).and_then(|(theirs, ours)| {
        let ratio = if figure.more_is_better() {
            ours / theirs
        } else {
            theirs / ours
        };
        (ratio.is_finite() && ratio > 0.0).then_some(ratio)
    });
    Row {
        name: figure.name.clone(),
        unit: figure.unit,
        values: columns.iter().map(|column| value(column.peer)).collect(),
        better_by,
        goal: goal(&figure.name),
    }
}

fn goal(name: &str) -> Option<f64> {
    let row = GOALS.iter().find(|(case, _)| *case == name);
    row.map(|(_, ratio)| *ratio)
}

/// The mean of the CPU cases' ratios.
fn cpu_mean(rows: &[Row]) -> Option<Row> {
    let cases = rows.iter().filter(|row| row.name.starts_with("CPU: "));
    let ratios: Option<Vec<f64>> = cases.map(|row| row.better_by).collect();
    let ratios = ratios.filter(|ratios| !ratios.is_empty())?;
    let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
    Some(Row {
        name: CPU_MEAN.to_owned(),
        unit: "",
        values: vec![None; rows[0].values.len()],
        better_by: Some(mean),
        goal: goal(CPU_MEAN),
    })
}

fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(peer: Peer, values: &[(&str, &'static str, f64)]) -> Column {
        let figures = values.iter().map(|(name, unit, value)| Figure {
            name: (*name).to_owned(),
            value: Ok(*value),
            unit,
        });
        Column {
            peer,
            figures: Ok(figures.collect()),
        }
    }

    #[test]
    fn better_is_above_one_whatever_the_unit() {
        let report = Report::new(vec![
            column(
                Peer::Workerd,
                &[
                    ("cold load, p50", "ms", 8.0),
                    ("warm", "/s", 100.0),
                    ("CPU: a", "ms", 4.0),
                ],
            ),
            column(
                Peer::Mayfly,
                &[
                    ("cold load, p50", "ms", 1.0),
                    ("warm", "/s", 200.0),
                    ("CPU: a", "ms", 8.0),
                ],
            ),
        ]);
        let ratios: Vec<_> = report.rows.iter().map(|row| row.better_by).collect();
        assert_eq!(ratios, [Some(8.0), Some(2.0), Some(0.5), Some(0.5)]);
        assert_eq!(report.rows[0].goal, Some(8.0));
        assert!(report.table().contains("8x, met"));
        assert!(
            report
                .markdown()
                .contains("| cold load, p50 | ms | 8.00 | 1.00 | 8.00x | 8x, met |")
        );
        assert!(report.svg().starts_with("<svg") && report.svg().ends_with("</svg>\n"));
        assert!(serde_json::from_str::<Value>(&report.json()).is_ok());
    }

    #[test]
    fn a_system_that_did_not_run_is_told_and_leaves_no_ratio() {
        let absent = Column {
            peer: Peer::Workerd,
            figures: Err("no npm".to_owned()),
        };
        let report = Report::new(vec![absent, column(Peer::Mayfly, &[("warm", "/s", 1.0)])]);
        assert_eq!(report.rows[0].better_by, None);
        assert!(report.table().contains("did not run: no npm"));
        assert!(report.failures().is_empty());
    }
}
