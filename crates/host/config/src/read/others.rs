//! Bindings that keep no data here: rate limits, and Hyperdrive's connection strings.

use crate::config::BindingValue;
use crate::fields::{Field, Reader};

/// The periods that the documentation allows, in seconds.
const PERIODS: [u32; 2] = [10, 60];

/// One of `ratelimits`.
pub fn rate_limit(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<(String, BindingValue)> {
    let fields = reader.table_of(item, &["name", "namespace_id", "simple"])?;
    let name = reader.required_string(item, &fields, "name");
    let namespace = reader.required_string(item, &fields, "namespace_id");
    let simple = reader.required(item, &fields, "simple")?;
    let fields = reader.table_of(simple, &["limit", "period"])?;
    let limit = reader.required(simple, &fields, "limit")?;
    let limit = reader.whole_number(limit, 1, u32::MAX);
    let field = reader.required(simple, &fields, "period")?;
    let period = reader.whole_number(field, 1, 60)?;
    if !PERIODS.contains(&period) {
        reader.error(field, format!("must be 10 or 60 seconds, not {period}"));
    }
    let value = BindingValue::RateLimit {
        namespace: namespace?,
        limit: limit?,
        period,
    };
    Some((name?, value))
}

/// One of `hyperdrive`: there is nothing between a Worker and its database here, so `id` means
/// nothing and the string of local development is the one.
pub fn hyperdrive(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<(String, BindingValue)> {
    let fields = reader.table_of(item, &["binding", "id", "localConnectionString"])?;
    let name = reader.required_string(item, &fields, "binding");
    let url = reader.optional_string(&fields, "localConnectionString");
    Some((name?, BindingValue::Hyperdrive { url: url? }))
}
