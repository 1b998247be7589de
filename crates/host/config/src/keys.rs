//! The keys of a wrangler file: every one that wrangler knows, how environments inherit it, and
//! what happens to it here.
//!
//! A key that is known elsewhere but has no effect here is warned about by name, never dropped in
//! silence; a key nobody knows is an error. The names are those of wrangler 4's published schema.

use Effect::{Hosting, NotYet, Supported};
use Scope::{Inherited, PerEnvironment, TopOnly};

/// Where a key may stand, and whether `env.NAME` takes it over from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// At the top only.
    TopOnly,
    /// An environment takes over the top's value unless it has its own.
    Inherited,
    /// An environment must say it again.
    PerEnvironment,
}

/// What comes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is read.
    Supported,
    /// It would change what a Worker can do.
    NotYet,
    /// It says how Cloudflare is to host or ship the Worker.
    Hosting,
}

#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    pub scope: Scope,
    pub effect: Effect,
}

const fn key(name: &'static str, scope: Scope, effect: Effect) -> Key {
    Key {
        name,
        scope,
        effect,
    }
}

/// What is known of a name.
pub fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// All keys; `global_outbound` and `mayfly_limits` are ours.
pub const KEYS: &[Key] = &[
    key("$schema", TopOnly, Supported),
    key("alias", TopOnly, Supported),
    key("assets", Inherited, Supported),
    key("base_dir", Inherited, Supported),
    key("build", Inherited, Supported),
    key("compatibility_date", Inherited, Supported),
    key("compatibility_flags", Inherited, Supported),
    key("d1_databases", PerEnvironment, Supported),
    key("define", PerEnvironment, Supported),
    key("dev", TopOnly, Supported),
    key("durable_objects", PerEnvironment, Supported),
    key("env", TopOnly, Supported),
    key("find_additional_modules", Inherited, Supported),
    key("global_outbound", PerEnvironment, Supported),
    key("hyperdrive", PerEnvironment, Supported),
    key("jsx_factory", Inherited, Supported),
    key("jsx_fragment", Inherited, Supported),
    key("kv_namespaces", PerEnvironment, Supported),
    key("limits", Inherited, Supported),
    key("main", Inherited, Supported),
    key("mayfly_limits", Inherited, Supported),
    key("migrations", Inherited, Supported),
    key("name", Inherited, Supported),
    key("no_bundle", Inherited, Supported),
    key("queues", PerEnvironment, Supported),
    key("r2_buckets", PerEnvironment, Supported),
    key("ratelimits", PerEnvironment, Supported),
    key("rules", Inherited, Supported),
    key("secrets", PerEnvironment, Supported),
    key("services", PerEnvironment, Supported),
    key("streaming_tail_consumers", PerEnvironment, Supported),
    key("tail_consumers", PerEnvironment, Supported),
    key("triggers", Inherited, Supported),
    key("tsconfig", Inherited, Supported),
    key("vars", PerEnvironment, Supported),
    key("version_metadata", Inherited, Supported),
    key("worker_loaders", PerEnvironment, Supported),
    key("ai", PerEnvironment, NotYet),
    key("ai_search", PerEnvironment, NotYet),
    key("ai_search_namespaces", PerEnvironment, NotYet),
    key("analytics_engine_datasets", PerEnvironment, NotYet),
    key("artifacts", PerEnvironment, NotYet),
    key("browser", PerEnvironment, NotYet),
    key("cloudchamber", PerEnvironment, NotYet),
    key("containers", PerEnvironment, NotYet),
    key("data_blobs", TopOnly, NotYet),
    key("dispatch_namespaces", PerEnvironment, NotYet),
    key("flagship", PerEnvironment, NotYet),
    key("images", PerEnvironment, NotYet),
    key("media", PerEnvironment, NotYet),
    key("mtls_certificates", PerEnvironment, NotYet),
    key("pipelines", PerEnvironment, NotYet),
    key("python_modules", Inherited, NotYet),
    key("secrets_store_secrets", PerEnvironment, NotYet),
    key("send_email", PerEnvironment, NotYet),
    key("site", TopOnly, NotYet),
    key("stream", PerEnvironment, NotYet),
    key("text_blobs", TopOnly, NotYet),
    key("unsafe", PerEnvironment, NotYet),
    key("unsafe_hello_world", PerEnvironment, NotYet),
    key("vectorize", PerEnvironment, NotYet),
    key("vpc_networks", PerEnvironment, NotYet),
    key("vpc_services", PerEnvironment, NotYet),
    key("wasm_modules", TopOnly, NotYet),
    key("workflows", PerEnvironment, NotYet),
    key("account_id", Inherited, Hosting),
    key("compliance_region", Inherited, Hosting),
    key("first_party_worker", Inherited, Hosting),
    key("keep_names", Inherited, Hosting),
    key("keep_vars", TopOnly, Hosting),
    key("legacy_env", TopOnly, Hosting),
    key("logfwdr", Inherited, Hosting),
    key("logpush", Inherited, Hosting),
    key("minify", Inherited, Hosting),
    key("observability", Inherited, Hosting),
    key("pages_build_output_dir", TopOnly, Hosting),
    key("placement", Inherited, Hosting),
    key("preserve_file_names", Inherited, Hosting),
    key("preview_urls", Inherited, Hosting),
    key("previews", Inherited, Hosting),
    key("route", Inherited, Hosting),
    key("routes", Inherited, Hosting),
    key("send_metrics", TopOnly, Hosting),
    key("upload_source_maps", Inherited, Hosting),
    key("workers_dev", Inherited, Hosting),
];
