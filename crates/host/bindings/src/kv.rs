//! A Workers KV namespace as a service: `platform/cloudflare/kv.ts` asks, `mayfly-store` keeps.
//!
//! `GET|PUT|DELETE /values/<key>`, `GET /keys`, `POST /bulk/get`, `POST /bulk/delete`. Limits and the
//! words of refusals are those of the Workers KV documentation.
//!
//! Invariant: at most [`AT_ONCE_MAX`] requests of a namespace hold a value in memory.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use mayfly_exchange::{Body, BoxFuture, Failure, Request, Response, Service};
use mayfly_store::StoreError;
use mayfly_store::kv::{Entry, Kv};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::answer::{
    Asked, BodyError, Refusal, empty, head, header, internal, json, now_seconds, read_body,
};

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Bytes of a value.
pub const VALUE_BYTES_MAX: usize = 25 * 1024 * 1024;
/// Bytes of an entry's metadata as JSON.
pub const METADATA_BYTES_MAX: usize = 1024;
/// Seconds that an entry lives at least.
pub const TTL_SECONDS_MIN: i64 = 60;
/// Keys that one list gives.
pub const LIST_MAX: usize = 1000;
/// Keys of one bulk request.
pub const BULK_MAX: usize = 100;
/// Bytes of all values that one bulk request gives.
pub const BULK_BYTES_MAX: usize = VALUE_BYTES_MAX;
/// Bytes of a bulk request: its keys as JSON, each byte of them escaped.
const BULK_BODY_BYTES_MAX: usize = BULK_MAX * (KEY_BYTES_MAX * 6 + 4) + 64;
/// Requests under way, and bodies that arrive; further ones wait.
pub const AT_ONCE_MAX: usize = 16;
/// Time for a body to arrive: whoever takes longer is in the way of all who write to the namespace.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// See the file's head.
#[derive(Debug)]
pub struct KvService {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Kv,
    at_once: Semaphore,
    /// For bodies that arrive, so that a slow writer is in the way of writers alone.
    arriving: Semaphore,
}

enum Wrong {
    Refused(Refusal),
    Failed(Failure),
}

impl From<Refusal> for Wrong {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Failed(internal("the KV namespace cannot be used", &error))
    }
}

impl KvService {
    /// Serves `store`.
    pub fn new(store: Kv) -> Self {
        Self {
            inner: Arc::new(Inner {
                store,
                at_once: Semaphore::new(AT_ONCE_MAX),
                arriving: Semaphore::new(AT_ONCE_MAX),
            }),
        }
    }
}

impl Service for KvService {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            // The semaphores are never closed.
            let (_place, request) = match &request.body {
                Body::Stream { .. } => {
                    let place = inner.arriving.acquire().await;
                    match timeout(BODY_WAIT, arrived(request)).await {
                        Ok(Ok(request)) => (Some(place), request),
                        Ok(Err(Wrong::Refused(refusal))) => return Ok(refusal.response()),
                        Ok(Err(Wrong::Failed(failure))) => return Err(failure),
                        Err(_) => {
                            let why = format!(
                                "The body did not arrive within {} s.",
                                BODY_WAIT.as_secs()
                            );
                            return Ok(Refusal::new(408, why).response());
                        }
                    }
                }
                _ => (None, request),
            };
            let _turn = inner.at_once.acquire().await;
            match inner.clone().answer(request).await {
                Ok(response) => Ok(response),
                Err(Wrong::Refused(refusal)) => Ok(refusal.response()),
                Err(Wrong::Failed(failure)) => Err(failure),
            }
        })
    }
}

impl Inner {
    async fn answer(self: Arc<Self>, request: Request) -> Result<Response, Wrong> {
        let asked = Asked::parse(&request).ok_or_else(|| Refusal::new(400, "Invalid URL"))?;
        let segments: Vec<&str> = asked.segments.iter().map(String::as_str).collect();
        match (request.head.method.as_str(), segments.as_slice()) {
            ("GET", ["values", key]) => self.get(checked_key(key)?).await,
            ("PUT", ["values", key]) => {
                let key = checked_key(key)?;
                self.put(key, &asked, request).await
            }
            ("DELETE", ["values", key]) => {
                let key = checked_key(key)?;
                self.on_disk(move |store| store.delete([key.as_str()]))
                    .await?;
                Ok(empty(200))
            }
            ("GET", ["keys"]) => self.list(&asked).await,
            ("POST", ["bulk", "get"]) => self.bulk_get(request).await,
            ("POST", ["bulk", "delete"]) => {
                let keys = bulk_keys(request).await?;
                self.on_disk(move |store| store.delete(keys.iter().map(String::as_str)))
                    .await?;
                Ok(empty(200))
            }
            _ => Err(Refusal::new(405, "Method Not Allowed").into()),
        }
    }

