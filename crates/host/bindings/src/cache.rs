//! `caches` as a service: `platform/cloudflare/cache.ts` asks, `mayfly-store` keeps.
//!
//! `GET`, `PUT` and `DELETE` of the very URL that is the key; `cf` carries what is no header of the
//! Worker's: the cache's name and, for `PUT`, the head of the response whose body follows. What may be
//! kept and for how long, ranges and conditional requests are decided here, by RFC 9111 and 9110 as far
//! as the Workers documentation follows them: `Vary` is not looked at, and a response that says nothing
//! lives as long as Cloudflare's network would keep it.
//!
//! Invariant: whose entries a request may see was decided when its service was made ([`Caches::of`]);
//! nothing in a request changes it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use mayfly_exchange::{
    Body, BoxFuture, Failure, Request, Response, ResponseHead, Service, SharedService, body_channel,
};
use mayfly_store::cache::{Cache, Found, Head, Key, PIECE_BYTES, Room, WriteError};
use mayfly_store::{Store, StoreError};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::answer::{empty, head, header, internal, now_seconds};

/// Bytes of one response's body: Cloudflare's documented limit.
pub const BODY_BYTES_MAX: u64 = 512 * 1024 * 1024;
/// Bytes of a cache's name; `caches.open()` says so first.
pub const NAME_BYTES_MAX: usize = 1024;
/// Bytes of a response's head as JSON, and of its key: what a head may have on the wire, escaped.
const HEAD_BYTES_MAX: usize = 1024 * 1024;
/// Bytes of a body that is answered whole rather than as a stream.
const WHOLE_BYTES_MAX: u64 = 64 * 1024;
/// Requests of one Worker under way; further ones wait.
pub const AT_ONCE_MAX: usize = 64;
/// Bodies of one Worker under way out of its caches; further ones wait.
pub const READING_MAX: usize = 256;
/// Bytes of one piece of an answer's body.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a family keeps in a state folder.
const ROOM_ON_DISK: Room = Room {
    own: 1024 * 1024 * 1024,
    dynamic: 512 * 1024 * 1024,
    dynamic_each: 64 * 1024 * 1024,
};
/// What it keeps in memory, where there is no folder.
const ROOM_IN_MEMORY: Room = Room {
    own: 64 * 1024 * 1024,
    dynamic: 64 * 1024 * 1024,
    dynamic_each: 8 * 1024 * 1024,
};

/// Whose caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// The configured Worker, with all that it loads; or a loader that several share.
    pub family: String,
    /// Which of them; empty for the configured Worker.
    pub member: String,
    /// Whether the member cannot come back after this process.
    pub passing: bool,
}

/// The caches of a host.
#[derive(Debug)]
pub struct Caches {
    store: Option<Arc<Store>>,
    /// As many as there are configured Workers and shared loaders.
    families: Mutex<HashMap<String, Arc<Cache>>>,
    /// Of Workers that hold theirs, by family and member.
    turns: Mutex<HashMap<(String, String), Weak<Turns>>>,
}

/// What bounds the memory that one Worker's requests take.
#[derive(Debug)]
struct Turns {
    at_once: Semaphore,
    reading: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            at_once: Semaphore::new(AT_ONCE_MAX),
            reading: Arc::new(Semaphore::new(READING_MAX)),
        }
    }
}

impl Caches {
    /// In the folder of `store`; in memory where it has none or is `None`.
    pub fn new(store: Option<Arc<Store>>) -> Self {
        Self {
            store,
            families: Mutex::default(),
            turns: Mutex::default(),
        }
    }

    /// The caches of one Worker. Their database is opened by the first request.
    pub fn of(self: &Arc<Self>, owner: Owner) -> SharedService {
        Arc::new(CacheService {
            caches: self.clone(),
            turns: self.turns(&owner),
            owner,
        })
    }

