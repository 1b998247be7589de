//! An R2 bucket as a service: `platform/cloudflare/r2.ts` asks, `mayfly-store` knows what there is, `blobs`
//! has the bytes.
//!
//! `PUT /put` and `/part` carry bytes and say in the header `cf-r2-request` what they are for; `POST /get`
//! gives bytes and says in `cf-r2-object` what they are; all else is JSON both ways. Limits and refusals are
//! those of the R2 documentation (`asked`).
//!
//! Invariant: an object is there whole, with its metadata, or as it was before. What a reader has begun to
//! read it reads to the end.

mod asked;
mod blobs;
mod digests;
mod s3;

pub use s3::{S3Error, S3Options};

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use mayfly_exchange::{BoxFuture, Failure, Request, Response, Service};
use mayfly_store::r2::{Bucket, Entry, Meta, Part, Question, Segment, Upload, Written};
use mayfly_store::{Store, StoreError};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::answer::{BodyError, Refusal, empty, head, header, internal, json, read_body};
use asked::{
    Checksums, CompleteAsked, DELETE_MAX, DeleteAsked, GetAsked, LIST_MAX, ListAsked,
    OBJECT_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, PartAsked, PutAsked, R2Error, UPLOAD_BYTES_MAX,
    UploadAsked, check_key, header_range,
};
use blobs::{Place, Shelf};
use digests::{Digests, etag_of_parts};

/// Bytes of a question: the parts of an upload are the longest.
const QUESTION_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Bytes of keys and metadata of one list; where they are more, it has fewer entries than asked for.
const LIST_BYTES_MAX: usize = 1024 * 1024;
/// Bodies that a bucket takes at once; further ones wait.
pub const WRITES_MAX: usize = 64;
/// The same over S3, where each has more in memory.
pub const S3_WRITES_MAX: usize = 16;

/// See the file's head.
#[derive(Debug)]
pub struct R2Service {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shelf: Arc<Shelf>,
    writes: Semaphore,
}

/// Why a request has no answer but an error.
enum Wrong {
    Refused(R2Error),
    Unknown(Refusal),
    Failed(Failure),
}

impl From<R2Error> for Wrong {
    fn from(error: R2Error) -> Self {
        Self::Refused(error)
    }
}

impl From<StoreError> for Wrong {
    fn from(error: StoreError) -> Self {
        Self::Failed(internal("the R2 bucket cannot be used", &error))
    }
}

/// Why a bucket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    S3(#[from] S3Error),
    /// The settings name another place than the one where the bytes are.
    #[error(
        "its bytes are {before}, and the configuration has them {now}: put the setting back, or delete the bucket"
    )]
    Elsewhere { before: String, now: String },
}

impl R2Service {
    /// Opens or makes the bucket `name`, a plain file name; its bytes are where `s3` says, or else in the
    /// state.
    pub fn open(store: &Store, name: &str, s3: Option<&S3Options>) -> Result<Self, OpenError> {
        let index = Bucket::open(store, name, now_ms())?;
        let now = s3.map_or("in the state folder".to_owned(), S3Options::place);
        if let Some(before) = index.settle_in(&now)? {
            return Err(OpenError::Elsewhere { before, now });
        }
        let place = match s3 {
            Some(options) => Place::S3(s3::connect(options)?),
            None => store.blobs(name)?.map_or(Place::Memory, Place::Folder),
        };
        let writes = match place {
            Place::S3(_) => S3_WRITES_MAX,
            _ => WRITES_MAX,
        };
        Ok(Self {
            inner: Arc::new(Inner {
                shelf: Shelf::open(index, place)?,
                writes: Semaphore::new(writes),
            }),
        })
    }
}

impl Service for R2Service {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            match inner.answer(request).await {
                Ok(response) => Ok(response),
                Err(Wrong::Refused(error)) => Ok(error.response()),
                Err(Wrong::Unknown(refusal)) => Ok(refusal.response()),
                Err(Wrong::Failed(failure)) => Err(failure),
            }
        })
    }
}

impl Inner {
    async fn answer(&self, request: Request) -> Result<Response, Wrong> {
        let url = url::Url::parse(&request.head.url)
            .map_err(|_| Wrong::Unknown(Refusal::new(400, "Invalid URL")))?;
        match (request.head.method.as_str(), url.path()) {
            ("POST", "/head") => self.head(question(request).await?).await,
            ("POST", "/get") => self.get(question(request).await?).await,
            ("PUT", "/put") => self.put(announced(&request)?, request).await,
            ("POST", "/delete") => self.delete(question(request).await?).await,
            ("POST", "/list") => self.list(question(request).await?).await,
            ("POST", "/upload") => self.create_upload(question(request).await?).await,
            ("PUT", "/part") => self.add_part(announced(&request)?, request).await,
            ("POST", "/complete") => self.complete(question(request).await?).await,
            ("POST", "/abort") => self.abort(question(request).await?).await,
            _ => Err(Wrong::Unknown(Refusal::new(405, "Method Not Allowed"))),
        }
    }

