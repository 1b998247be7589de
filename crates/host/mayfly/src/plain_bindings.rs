//! Bindings that need no store: rate limits, Hyperdrive's connection strings, the version's name.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mayfly_bindings::rate_limit::RateLimit;
use mayfly_config::Position;
use mayfly_supervisor::HostedService;
use mayfly_wire::Module;
use sha2::{Digest, Sha256};
use url::Url;

use crate::exit::Exit;

/// The rate limits of all Workers: bindings of one namespace count together.
#[derive(Debug, Default)]
pub struct RateLimits(HashMap<(String, u32, u32), HostedService>);

impl RateLimits {
    /// That of a namespace; `period` is in seconds.
    pub fn service(&mut self, namespace: &str, limit: u32, period: u32) -> HostedService {
        let key = (namespace.to_owned(), limit, period);
        let made = self.0.entry(key).or_insert_with(|| {
            let period = Duration::from_secs(u64::from(period));
            HostedService(Arc::new(RateLimit::new(limit, period)))
        });
        made.clone()
    }
}

/// What stands in `env` for a Hyperdrive: the database itself, since nothing lies between. Wrangler's
/// variable of the environment counts before the configuration.
pub fn hyperdrive(name: &str, configured: Option<String>, at: &Position) -> Result<String, Exit> {
    let variable = format!("CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_{name}");
    let refused = |why: &str| Exit::Definition(format!("{at}: the Hyperdrive \"{name}\" {why}"));
    let text = std::env::var(&variable)
        .ok()
        .or(configured)
        .ok_or_else(|| {
            refused(&format!(
                "has no database: give localConnectionString, or set {variable}"
            ))
        })?;
    // What is wrong with it is not shown: there is a password in it.
    let url = Url::parse(&text).map_err(|_| refused("has a connection string that is no URL"))?;
    let default_port = match url.scheme() {
        "postgres" | "postgresql" => 5432,
        "mysql" => 3306,
        _ => {
            return Err(refused(
                "must begin with postgres://, postgresql:// or mysql://",
            ));
        }
    };
    let decoded = |part: &str| {
        percent_encoding::percent_decode_str(part)
            .decode_utf8_lossy()
            .into_owned()
    };
    let value = serde_json::json!({
        "connectionString": text,
        "host": url.host_str().unwrap_or_default(),
        "port": url.port().unwrap_or(default_port),
        "user": decoded(url.username()),
        "password": decoded(url.password().unwrap_or_default()),
        "database": decoded(url.path().trim_start_matches('/')),
    });
    Ok(value.to_string())
}

/// What `version_metadata` gives: an id in the form of a UUID that the code alone decides, and when
/// this host began to run it. There are no tags here.
pub fn version_of(modules: &[Module]) -> String {
    let mut hash = Sha256::new();
    for module in modules {
        for part in [module.name.as_bytes(), &module.content.0] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
    }
    let hex: String = hash.finalize()[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let id = format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    );
    let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    serde_json::json!({ "id": id, "tag": "", "timestamp": now }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_string_is_taken_apart() {
        let at = Position {
            path: "w.json".into(),
            line: 1,
            column: 1,
        };
        let made = |text: &str| hyperdrive("DB", Some(text.to_owned()), &at);
        let value = made("postgres://ann:p%40ss@db.internal/shop").unwrap();
        let value: serde_json::Value = serde_json::from_str(&value).unwrap();
        let field = |name: &str| value[name].to_string();
        assert_eq!(
            ["host", "port", "user", "password", "database"].map(field),
            ["\"db.internal\"", "5432", "\"ann\"", "\"p@ss\"", "\"shop\""]
        );
        for wrong in ["nonsense:secret", "http://u:secret@h/d"] {
            let said = made(wrong).unwrap_err().to_string();
            assert!(!said.contains("secret"), "{said}");
        }
    }
}