    fn turns(&self, owner: &Owner) -> Arc<Turns> {
        let key = (owner.family.clone(), owner.member.clone());
        let mut all = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turns) = all.get(&key).and_then(Weak::upgrade) {
            return turns;
        }
        // Full, it is looked through before it grows: once for each doubling.
        if all.len() == all.capacity() {
            all.retain(|_, turns| turns.strong_count() > 0);
        }
        let turns = Arc::default();
        all.insert(key, Arc::downgrade(&turns));
        turns
    }

    fn family(&self, name: &str) -> Result<Arc<Cache>, StoreError> {
        let mut families = self.families.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(family) = families.get(name) {
            return Ok(family.clone());
        }
        let cache = match &self.store {
            Some(store) if store.is_on_disk() => Cache::open(store, name, ROOM_ON_DISK)?,
            Some(store) => Cache::open(store, name, ROOM_IN_MEMORY)?,
            None => Cache::open(&*Store::ephemeral()?, name, ROOM_IN_MEMORY)?,
        };
        families.insert(name.to_owned(), cache.clone());
        Ok(cache)
    }
}

/// The caches of one Worker.
struct CacheService {
    caches: Arc<Caches>,
    turns: Arc<Turns>,
    owner: Owner,
}

impl Service for CacheService {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let caches = self.caches.clone();
        let owner = self.owner.clone();
        let turns = self.turns.clone();
        Box::pin(async move {
            // The semaphore is never closed.
            let _turn = turns.at_once.acquire().await;
            let name = owner.family.clone();
            let cache = on_disk(move || caches.family(&name)).await?;
            answer(&cache, owner, request, &turns.reading).await
        })
    }
}

async fn answer(
    cache: &Arc<Cache>,
    owner: Owner,
    request: Request,
    reading: &Arc<Semaphore>,
) -> Result<Response, Failure> {
    let control: Value = serde_json::from_str(&request.head.cf).unwrap_or_default();
    let Some(key) = key(owner, &request.head.url, &control) else {
        return Ok(empty(400));
    };
    match request.head.method.as_str() {
        "GET" => find(cache, key, &request, reading).await,
        "PUT" => put(cache, key, &control["response"], request.body).await,
        "DELETE" => {
            let cache = cache.clone();
            let found = on_disk(move || cache.delete(&key, now_seconds())).await?;
            Ok(empty(if found { 200 } else { 404 }))
        }
        _ => Ok(empty(405)),
    }
}

fn key(owner: Owner, url: &str, control: &Value) -> Option<Key> {
    let mut url = url::Url::parse(url).ok()?;
    url.set_fragment(None);
    let name = match &control["name"] {
        Value::String(name) if name.len() < NAME_BYTES_MAX => Some(name.clone()),
        Value::Null => None,
        _ => return None,
    };
    Some(Key {
        owner: owner.member,
        passing: owner.passing,
        name,
        url: url.into(),
    })
}

/// SQLite waits for the disk, which is not for the threads that serve sockets.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| internal("a request of a cache broke off", &error))?
        .map_err(|error| internal("the cache cannot be used", &error))
}

/// Drops what ends with a write to the disk.
fn let_go<T: Send + 'static>(held: T) {
    tokio::task::spawn_blocking(move || drop(held));
}

// ---- put

async fn put(
    cache: &Arc<Cache>,
    key: Key,
    response: &Value,
    body: Body,
) -> Result<Response, Failure> {
    let now = now_seconds();
    let Some(stored) = Stored::given(response) else {
        return Ok(empty(400));
    };
    let too_large = match &body {
        Body::Stream { length, .. } => length.is_some_and(|length| length > BODY_BYTES_MAX),
        _ => false,
    };
    let Some((stored, lifetime)) = stored.kept(now).filter(|_| !too_large) else {
        return Ok(empty(413));
    };
    let text = stored.to_text();
    if text.len() + key.url.len() > HEAD_BYTES_MAX {
        return Ok(empty(413));
    }
    let head = Head {
        text,
        stored: now,
        expires: now.saturating_add(lifetime),
    };
    let mut writer = cache.put(key, head);
    let written = match body {
        Body::Empty | Body::Socket(_) => Ok(writer),
        Body::Full(bytes) => written(move || writer.write(&bytes).map(|()| writer)).await?,
        Body::Stream { mut reader, .. } => {
            let mut going = Ok(writer);
            while let Ok(mut writer) = going {
                let Some(piece) = reader.next().await else {
                    going = Ok(writer);
                    break;
                };
                let piece = match piece {
                    Ok(piece) => piece,
                    // A body that breaks off leaves the entry as it was.
                    Err(failure) => {
                        let_go(writer);
                        return Err(failure);
                    }
                };
                if writer.bytes().saturating_add(piece.len() as u64) > BODY_BYTES_MAX {
                    let_go(writer);
                    return Ok(empty(413));
                }
                going = written(move || writer.write(&piece).map(|()| writer)).await?;
            }
            going
        }
    };
    let done = match written {
        Ok(writer) => self::written(move || writer.finish(now_seconds())).await?,
        Err(no_room) => Err(no_room),
    };
    Ok(empty(if done.is_ok() { 204 } else { 413 }))
}