    /// SQLite waits for the disk, which is not for the threads that serve sockets.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shelf>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Wrong> {
        let shelf = self.shelf.clone();
        let done = tokio::task::spawn_blocking(move || work(&shelf)).await;
        let done = done.map_err(|error| Wrong::Failed(internal("an R2 request broke off", &error)));
        Ok(done??)
    }

    async fn head(&self, asked: GetAsked) -> Result<Response, Wrong> {
        check_key(&asked.key)?;
        let key = asked.key.clone();
        let found = self.on_disk(move |shelf| shelf.index.head(&key)).await?;
        Ok(match found {
            Some(meta) => json(&object(&asked.key, &meta)),
            None => empty(404),
        })
    }

    async fn get(&self, asked: GetAsked) -> Result<Response, Wrong> {
        check_key(&asked.key)?;
        let key = asked.key.clone();
        let Some((meta, reader)) = self.on_disk(move |shelf| shelf.look(&key)).await? else {
            return Ok(empty(404));
        };
        let conditions = asked.only_if.as_ref();
        if conditions.is_some_and(|only| !only.pass(Some((&meta.etag, meta.uploaded)))) {
            let mut response = R2Error::precondition_failed().response();
            announce(&mut response, &object(&asked.key, &meta));
            return Ok(response);
        }
        let (offset, length) = match (&asked.range_header, &asked.range) {
            (Some(header), _) => header_range(header, meta.size).unwrap_or((0, meta.size)),
            (None, Some(range)) => range.within(meta.size)?,
            (None, None) => (0, meta.size),
        };
        let mut answer = object(&asked.key, &meta);
        answer["range"] = json!({ "offset": offset, "length": length });
        let mut response = Response {
            head: head(200),
            body: reader.body(offset, length),
        };
        announce(&mut response, &answer);
        Ok(response)
    }

    async fn put(&self, asked: PutAsked, request: Request) -> Result<Response, Wrong> {
        let storage_class = asked.check()?;
        // What fails already need not be sent.
        if let Some(only) = asked.only_if.clone() {
            let key = asked.key.clone();
            let now = self.on_disk(move |shelf| shelf.index.head(&key)).await?;
            if !only.pass(tag(now.as_ref())) {
                return Err(R2Error::precondition_failed().into());
            }
        }
        // The semaphore is never closed.
        let _turn = self.writes.acquire().await;
        let (draft, version) = self
            .on_disk(|shelf| Ok((shelf.draft()?, shelf.index.fresh_name()?)))
            .await?;
        let mut digests = Digests::new(&asked.checksums);
        let segment = draft
            .write(request.body, UPLOAD_BYTES_MAX, &mut digests)
            .await?;
        let (etag, checksums) = digests.finish(&asked.checksums)?;
        let meta = Meta {
            version,
            size: segment.size,
            etag,
            uploaded: now_ms(),
            storage_class,
            checksums: text(&checksums),
            http: text(&asked.http),
            custom: text(&asked.custom),
        };
        let (key, kept, only) = (asked.key.clone(), meta.clone(), asked.only_if);
        let done = self
            .on_disk(move |shelf| {
                let passes =
                    |now: Option<&Meta>| only.as_ref().is_none_or(|only| only.pass(tag(now)));
                let written = shelf.index.put(&key, &kept, &[segment], passes)?;
                Ok(draft.settle(written))
            })
            .await?;
        match done {
            true => Ok(json(&object(&asked.key, &meta))),
            false => Err(R2Error::precondition_failed().into()),
        }
    }

    async fn delete(&self, asked: DeleteAsked) -> Result<Response, Wrong> {
        if asked.keys.len() > DELETE_MAX {
            let why = format!(
                "At most {DELETE_MAX} keys can be deleted at once, not {}.",
                asked.keys.len()
            );
            return Err(R2Error::invalid_argument(why).into());
        }
        for key in &asked.keys {
            check_key(key)?;
        }
        self.on_disk(move |shelf| {
            let keys = asked.keys.iter().map(String::as_str);
            shelf.sweep(shelf.index.delete(keys)?);
            Ok(())
        })
        .await?;
        Ok(empty(200))
    }

    async fn list(&self, asked: ListAsked) -> Result<Response, Wrong> {
        let limit = match asked.limit {
            None => LIST_MAX,
            Some(limit) => usize::try_from(limit)
                .ok()
                .filter(|limit| (1..=LIST_MAX).contains(limit))
                .ok_or_else(R2Error::invalid_max_keys)?,
        };
        let mut from = match &asked.cursor {
            Some(cursor) => BASE64_URL_SAFE_NO_PAD
                .decode(cursor)
                .map_err(|_| R2Error::invalid_argument("The cursor is not one of a list."))?,
            None => Vec::new(),
        };
        if let Some(after) = &asked.start_after {
            // The first bytes after those of the key itself.
            let after = [after.as_bytes(), &[0]].concat();
            from = from.max(after);
        }
        let (entries, next) = self
            .on_disk(move |shelf| {
                shelf.index.list(&Question {
                    prefix: asked.prefix.as_deref().unwrap_or_default(),
                    delimiter: asked.delimiter.as_deref(),
                    from: &from,
                    limit,
                    bytes: LIST_BYTES_MAX,
                    http: asked.http,
                    custom: asked.custom,
                })
            })
            .await?;
        let mut objects = Vec::new();
        let mut prefixes = Vec::new();
        for entry in entries {
            match entry {
                Entry::Object(key, meta) => objects.push(object(&key, &meta)),
                Entry::Prefix(prefix) => prefixes.push(Value::String(prefix)),
            }
        }
        let mut answer = json!({
            "objects": objects,
            "delimitedPrefixes": prefixes,
            "truncated": next.is_some(),
        });
        if let Some(next) = next {
            answer["cursor"] = BASE64_URL_SAFE_NO_PAD.encode(next).into();
        }
        Ok(json(&answer))
    }

    async fn create_upload(&self, asked: UploadAsked) -> Result<Response, Wrong> {
        let upload = Upload {
            open: true,
            storage_class: asked.check()?,
            http: text(&asked.http),
            custom: text(&asked.custom),
            parts: Vec::new(),
        };
        let id = self
            .on_disk(move |shelf| {
                let id = shelf.index.fresh_name()?;
                shelf
                    .index
                    .create_upload(&id, &asked.key, &upload, now_ms())?;
                Ok(id)
            })
            .await?;
        Ok(json(&json!({ "uploadId": id })))
    }

    async fn add_part(&self, asked: PartAsked, request: Request) -> Result<Response, Wrong> {
        check_key(&asked.key)?;
        let number = asked
            .part_number
            .filter(|number| (1..=PARTS_MAX).contains(number))
            .ok_or_else(|| {
                let why = format!("Part number must be between 1 and {PARTS_MAX} (inclusive).");
                R2Error::invalid_argument(why)
            })?;
        let (id, key) = (asked.upload_id.clone(), asked.key.clone());
        let upload = self.on_disk(move |shelf| shelf.index.upload(&id, &key));
        if !upload.await?.is_some_and(|upload| upload.open) {
            return Err(R2Error::no_such_upload().into());
        }
        // The semaphore is never closed.
        let _turn = self.writes.acquire().await;
        let draft = self.on_disk(|shelf| shelf.draft()).await?;
        let nothing = Checksums::default();
        let mut digests = Digests::new(&nothing);
        let segment = draft
            .write(request.body, UPLOAD_BYTES_MAX, &mut digests)
            .await?;
        let (etag, _) = digests.finish(&nothing)?;
        let part = Part {
            number,
            etag: etag.clone(),
            segment,
        };
        let done = self
            .on_disk(move |shelf| {
                let index = &shelf.index;
                let written = index.add_part(&asked.upload_id, &asked.key, &part)?;
                Ok(draft.settle(written))
            })
            .await?;
        match done {
            true => Ok(json(&json!({ "etag": etag }))),
            false => Err(R2Error::no_such_upload().into()),
        }
    }

    async fn complete(&self, asked: CompleteAsked) -> Result<Response, Wrong> {
        check_key(&asked.key)?;
        let key = asked.key.clone();
        let done = self
            .on_disk(move |shelf| {
                let version = shelf.index.fresh_name()?;
                let (id, key) = (&asked.upload_id, &asked.key);
                let choose = |upload: Option<&Upload>| choose(upload, &asked, version);
                let done = shelf.index.complete(id, key, choose)?;
                Ok(done.map(|(meta, old)| {
                    shelf.sweep(old);
                    meta
                }))
            })
            .await?;
        Ok(json(&object(&key, &done?)))
    }

    async fn abort(&self, asked: PartAsked) -> Result<Response, Wrong> {
        check_key(&asked.key)?;
        let known = self
            .on_disk(
                move |shelf| match shelf.index.abort(&asked.upload_id, &asked.key)? {
                    Written::Done(old) => {
                        shelf.sweep(old);
                        Ok(true)
                    }
                    Written::Refused => Ok(false),
                },
            )
            .await?;
        match known {
            true => Ok(empty(200)),
            false => Err(R2Error::no_such_upload().into()),
        }
    }
}

