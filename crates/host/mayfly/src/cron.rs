//! Cron triggers: when a configured Worker's `scheduled()` is due.
//!
//! Expressions are read as Cloudflare reads them: five fields, UTC, days of the week from 1 (Sunday) to
//! 7. A trigger that is due while the last one still runs is delivered all the same; one that was
//! missed because the host did not run is not made up for.
//!
//! Invariant: one task per trigger, and it never looks back, so a clock that is set back delivers no
//! trigger twice.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use mayfly_supervisor::{Observer as _, Supervisor};
use tokio::task::JoinSet;

use crate::exit::Exit;
use crate::logs::Printer;
use crate::workers::Loaded;

/// How long a task sleeps at most before it looks at the clock again, which may have been set.
const LOOK: Duration = Duration::from_secs(30);

/// A trigger of a Worker.
#[derive(Debug, Clone)]
pub struct Trigger {
    worker: String,
    expression: String,
    cron: Cron,
}

/// The triggers of all Workers, checked.
pub fn triggers(loaded: &[Loaded]) -> Result<Vec<Trigger>, Exit> {
    let mut triggers = Vec::new();
    for worker in loaded {
        for configured in &worker.crons {
            let expression = configured.expression.clone();
            let cron = parse(&expression).map_err(|problem| {
                Exit::Definition(format!(
                    "{}: triggers.crons: \"{expression}\" is no cron expression: {problem}",
                    configured.at
                ))
            })?;
            triggers.push(Trigger {
                worker: worker.definition.name.clone(),
                expression,
                cron,
            });
        }
    }
    Ok(triggers)
}

fn parse(expression: &str) -> Result<Cron, croner::errors::CronError> {
    CronParser::builder()
        .seconds(Seconds::Disallowed)
        .year(Year::Disallowed)
        .alternative_weekdays(true)
        .build()
        .parse(expression)
}

/// Delivers them for as long as the set lives.
pub fn run(
    triggers: Vec<Trigger>,
    supervisor: &Arc<Supervisor>,
    printer: &Arc<Printer>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for trigger in triggers {
        tasks.spawn(follow(trigger, supervisor.clone(), printer.clone()));
    }
    tasks
}

async fn follow(trigger: Trigger, supervisor: Arc<Supervisor>, printer: Arc<Printer>) {
    let mut last = Utc::now();
    while let Ok(due) = trigger.cron.find_next_occurrence(&last, false) {
        sleep_until(due).await;
        last = due.max(last);
        let (trigger, supervisor, printer) = (trigger.clone(), supervisor.clone(), printer.clone());
        tokio::spawn(async move {
            // A time in milliseconds is exact in a double for the next 285,000 years.
            let time_ms = due.timestamp_millis() as f64;
            let worker = &trigger.worker;
            let done = supervisor
                .scheduled(worker, &trigger.expression, time_ms)
                .await;
            if let Err(failure) = done {
                printer.exception(worker, &failure);
            }
        });
    }
}

async fn sleep_until(due: DateTime<Utc>) {
    // A time that has passed is no duration.
    while let Ok(left) = (due - Utc::now()).to_std() {
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(expression: &str, after: &str) -> String {
        let after: DateTime<Utc> = after.parse().unwrap();
        let due = parse(expression)
            .unwrap()
            .find_next_occurrence(&after, false);
        due.unwrap().to_rfc3339()
    }

    #[test]
    fn expressions_are_cloudflares() {
        // A Thursday.
        let now = "2026-11-26T10:30:30Z";
        for (expression, expect) in [
            ("* * * * *", "2026-11-26T10:31:00+00:00"),
            ("*/15 * * * *", "2026-11-26T10:45:00+00:00"),
            ("0 17 * * sun", "2026-11-29T17:00:00+00:00"),
            ("10 7 * * mon-fri", "2026-11-27T07:10:00+00:00"),
            // The first day of the week is Sunday.
            ("0 0 * * 1", "2026-11-29T00:00:00+00:00"),
            ("0 15 1 * *", "2026-12-01T15:00:00+00:00"),
            ("0 18 * * 6L", "2026-11-27T18:00:00+00:00"),
            ("59 23 LW * *", "2026-11-30T23:59:00+00:00"),
        ] {
            assert_eq!(next(expression, now), expect, "{expression}");
        }
        for wrong in ["", "* * * *", "* * * * * *", "60 * * * *", "x * * * *"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