/// There is no room for it.
struct NoRoom;

async fn written<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, WriteError> + Send + 'static,
) -> Result<Result<T, NoRoom>, Failure> {
    on_disk(move || match work() {
        Ok(done) => Ok(Ok(done)),
        Err(WriteError::NoRoom) => Ok(Err(NoRoom)),
        Err(WriteError::Failed(error)) => Err(error),
    })
    .await
}

/// A response without its body, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    status: u16,
    status_text: String,
    headers: Vec<(String, String)>,
    encoded: bool,
}

impl Stored {
    /// Out of what a guest sent.
    fn given(value: &Value) -> Option<Self> {
        let status = u16::try_from(value["status"].as_u64()?).ok()?;
        if !(200..=599).contains(&status) {
            return None;
        }
        // Name, value, name, value.
        let (headers, []) = value["headers"].as_array()?.as_chunks::<2>() else {
            return None;
        };
        let headers = headers.iter().map(|[name, value]| {
            let name = name.as_str()?.to_ascii_lowercase();
            Some((name, value.as_str()?.to_owned()))
        });
        Some(Self {
            status,
            status_text: value["statusText"].as_str()?.to_owned(),
            headers: headers.collect::<Option<_>>()?,
            encoded: value["encoded"].as_bool()?,
        })
    }

    fn to_text(&self) -> String {
        let headers: Vec<_> = self
            .headers
            .iter()
            .flat_map(|(name, value)| [name, value])
            .collect();
        json!({
            "status": self.status,
            "statusText": self.status_text,
            "headers": headers,
            "encoded": self.encoded,
        })
        .to_string()
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// It as it is to be kept, and for how many seconds; `None` if it is not to be.
    fn kept(mut self, now: i64) -> Option<(Self, i64)> {
        let given: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, _)| name == "cache-control")
            .map(|(_, value)| value.as_str())
            .collect();
        let control = Directives::parse(&given.join(","));
        if self.status == 206 || control.has("no-store") || control.has("no-cache") {
            return None;
        }
        if let Some(private) = control.get("private") {
            let named: Vec<_> = private
                .split(',')
                .map(|name| name.trim().to_ascii_lowercase())
                .filter(|name| !name.is_empty())
                .collect();
            if named.is_empty() {
                return None;
            }
            self.headers.retain(|(name, _)| !named.contains(name));
        }
        if self.header("set-cookie").is_some() {
            return None;
        }
        if self.header("vary").is_some_and(|vary| vary.contains('*')) {
            return None;
        }
        let aged = self.header("age").and_then(seconds).unwrap_or_default();
        let explicit = control
            .get("s-maxage")
            .or_else(|| control.get("max-age"))
            // Something that is no number says that it is stale.
            .map(|text| seconds(text).unwrap_or_default())
            .or_else(|| self.expires_in(now));
        let lifetime = match explicit {
            Some(lifetime) => lifetime.saturating_sub(aged),
            None => lifetime_of(self.status),
        };
        (lifetime > 0).then_some((self, lifetime))
    }

    fn expires_in(&self, now: i64) -> Option<i64> {
        let expires = date(self.header("expires")?).unwrap_or_default();
        let from = self.header("date").and_then(date).unwrap_or(now);
        Some(expires.saturating_sub(from))
    }
}

