//! What a Worker finds in `env`: one function for each kind of binding.
//!
//! Kinds with a file of their own: Durable Objects (`actors`), `d1`, `queues`, and what keeps no data here
//! (`others`). Here nothing is looked up: whether a service or a class exists is said by whoever has
//! all configurations.
//!
//! Invariant: a name is bound once; the second place is told of the first.

use super::limits::caps;
use super::queues::{producer, queue_tables};
use super::{Root, actors, d1, others, read_target, tables, warn_of_others};
use crate::config::{Binding, BindingValue, S3Bucket};
use crate::fields::{Field, Reader};
use crate::syntax::Value;

/// Cloudflare's ids are 32 hexadecimal digits; whoever hosts themselves may write words.
const ID_CHARS_MAX: usize = 64;

/// A name and what it is bound to; `None` where an error was noted.
type Read = fn(&mut Reader<'_>, &Field<'_>) -> Option<(String, BindingValue)>;

/// The bindings of all keys.
pub fn bindings(reader: &mut Reader<'_>, root: &Root<'_>) -> Vec<Binding> {
    let mut bindings: Vec<Binding> = Vec::new();
    if let Some(vars) = root.get("vars").and_then(|field| reader.table(field)) {
        for field in vars {
            let value = match &field.node.value {
                Value::String(text) => BindingValue::Text(text.clone()),
                _ => BindingValue::Json(field.node.to_json()),
            };
            let name = field.name().to_owned();
            add(reader, &mut bindings, &field, name, value);
        }
    }
    let services = tables(reader, root, "services");
    add_each(reader, &mut bindings, services, service);
    for (item, name, target) in actors::bindings(reader, root.get("durable_objects")) {
        let value = BindingValue::Actors(target);
        add(reader, &mut bindings, &item, name, value);
    }
    let lists: [(&str, Read); 5] = [
        ("worker_loaders", loader),
        ("kv_namespaces", kv),
        ("d1_databases", d1::database),
        ("ratelimits", others::rate_limit),
        ("hyperdrive", others::hyperdrive),
    ];
    for (key, read) in lists {
        let items = tables(reader, root, key);
        add_each(reader, &mut bindings, items, read);
    }
    let producers = queue_tables(reader, root, "producers");
    add_each(reader, &mut bindings, producers, producer);
    let buckets = tables(reader, root, "r2_buckets");
    add_each(reader, &mut bindings, buckets, bucket);
    if let Some(assets) = root.get("assets").and_then(|field| reader.table(field))
        && let Some(field) = assets.iter().find(|field| field.name() == "binding")
        && let Some(name) = reader.string(field)
    {
        add(reader, &mut bindings, field, name, BindingValue::Assets);
    }
    if let Some(item) = root.get("version_metadata")
        && let Some(fields) = reader.table_of(item, &["binding"])
        && let Some(name) = reader.required_string(item, &fields, "binding")
    {
        add(reader, &mut bindings, item, name, BindingValue::Version);
    }
    bindings
}

fn add_each(
    reader: &mut Reader<'_>,
    bindings: &mut Vec<Binding>,
    items: Vec<Field<'_>>,
    read: Read,
) {
    for item in items {
        if let Some((name, value)) = read(reader, &item) {
            add(reader, bindings, &item, name, value);
        }
    }
}

fn add(
    reader: &mut Reader<'_>,
    bindings: &mut Vec<Binding>,
    field: &Field<'_>,
    name: String,
    value: BindingValue,
) {
    let at = reader.place_of(Some(field));
    if let Some(first) = bindings.iter().find(|binding| binding.name == name) {
        let message = format!("the binding \"{name}\" is already defined at {}", first.at);
        reader.error(field, message);
        return;
    }
    bindings.push(Binding { name, value, at });
}