    /// SQLite waits for the disk, which is not for the threads that serve sockets.
    async fn on_disk<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Kv) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Wrong> {
        let inner = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner.store)).await;
        let done = done.map_err(|error| Wrong::Failed(internal("a KV request broke off", &error)));
        Ok(done??)
    }

    async fn get(self: Arc<Self>, key: String) -> Result<Response, Wrong> {
        let entry = self
            .on_disk(move |store| store.get(&key, now_seconds()))
            .await?;
        let Some(entry) = entry else {
            return Ok(empty(404));
        };
        let mut head = head(200);
        if let Some(metadata) = &entry.metadata {
            let encoded = utf8_percent_encode(metadata, NON_ALPHANUMERIC).to_string();
            head.headers.push(("cf-kv-metadata".to_owned(), encoded));
        }
        Ok(Response {
            head,
            body: Body::Full(Bytes::from(entry.value)),
        })
    }

    async fn put(
        self: Arc<Self>,
        key: String,
        asked: &Asked,
        request: Request,
    ) -> Result<Response, Wrong> {
        let metadata = metadata(&request)?;
        let expires = expiry(asked, now_seconds())?;
        let value = match read_body(request.body, VALUE_BYTES_MAX).await {
            Ok(value) => value,
            Err(BodyError::TooLong) => return Err(too_long().into()),
            Err(BodyError::Failed(failure)) => return Err(Wrong::Failed(failure)),
        };
        let entry = Entry {
            value: value.into(),
            metadata,
            expires,
        };
        self.on_disk(move |store| store.put(&key, &entry, now_seconds()))
            .await?;
        Ok(empty(200))
    }

    async fn list(self: Arc<Self>, asked: &Asked) -> Result<Response, Wrong> {
        let limit = match asked.number("limit")? {
            Some(limit) if limit > 0 => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                if limit > LIST_MAX {
                    let why = format!(
                        "Invalid key_count_limit of {limit}. Please specify an integer less than \
                         {LIST_MAX}."
                    );
                    return Err(Refusal::new(400, why).into());
                }
                limit
            }
            _ => LIST_MAX,
        };
        let prefix = asked.parameter("prefix").unwrap_or_default().to_owned();
        let after = asked.parameter("cursor").filter(|text| !text.is_empty());
        let after = after.map(read_cursor).transpose()?;
        let mut keys = self
            .on_disk(move |store| store.list(&prefix, after.as_deref(), limit + 1, now_seconds()))
            .await?;
        let complete = keys.len() <= limit;
        keys.truncate(limit);
        let cursor = keys.last().filter(|_| !complete);
        let cursor = cursor.map(|key| BASE64_URL_SAFE_NO_PAD.encode(&key.name));
        let listed: Vec<Value> = keys
            .into_iter()
            .map(|key| {
                let mut entry = json!({ "name": key.name });
                if let Some(expires) = key.expires {
                    entry["expiration"] = expires.into();
                }
                if let Some(metadata) = key.metadata {
                    entry["metadata"] = metadata.into();
                }
                entry
            })
            .collect();
        let mut answer = json!({ "keys": listed, "list_complete": complete });
        if let Some(cursor) = cursor {
            answer["cursor"] = cursor.into();
        }
        Ok(json(&answer))
    }

    async fn bulk_get(self: Arc<Self>, request: Request) -> Result<Response, Wrong> {
        let keys = bulk_keys(request).await?;
        let found = self
            .on_disk(move |store| {
                let mut found = Vec::new();
                let mut bytes = 0_usize;
                for key in keys {
                    if let Some(entry) = store.get(&key, now_seconds())? {
                        bytes = bytes.saturating_add(entry.value.len());
                        if bytes > BULK_BYTES_MAX {
                            return Ok(None);
                        }
                        let value = String::from_utf8_lossy(&entry.value).into_owned();
                        found.push(json!([key, value, entry.metadata]));
                    }
                }
                Ok(Some(found))
            })
            .await?;
        let too_large = || {
            let why = format!("Total size of request exceeds the limit of {BULK_BYTES_MAX} bytes");
            Refusal::new(413, why)
        };
        Ok(json(&Value::Array(found.ok_or_else(too_large)?)))
    }
}