/// Seconds that Cloudflare's network keeps a response of this status that says nothing itself.
fn lifetime_of(status: u16) -> i64 {
    match status {
        200 | 301 => 120 * 60,
        302 | 303 => 20 * 60,
        404 | 410 => 3 * 60,
        403 => 60,
        _ => 0,
    }
}

/// What a `Cache-Control` says, names in lower case, values without quotes.
struct Directives(Vec<(String, String)>);

impl Directives {
    fn parse(text: &str) -> Self {
        let mut directives = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let mut quoted = false;
            let end = rest.find(|c| {
                quoted ^= c == '"';
                c == ',' && !quoted
            });
            let (one, later) = match end {
                Some(end) => (&rest[..end], &rest[end + 1..]),
                None => (rest, ""),
            };
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            let name = name.trim().to_ascii_lowercase();
            if !name.is_empty() {
                directives.push((name, value.trim().trim_matches('"').to_owned()));
            }
            rest = later;
        }
        Self(directives)
    }

    fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }
}

/// Delta seconds; more than fit are as many as fit.
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(i64::from(i32::MAX)))
}

/// An HTTP date in seconds since the epoch.
fn date(text: &str) -> Option<i64> {
    let time = httpdate::parse_http_date(text.trim()).ok()?;
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).ok(),
        Err(before) => i64::try_from(before.duration().as_secs()).ok().map(|s| -s),
    }
}

// ---- match

async fn find(
    cache: &Arc<Cache>,
    key: Key,
    request: &Request,
    reading: &Arc<Semaphore>,
) -> Result<Response, Failure> {
    let now = now_seconds();
    let cache = cache.clone();
    let found = on_disk(move || cache.get(&key, now)).await?;
    let Some(found) = found else {
        return Ok(with_status(head(504), "MISS", Body::Empty));
    };
    let kept = serde_json::from_str(&found.head.text).ok();
    let Some(stored) = kept.as_ref().and_then(Stored::given) else {
        return Ok(with_status(head(504), "MISS", Body::Empty));
    };
    let mut answered = ResponseHead {
        status: stored.status,
        status_text: stored.status_text.clone(),
        headers: stored.headers.clone(),
        url: String::new(),
        redirected: false,
        encoded: stored.encoded,
    };
    age(
        &mut answered,
        &stored,
        now.saturating_sub(found.head.stored),
    );
    if stored.status == 200 && unchanged(request, &stored) {
        answered.status = 304;
        answered.status_text = String::new();
        let_go(found);
        return Ok(with_status(answered, "HIT", Body::Empty));
    }
    let asked = header(request, "range").filter(|_| stored.status == 200 && found.bytes > 0);
    match asked.map_or(Asked::Whole, |range| asked_range(range, found.bytes)) {
        Asked::Whole => {
            let all = 0..found.bytes;
            let body = body(found, all, reading).await?;
            Ok(with_status(answered, "HIT", body))
        }
        Asked::Part(part) => {
            let of = format!("bytes {}-{}/{}", part.start, part.end - 1, found.bytes);
            partial(&mut answered, 206, of);
            let length = (part.end - part.start).to_string();
            answered.headers.push(("content-length".to_owned(), length));
            let body = body(found, part, reading).await?;
            Ok(with_status(answered, "HIT", body))
        }
        Asked::Outside => {
            partial(&mut answered, 416, format!("bytes */{}", found.bytes));
            let_go(found);
            Ok(with_status(answered, "HIT", Body::Empty))
        }
    }
}

fn with_status(mut head: ResponseHead, status: &str, body: Body) -> Response {
    head.headers.retain(|(name, _)| name != "cf-cache-status");
    head.headers
        .push(("cf-cache-status".to_owned(), status.to_owned()));
    Response { head, body }
}

fn age(head: &mut ResponseHead, stored: &Stored, here: i64) {
    let before = stored.header("age").and_then(seconds).unwrap_or_default();
    let age = before.saturating_add(here.max(0));
    head.headers.retain(|(name, _)| name != "age");
    head.headers.push(("age".to_owned(), age.to_string()));
}

fn partial(head: &mut ResponseHead, status: u16, content_range: String) {
    head.status = status;
    head.status_text = String::new();
    head.headers
        .retain(|(name, _)| name != "content-length" && name != "content-range");
    head.headers
        .push(("content-range".to_owned(), content_range));
}