fn service(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<(String, BindingValue)> {
    let allowed = [
        "binding",
        "service",
        "entrypoint",
        "props",
        "environment",
        "remote",
    ];
    let fields = reader.table_of(item, &allowed)?;
    warn_of_others(reader, &fields, &["environment", "remote"]);
    let name = reader.required_string(item, &fields, "binding");
    let target = read_target(reader, item, &fields);
    Some((name?, BindingValue::Service(target?)))
}

fn loader(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<(String, BindingValue)> {
    let fields = reader.table_of(item, &["binding", "id", "jitless", "limits"])?;
    let name = reader.required_string(item, &fields, "binding");
    let id = reader.optional_string(&fields, "id");
    let find = |name: &str| fields.iter().find(|field| field.name() == name);
    let jitless = find("jitless").and_then(|field| reader.bool(field));
    let limits = caps(reader, find("limits"), &["cpu_ms", "subrequests"]);
    let value = BindingValue::Loader {
        id: id?,
        jitless: jitless.unwrap_or(false),
        limits,
    };
    Some((name?, value))
}

fn kv(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<(String, BindingValue)> {
    let allowed = [
        "binding",
        "id",
        "preview_id",
        "remote",
        "experimental_remote",
    ];
    let fields = reader.table_of(item, &allowed)?;
    warn_of_remote(reader, &fields);
    let name = reader.required_string(item, &fields, "binding");
    let id = reader.optional_string(&fields, "id");
    let (name, id) = (name?, id?);
    let id = checked_name(reader, item, "id", id.unwrap_or_else(|| name.clone()))?;
    Some((name, BindingValue::Kv { id }))
}

/// One of `r2_buckets`.
fn bucket(reader: &mut Reader<'_>, item: &Field<'_>) -> Option<(String, BindingValue)> {
    let allowed = [
        "binding",
        "bucket_name",
        "preview_bucket_name",
        "jurisdiction",
        "remote",
        "experimental_remote",
        "mayfly_s3",
    ];
    let fields = reader.table_of(item, &allowed)?;
    warn_of_remote(reader, &fields);
    let name = reader.required_string(item, &fields, "binding");
    let bucket = reader.optional_string(&fields, "bucket_name");
    let (name, bucket) = (name?, bucket?);
    let bucket = bucket.unwrap_or_else(|| name.clone());
    let bucket = checked_name(reader, item, "bucket_name", bucket)?;
    let s3 = fields.iter().find(|field| field.name() == "mayfly_s3");
    let s3 = s3.and_then(|field| read_s3(reader, field, &bucket));
    Some((name, BindingValue::R2 { bucket, s3 }))
}

/// Credentials stand in environment variables, never in a file that is checked in.
fn read_s3(reader: &mut Reader<'_>, field: &Field<'_>, name: &str) -> Option<S3Bucket> {
    let keys = ["endpoint", "region", "bucket", "prefix", "credentials"];
    let fields = reader.table_of(field, &keys)?;
    let bucket = reader.optional_string(&fields, "bucket")?;
    let endpoint = reader.optional_string(&fields, "endpoint")?;
    let schemes = ["https://", "http://"];
    if let Some(endpoint) = &endpoint
        && !schemes.iter().any(|scheme| endpoint.starts_with(scheme))
    {
        let message = format!("`endpoint` must begin with https:// or http://, not \"{endpoint}\"");
        reader.error(field, message);
        return None;
    }
    let region = reader.optional_string(&fields, "region")?;
    let prefix = reader.optional_string(&fields, "prefix")?;
    let credentials = reader.optional_string(&fields, "credentials")?;
    Some(S3Bucket {
        endpoint,
        region: region.unwrap_or_else(|| "auto".to_owned()),
        bucket: bucket.unwrap_or_else(|| name.to_owned()),
        prefix: prefix.unwrap_or_else(|| format!("mayfly/{name}")),
        credentials: credentials.unwrap_or_else(|| "AWS".to_owned()),
    })
}

/// An id that becomes the name of a file.
pub fn checked_name(
    reader: &mut Reader<'_>,
    item: &Field<'_>,
    key: &str,
    name: String,
) -> Option<String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.len() <= ID_CHARS_MAX && name.chars().all(allowed) {
        return Some(name);
    }
    let message = format!(
        "`{key}` must be 1 to {ID_CHARS_MAX} letters, digits, dashes and underscores, not \"{name}\""
    );
    reader.error(item, message);
    None
}

/// `remote: true` would have development reach for Cloudflare's own; what is bound here is here.
pub fn warn_of_remote(reader: &mut Reader<'_>, fields: &[Field<'_>]) {
    let names = ["remote", "experimental_remote"];
    for field in fields.iter().filter(|field| names.contains(&field.name())) {
        let message = "has no effect: the data is in this host's own state".to_owned();
        reader.warn(field, message);
    }
}