/// The object that parts make, if they are those of the upload.
fn choose(
    upload: Option<&Upload>,
    asked: &CompleteAsked,
    version: String,
) -> Result<(Meta, Vec<Segment>), R2Error> {
    let upload = upload
        .filter(|upload| upload.open)
        .ok_or_else(R2Error::no_such_upload)?;
    let mut named: Vec<_> = asked.parts.iter().collect();
    named.sort_by_key(|part| part.part_number);
    let twice = named.windows(2).any(|pair| {
        pair.first().map(|part| part.part_number) == pair.last().map(|part| part.part_number)
    });
    if named.is_empty() || twice {
        return Err(R2Error::invalid_part());
    }
    let mut chosen = Vec::with_capacity(named.len());
    for part in named {
        let found = upload
            .parts
            .binary_search_by_key(&part.part_number, |known| known.number)
            .ok()
            .and_then(|at| upload.parts.get(at))
            .filter(|known| known.etag == part.etag)
            .ok_or_else(R2Error::invalid_part)?;
        chosen.push(found);
    }
    if let Some((last, others)) = chosen.split_last() {
        let first = others.first().map(|part| part.segment.size);
        for part in others {
            if part.segment.size < PART_BYTES_MIN {
                return Err(R2Error::entity_too_small());
            }
            if Some(part.segment.size) != first {
                return Err(R2Error::uneven_parts());
            }
        }
        if first.is_some_and(|first| last.segment.size > first) {
            return Err(R2Error::uneven_parts());
        }
    }
    let size = chosen
        .iter()
        .fold(0_u64, |sum, part| sum.saturating_add(part.segment.size));
    if size > OBJECT_BYTES_MAX {
        return Err(R2Error::entity_too_large());
    }
    let meta = Meta {
        version,
        size,
        etag: etag_of_parts(chosen.iter().map(|part| part.etag.as_str())),
        uploaded: now_ms(),
        storage_class: upload.storage_class.clone(),
        checksums: text(&Checksums::default()),
        http: upload.http.clone(),
        custom: upload.custom.clone(),
    };
    let segments = chosen.iter().map(|part| part.segment.clone()).collect();
    Ok((meta, segments))
}