/// Whether the one who asks has it already (RFC 9110, 13.2.2).
fn unchanged(request: &Request, stored: &Stored) -> bool {
    if let Some(known) = header(request, "if-none-match") {
        let Some(etag) = stored.header("etag") else {
            return false;
        };
        let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        return known.trim() == "*" || known.split(',').any(|tag| strong(tag) == strong(etag));
    }
    let since = header(request, "if-modified-since").and_then(date);
    let modified = stored.header("last-modified").and_then(date);
    matches!((since, modified), (Some(since), Some(modified)) if modified <= since)
}

#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(Range<u64>),
    Outside,
}

/// One range of bytes; several, or none that can be understood, are the whole.
fn asked_range(text: &str, length: u64) -> Asked {
    let number = |text: &str| -> Option<u64> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = text
        .trim()
        .strip_prefix("bytes=")
        .and_then(|range| range.split_once('-'))
        .map(|(first, last)| (first.trim(), last.trim()));
    match range {
        Some(("", last)) => match number(last) {
            Some(0) => Asked::Outside,
            Some(last) => Asked::Part(length.saturating_sub(last)..length),
            None => Asked::Whole,
        },
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), None) if last.is_empty() && first < length => Asked::Part(first..length),
            (Some(first), Some(last)) if first <= last && first < length => {
                Asked::Part(first..length.min(last.saturating_add(1)))
            }
            (Some(first), Some(last)) if first <= last => Asked::Outside,
            (Some(_), None) if last.is_empty() => Asked::Outside,
            _ => Asked::Whole,
        },
        None => Asked::Whole,
    }
}

/// `part` of an entry's body.
async fn body(found: Found, part: Range<u64>, reading: &Arc<Semaphore>) -> Result<Body, Failure> {
    let length = part.end.saturating_sub(part.start);
    if length == 0 {
        return Ok(Body::Full(Bytes::new()));
    }
    let mut pieces = Pieces { found, part };
    if length <= WHOLE_BYTES_MAX {
        let whole = on_disk(move || {
            let mut whole = Vec::new();
            while let Some(piece) = pieces.next()? {
                whole.extend_from_slice(&piece);
            }
            Ok(whole)
        });
        return Ok(Body::Full(whole.await?.into()));
    }
    // The semaphore is never closed.
    let turn = reading.clone().acquire_owned().await;
    let (writer, reader) = body_channel();
    tokio::spawn(async move {
        let _turn = turn;
        loop {
            let read = on_disk(move || Ok((pieces.next()?, pieces))).await;
            let mut piece = match read {
                Ok((Some(piece), rest)) => {
                    pieces = rest;
                    piece
                }
                Ok((None, rest)) => {
                    let_go(rest);
                    return writer.finish().await;
                }
                Err(failure) => return writer.fail(failure).await,
            };
            while !piece.is_empty() {
                let chunk = piece.split_to(piece.len().min(CHUNK_BYTES));
                if writer.write(chunk).await.is_err() {
                    return let_go(pieces);
                }
            }
        }
    });
    Ok(Body::Stream {
        reader,
        length: Some(length),
    })
}

/// What is left to read of a part of an entry.
struct Pieces {
    found: Found,
    part: Range<u64>,
}

impl Pieces {
    fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let Range { start, end } = self.part;
        if start >= end {
            return Ok(None);
        }
        let number = start / PIECE_BYTES as u64;
        let missing = || StoreError::NotFound(format!("piece {number} of an entry of a cache"));
        let piece = Bytes::from(self.found.reader.piece(number)?.ok_or_else(missing)?);
        // Both fit: neither is more than a piece.
        let from = usize::try_from(start % PIECE_BYTES as u64).unwrap_or_default();
        let wanted = usize::try_from(end - start).unwrap_or(usize::MAX);
        if from >= piece.len() {
            return Err(missing());
        }
        let piece = piece.slice(from..piece.len().min(from.saturating_add(wanted)));
        self.part.start += piece.len() as u64;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const NOW: i64 = 1_800_000_000;