/// The same request with its body whole. No body of any request here is larger than a value.
async fn arrived(request: Request) -> Result<Request, Wrong> {
    match read_body(request.body, VALUE_BYTES_MAX).await {
        Ok(body) => Ok(Request {
            head: request.head,
            body: Body::Full(body),
        }),
        Err(BodyError::TooLong) => Err(too_long().into()),
        Err(BodyError::Failed(failure)) => Err(Wrong::Failed(failure)),
    }
}

fn too_long() -> Refusal {
    let why = format!("Value length exceeds limit of {VALUE_BYTES_MAX}.");
    Refusal::new(413, why)
}

fn checked_key(key: &str) -> Result<String, Refusal> {
    if key.is_empty() || key == "." || key == ".." {
        return Err(Refusal::new(400, "Invalid key name"));
    }
    if key.len() > KEY_BYTES_MAX {
        let why = format!(
            "UTF-8 encoded length of {} exceeds key length limit of {KEY_BYTES_MAX}.",
            key.len()
        );
        return Err(Refusal::new(414, why));
    }
    Ok(key.to_owned())
}

fn metadata(request: &Request) -> Result<Option<String>, Refusal> {
    let Some(given) = header(request, "cf-kv-metadata") else {
        return Ok(None);
    };
    let invalid = || Refusal::new(400, "Metadata must be valid JSON");
    let text = percent_decode_str(given).decode_utf8();
    let text = text.map_err(|_| invalid())?.into_owned();
    if text.len() > METADATA_BYTES_MAX {
        let why = format!(
            "Metadata length of {} exceeds limit of {METADATA_BYTES_MAX}.",
            text.len()
        );
        return Err(Refusal::new(413, why));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(&text).map_err(|_| invalid())?;
    Ok(Some(text))
}

/// When the entry ends, by `expiration` or, which wins, `expiration_ttl`.
fn expiry(asked: &Asked, now: i64) -> Result<Option<i64>, Refusal> {
    if let Some(ttl) = asked.number("expiration_ttl")? {
        if ttl <= 0 {
            let why =
                format!("Invalid expiration_ttl of {ttl}. Please specify integer greater than 0.");
            return Err(Refusal::new(400, why));
        }
        if ttl < TTL_SECONDS_MIN {
            let why = format!(
                "Invalid expiration_ttl of {ttl}. Expiration TTL must be at least {TTL_SECONDS_MIN}."
            );
            return Err(Refusal::new(400, why));
        }
        return Ok(Some(now.saturating_add(ttl)));
    }
    let Some(at) = asked.number("expiration")? else {
        return Ok(None);
    };
    if at <= now {
        let why = format!(
            "Invalid expiration of {at}. Please specify integer greater than the current number of \
             seconds since the UNIX epoch."
        );
        return Err(Refusal::new(400, why));
    }
    if at < now.saturating_add(TTL_SECONDS_MIN) {
        let why = format!(
            "Invalid expiration of {at}. Expiration times must be at least {TTL_SECONDS_MIN} seconds \
             in the future."
        );
        return Err(Refusal::new(400, why));
    }
    Ok(Some(at))
}

fn read_cursor(text: &str) -> Result<String, Refusal> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
    let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    key.ok_or_else(|| Refusal::new(400, "Invalid cursor"))
}

async fn bulk_keys(request: Request) -> Result<Vec<String>, Wrong> {
    let body = match read_body(request.body, BULK_BODY_BYTES_MAX).await {
        Ok(body) => body,
        Err(BodyError::TooLong) => {
            let why = format!("You can request a maximum of {BULK_MAX} keys");
            return Err(Refusal::new(400, why).into());
        }
        Err(BodyError::Failed(failure)) => return Err(Wrong::Failed(failure)),
    };
    let invalid = || Refusal::new(400, "Invalid list of keys");
    let question: Value = serde_json::from_slice(&body).map_err(|_| invalid())?;
    let keys = question["keys"].as_array().ok_or_else(invalid)?;
    if keys.len() > BULK_MAX {
        let why = format!("You can request a maximum of {BULK_MAX} keys");
        return Err(Refusal::new(400, why).into());
    }
    let keys = keys.iter().map(|key| {
        let key = key.as_str().ok_or_else(invalid)?;
        checked_key(key)
    });
    Ok(keys.collect::<Result<_, _>>()?)
}