/// What conditions look at.
fn tag(meta: Option<&Meta>) -> Option<(&str, i64)> {
    meta.map(|meta| (meta.etag.as_str(), meta.uploaded))
}

/// An object as the platform reads it. Metadata that was left out is absent.
fn object(key: &str, meta: &Meta) -> Value {
    let mut answer = json!({
        "key": key,
        "version": meta.version,
        "size": meta.size,
        "etag": meta.etag,
        "uploaded": meta.uploaded,
        "storageClass": meta.storage_class,
        "checksums": parsed(&meta.checksums),
    });
    if !meta.http.is_empty() {
        answer["http"] = parsed(&meta.http);
    }
    if !meta.custom.is_empty() {
        answer["custom"] = parsed(&meta.custom);
    }
    answer
}

/// JSON that [`text`] wrote.
fn parsed(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

fn text(value: &impl serde::Serialize) -> String {
    // Strings, numbers and lists of them have no other form.
    serde_json::to_string(value).unwrap_or_default()
}

fn announce(response: &mut Response, object: &Value) {
    let encoded = utf8_percent_encode(&object.to_string(), NON_ALPHANUMERIC).to_string();
    let headers = &mut response.head.headers;
    headers.push(("cf-r2-object".to_owned(), encoded));
}

/// What the header says that comes with bytes.
fn announced<T: DeserializeOwned>(request: &Request) -> Result<T, Wrong> {
    let encoded = header(request, "cf-r2-request").unwrap_or_default();
    let decoded: Vec<u8> = percent_decode_str(encoded).collect();
    parse(&decoded)
}

async fn question<T: DeserializeOwned>(request: Request) -> Result<T, Wrong> {
    match read_body(request.body, QUESTION_BYTES_MAX).await {
        Ok(body) => parse(&body),
        Err(BodyError::TooLong) => {
            let why = format!("A request has more than {QUESTION_BYTES_MAX} bytes.");
            Err(R2Error::invalid_argument(why).into())
        }
        Err(BodyError::Failed(failure)) => Err(Wrong::Failed(failure)),
    }
}

fn parse<T: DeserializeOwned>(json: &[u8]) -> Result<T, Wrong> {
    serde_json::from_slice(json).map_err(|error| {
        R2Error::invalid_argument(format!("The request is not one of R2's: {error}")).into()
    })
}

/// Milliseconds since the epoch.
fn now_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