    fn stored(status: u16, headers: &[(&str, &str)]) -> Stored {
        Stored {
            status,
            status_text: String::new(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            encoded: false,
        }
    }

    fn lifetime(status: u16, headers: &[(&str, &str)]) -> Option<i64> {
        let kept = stored(status, headers).kept(NOW);
        kept.map(|(_, lifetime)| lifetime)
    }

    fn http_date(at: i64) -> String {
        let at = Duration::from_secs(u64::try_from(at).unwrap());
        httpdate::fmt_http_date(UNIX_EPOCH + at)
    }

    #[test]
    fn lifetimes_are_what_the_response_says_or_its_status() {
        assert_eq!(lifetime(200, &[]), Some(7200));
        assert_eq!(lifetime(404, &[]), Some(180));
        assert_eq!(lifetime(500, &[]), None);
        assert_eq!(lifetime(500, &[("cache-control", "max-age=5")]), Some(5));
        let control = |text: &str| lifetime(200, &[("cache-control", text)]);
        assert_eq!(control("max-age=10, S-MaxAge=\"20\""), Some(20));
        assert_eq!(
            control("public , max-age=99999999999999999999"),
            Some(i64::from(i32::MAX))
        );
        for not in [
            "max-age=0",
            "max-age=x",
            "no-store",
            "no-cache",
            "private",
            "max-age=9,PRIVATE",
        ] {
            assert_eq!(control(not), None, "{not}");
        }
        let aged = [("cache-control", "max-age=10"), ("age", "4")];
        assert_eq!(lifetime(200, &aged), Some(6));
        let later = http_date(NOW + 60);
        assert_eq!(lifetime(200, &[("expires", &later)]), Some(60));
        let dated = http_date(NOW + 20);
        assert_eq!(
            lifetime(200, &[("expires", &later), ("date", &dated)]),
            Some(40)
        );
        assert_eq!(lifetime(200, &[("expires", "0")]), None);
        assert_eq!(lifetime(206, &[("cache-control", "max-age=5")]), None);
        assert_eq!(lifetime(200, &[("vary", "a, *")]), None);
        assert_eq!(lifetime(200, &[("vary", "accept")]), Some(7200));
    }

    #[test]
    fn a_cookie_is_kept_by_nobody() {
        assert_eq!(lifetime(200, &[("set-cookie", "a=b")]), None);
        let private = [
            ("set-cookie", "a=b"),
            ("cache-control", "private=\"x-user, Set-Cookie\", max-age=5"),
            ("x-user", "1"),
            ("x-other", "2"),
        ];
        let (kept, lifetime) = stored(200, &private).kept(NOW).unwrap();
        assert_eq!(lifetime, 5);
        let names: Vec<_> = kept.headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["cache-control", "x-other"]);
    }

    #[test]
    fn ranges_are_one_part_the_whole_or_outside() {
        let part = |text| asked_range(text, 10);
        assert_eq!(part("bytes=0-3"), Asked::Part(0..4));
        assert_eq!(part("bytes=4-"), Asked::Part(4..10));
        assert_eq!(part("bytes=9-99999999999999999999"), Asked::Part(9..10));
        assert_eq!(part("bytes=-3"), Asked::Part(7..10));
        assert_eq!(part("bytes=-99"), Asked::Part(0..10));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(part(outside), Asked::Outside, "{outside}");
        }
        for whole in [
            "bytes=3-1",
            "bytes=0-1,3-4",
            "bytes=-",
            "bytes=a-",
            "lines=0-1",
            "",
        ] {
            assert_eq!(part(whole), Asked::Whole, "{whole}");
        }
    }

    #[test]
    fn a_stored_head_reads_as_it_was_written_and_a_lie_is_refused() {
        let kept = stored(200, &[("content-type", "text/plain")]);
        let text = kept.to_text();
        assert_eq!(
            Stored::given(&serde_json::from_str(&text).unwrap()),
            Some(kept)
        );
        for lie in [
            "{}",
            "[]",
            r#"{"status":101,"statusText":"","headers":[],"encoded":false}"#,
        ] {
            assert_eq!(
                Stored::given(&serde_json::from_str(lie).unwrap()),
                None,
                "{lie}"
            );
        }
    }
}
