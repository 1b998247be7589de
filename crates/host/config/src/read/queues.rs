//! `queues`: who sends to which, and who takes from them.

use super::bindings::{checked_name, warn_of_remote};
use super::{Root, number_of, warn_of_others};
use crate::config::{BindingValue, QueueConsumer};
use crate::fields::{Field, Reader};

/// Seconds that a message of a queue may be delayed, as documented.
const QUEUE_DELAY_MAX: u32 = 86_400;

/// The tables of one list of `queues`.
pub fn queue_tables<'a>(reader: &mut Reader<'_>, root: &Root<'a>, name: &str) -> Vec<Field<'a>> {
    let fields = root
        .get("queues")
        .and_then(|field| reader.table_of(field, &["producers", "consumers"]))
        .unwrap_or_default();
    let list = fields.iter().find(|field| field.name() == name);
    list.and_then(|field| reader.list(field))
        .unwrap_or_default()
}

/// One of `queues.producers`.
pub fn producer(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<(String, BindingValue)> {
    let allowed = [
        "binding",
        "queue",
        "delivery_delay",
        "remote",
        "experimental_remote",
    ];
    let fields = reader.table_of(item, &allowed)?;
    warn_of_remote(reader, &fields);
    let name = reader.required_string(item, &fields, "binding");
    let queue = reader.required_string(item, &fields, "queue");
    let delay = number_of(reader, &fields, "delivery_delay", 0, QUEUE_DELAY_MAX);
    let (name, queue) = (name?, queue?);
    let queue = checked_name(reader, item, "queue", queue)?;
    let delay = delay.unwrap_or(0);
    Some((name, BindingValue::Queue { queue, delay }))
}

/// `queues.consumers`: the queues whose messages this Worker takes.
pub fn consumers(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<QueueConsumer> {
    let allowed = [
        "queue",
        "type",
        "max_batch_size",
        "max_batch_timeout",
        "max_retries",
        "dead_letter_queue",
        "max_concurrency",
        "retry_delay",
        "visibility_timeout_ms",
    ];
    let mut consumers = Vec::new();
    for item in queue_tables(reader, root, "consumers") {
        let Some(fields) = reader.table_of(&item, &allowed) else {
            continue;
        };
        let kind = reader.optional_string(&fields, "type").flatten();
        if kind.is_some_and(|kind| kind != "worker") {
            let message = "only consumers of type \"worker\" are supported".to_owned();
            reader.error(&item, message);
            continue;
        }
        warn_of_others(reader, &fields, &["visibility_timeout_ms"]);
        let queue = reader.required_string(&item, &fields, "queue");
        let queue = queue.and_then(|queue| checked_name(reader, &item, "queue", queue));
        let dead = reader
            .optional_string(&fields, "dead_letter_queue")
            .flatten();
        let dead_letter_queue =
            dead.and_then(|queue| checked_name(reader, &item, "dead_letter_queue", queue));
        let mut number = |name, least, most| number_of(reader, &fields, name, least, most);
        let consumer = QueueConsumer {
            queue: queue.unwrap_or_default(),
            max_batch_size: number("max_batch_size", 1, 100).unwrap_or(10),
            max_batch_timeout: number("max_batch_timeout", 0, 60).unwrap_or(5),
            max_retries: number("max_retries", 0, 100).unwrap_or(3),
            dead_letter_queue,
            max_concurrency: number("max_concurrency", 1, 250),
            retry_delay: number("retry_delay", 0, QUEUE_DELAY_MAX).unwrap_or(0),
        };
        if !consumer.queue.is_empty() {
            consumers.push(consumer);
        }
    }
    consumers
}
