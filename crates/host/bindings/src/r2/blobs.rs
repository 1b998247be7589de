//! The bytes of a bucket: files, memory, or an S3-compatible bucket, through `object_store`.
//!
//! A blob is written once, whole or not at all, and never changed. It goes when nothing names it any more and
//! nobody reads it. What is doomed and still there when a bucket is opened (its host was killed) goes then.
//!
//! Invariant: at most one piece of a blob that is written is in memory, and of one that is read no more than
//! [`READ_BYTES`] beside the channel's own bound.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use mayfly_exchange::{Body, BodyReader, BodyWriter, Failure, body_channel};
use mayfly_store::StoreError;
use mayfly_store::r2::{Bucket, Meta, Segment, Written};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    GetOptions, GetRange, GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt as _,
};

use super::Wrong;
use super::asked::R2Error;
use super::digests::Digests;
use crate::answer::internal;

/// Bytes that are written at once.
const PIECE_BYTES: usize = 1024 * 1024;
/// The same over S3, where the parts of an upload are not smaller.
const S3_PIECE_BYTES: usize = 5 * 1024 * 1024;
/// Bytes of a file that are read at once.
const READ_BYTES: usize = 256 * 1024;
/// Bytes that a body's channel takes at once.
const CHUNK_BYTES: usize = 64 * 1024;
/// Time in which an upload must bring at least a byte: whoever brings none is in the way of all who write
/// to the bucket.
const UPLOAD_WAIT: Duration = Duration::from_secs(30);

/// Where the bytes of a bucket are to be.
pub enum Place {
    Folder(PathBuf),
    Memory,
    S3(Arc<dyn ObjectStore>),
}

/// See the file's head.
pub struct Shelf {
    pub index: Bucket,
    blobs: Arc<dyn ObjectStore>,
    piece: usize,
    reading: Mutex<HashMap<String, Reading>>,
}

/// How many read a blob, and whether it is to go when they have.
#[derive(Default)]
struct Reading {
    readers: usize,
    condemned: bool,
}

impl Shelf {
    /// Opens what `index` knows, and removes what it knows to be doomed.
    pub fn open(index: Bucket, place: Place) -> Result<Arc<Self>, StoreError> {
        let doomed = index.doomed()?;
        let (blobs, piece): (Arc<dyn ObjectStore>, _) = match &place {
            Place::Folder(folder) => {
                let opened = LocalFileSystem::new_with_prefix(folder);
                let opened = opened.map_err(|error| StoreError::File {
                    path: folder.clone(),
                    source: error.into(),
                })?;
                for blob in &doomed {
                    remove_leftovers(folder, blob)?;
                }
                index.forget(&doomed)?;
                (Arc::new(opened.with_fsync(true)), PIECE_BYTES)
            }
            Place::Memory => (Arc::new(InMemory::new()), PIECE_BYTES),
            Place::S3(blobs) => (blobs.clone(), S3_PIECE_BYTES),
        };
        let shelf = Arc::new(Self {
            index,
            blobs,
            piece,
            reading: Mutex::default(),
        });
        if matches!(place, Place::S3(_)) {
            shelf.sweep(doomed);
        }
        Ok(shelf)
    }

    fn reading(&self) -> MutexGuard<'_, HashMap<String, Reading>> {
        self.reading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An object and its blobs, which stay as long as the reader does.
    pub fn look(self: &Arc<Self>, key: &str) -> Result<Option<(Meta, Reader)>, StoreError> {
        // Under the lock, so that nothing that the index still names goes in between.
        let mut reading = self.reading();
        let Some((meta, segments)) = self.index.get(key)? else {
            return Ok(None);
        };
        for segment in &segments {
            reading.entry(segment.blob.clone()).or_default().readers += 1;
        }
        drop(reading);
        let reader = Reader {
            shelf: self.clone(),
            segments,
        };
        Ok(Some((meta, reader)))
    }

    /// A new blob, doomed until an object has it.
    pub fn draft(self: &Arc<Self>) -> Result<Draft, StoreError> {
        let blob = self.index.fresh_name()?;
        self.index.begin(&blob)?;
        Ok(Draft {
            shelf: self.clone(),
            blob,
            kept: false,
        })
    }

    /// Deletes blobs that nothing names, without anybody waiting for it.
    pub fn sweep(self: &Arc<Self>, blobs: Vec<String>) {
        if blobs.is_empty() {
            return;
        }
        // Outside a runtime the host is ending; they go when the bucket is opened again.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.clone().delete(blobs));
        }
    }

    async fn delete(self: Arc<Self>, blobs: Vec<String>) {
        let mut gone = Vec::with_capacity(blobs.len());
        for blob in blobs {
            if let Some(read) = self.reading().get_mut(&blob) {
                read.condemned = true;
                continue;
            }
            match self.blobs.delete(&path_of(&blob)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => gone.push(blob),
                Err(error) => tracing::warn!(%error, blob, "a blob that nothing names stays"),
            }
        }
        let forgotten = tokio::task::spawn_blocking(move || self.index.forget(&gone)).await;
        if let Ok(Err(error)) = forgotten {
            tracing::warn!(%error, "blobs that are gone are still listed");
        }
    }

    async fn read(
        &self,
        segment: &Segment,
        offset: u64,
        length: u64,
        to: &BodyWriter,
    ) -> Result<Flow, object_store::Error> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(offset..offset + length)),
            ..GetOptions::default()
        };
        let found = self
            .blobs
            .get_opts(&path_of(&segment.blob), options)
            .await?;
        match found.payload {
            GetResultPayload::File(file, path) => read_file(file, path, offset, length, to).await,
            GetResultPayload::Stream(mut stream) => {
                while let Some(piece) = stream.next().await {
                    if hand_over(piece?, to).await == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::Go)
            }
        }
    }
}

/// Whether the reader wants more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Go,
    Stop,
}

async fn hand_over(mut piece: Bytes, to: &BodyWriter) -> Flow {
    while !piece.is_empty() {
        let chunk = piece.split_to(piece.len().min(CHUNK_BYTES));
        if to.write(chunk).await.is_err() {
            return Flow::Stop;
        }
    }
    Flow::Go
}

async fn read_file(
    file: File,
    path: PathBuf,
    offset: u64,
    length: u64,
    to: &BodyWriter,
) -> Result<Flow, object_store::Error> {
    let file = Arc::new(file);
    let failed = |source: std::io::Error| object_store::Error::Generic {
        store: "files",
        source: format!("{}: {source}", path.display()).into(),
    };
    let mut done = 0;
    while done < length {
        let from = file.clone();
        let count = (length - done).min(READ_BYTES as u64);
        let at = offset + done;
        let read = move || {
            let mut piece = vec![0; usize::try_from(count).unwrap_or(READ_BYTES)];
            from.read_exact_at(&mut piece, at).map(|()| piece)
        };
        // The runtime breaks a read off only when it ends itself.
        let piece = tokio::task::spawn_blocking(read)
            .await
            .map_err(|error| failed(std::io::Error::other(error)))?
            .map_err(failed)?;
        done += count;
        if hand_over(Bytes::from(piece), to).await == Flow::Stop {
            return Ok(Flow::Stop);
        }
    }
    Ok(Flow::Go)
}

/// Where a blob is: a folder for each beginning, so that none is large.
fn path_of(blob: &str) -> ObjectPath {
    let folder = blob.get(..2).unwrap_or_default();
    ObjectPath::from_iter([folder, blob])
}

/// A doomed blob, or the beginning of one, which `object_store` writes beside it.
fn remove_leftovers(folder: &Path, blob: &str) -> Result<(), StoreError> {
    let whole = folder.join(path_of(blob).as_ref());
    let mut staged = whole.clone().into_os_string();
    staged.push("#1");
    for path in [whole, PathBuf::from(staged)] {
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Holds the blobs of an object.
pub struct Reader {
    shelf: Arc<Shelf>,
    segments: Vec<Segment>,
}

impl Reader {
    /// `length` bytes from `offset` on.
    pub fn body(self, offset: u64, length: u64) -> Body {
        if length == 0 {
            return Body::Full(Bytes::new());
        }
        let (writer, reader) = body_channel();
        tokio::spawn(async move {
            match self.send(offset, length, &writer).await {
                Ok(Flow::Go) => writer.finish().await,
                Ok(Flow::Stop) => {}
                Err(error) => writer.fail(unreadable(&error)).await,
            }
        });
        Body::Stream {
            reader,
            length: Some(length),
        }
    }

    async fn send(
        &self,
        mut offset: u64,
        mut length: u64,
        to: &BodyWriter,
    ) -> Result<Flow, object_store::Error> {
        for segment in &self.segments {
            if length == 0 {
                break;
            }
            if offset >= segment.size {
                offset -= segment.size;
                continue;
            }
            let here = length.min(segment.size - offset);
            if self.shelf.read(segment, offset, here, to).await? == Flow::Stop {
                return Ok(Flow::Stop);
            }
            offset = 0;
            length -= here;
        }
        Ok(Flow::Go)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut reading = self.shelf.reading();
        let mut condemned = Vec::new();
        for segment in &self.segments {
            let Some(read) = reading.get_mut(&segment.blob) else {
                continue;
            };
            read.readers = read.readers.saturating_sub(1);
            if read.readers > 0 {
                continue;
            }
            if read.condemned {
                condemned.push(segment.blob.clone());
            }
            reading.remove(&segment.blob);
        }
        drop(reading);
        self.shelf.sweep(condemned);
    }
}

fn unreadable(error: &object_store::Error) -> Failure {
    internal("an object cannot be read", error)
}

/// A blob that is written; what is not kept goes.
pub struct Draft {
    shelf: Arc<Shelf>,
    blob: String,
    kept: bool,
}

impl Draft {
    /// Writes all of `body`, at most `most` bytes, and says how many they were.
    pub async fn write(
        &self,
        body: Body,
        most: u64,
        digests: &mut Digests,
    ) -> Result<Segment, Wrong> {
        let mut reader = match body {
            Body::Stream { length, .. } if length.is_some_and(|length| length > most) => {
                return Err(R2Error::entity_too_large().into());
            }
            Body::Stream { reader, .. } => reader,
            Body::Full(bytes) => {
                digests.update(&bytes);
                return self.write_whole(bytes).await;
            }
            // A request has no socket for a body.
            Body::Empty | Body::Socket(_) => return self.write_whole(Bytes::new()).await,
        };
        let mut upload: Option<Box<dyn MultipartUpload>> = None;
        let mut piece = BytesMut::new();
        let mut size = 0_u64;
        while let Some(chunk) = next_chunk(&mut reader, UPLOAD_WAIT).await? {
            size = size.saturating_add(chunk.len() as u64);
            if size > most {
                return Err(R2Error::entity_too_large().into());
            }
            digests.update(&chunk);
            piece.extend_from_slice(&chunk);
            if piece.len() >= self.shelf.piece {
                let upload = match &mut upload {
                    Some(upload) => upload,
                    None => {
                        let begun = self.shelf.blobs.put_multipart(&path_of(&self.blob)).await;
                        upload.insert(begun.map_err(unwritable)?)
                    }
                };
                let whole = piece.split().freeze();
                upload.put_part(whole.into()).await.map_err(unwritable)?;
            }
        }
        let Some(mut upload) = upload else {
            return self.write_whole(piece.freeze()).await;
        };
        if !piece.is_empty() {
            let rest = piece.freeze();
            upload.put_part(rest.into()).await.map_err(unwritable)?;
        }
        upload.complete().await.map_err(unwritable)?;
        Ok(self.segment(size))
    }

    async fn write_whole(&self, bytes: Bytes) -> Result<Segment, Wrong> {
        let size = bytes.len() as u64;
        let written = self
            .shelf
            .blobs
            .put(&path_of(&self.blob), bytes.into())
            .await;
        written.map_err(unwritable)?;
        Ok(self.segment(size))
    }

    fn segment(&self, size: u64) -> Segment {
        Segment {
            blob: self.blob.clone(),
            size,
        }
    }

    /// Says what came of the write that was to name it: whether an object or an upload has it now. Belongs
    /// right behind that write, on its thread, so that no request that is broken off comes in between.
    pub fn settle(mut self, written: Written) -> bool {
        let Written::Done(old) = written else {
            return false;
        };
        self.kept = true;
        self.shelf.sweep(old);
        true
    }
}

/// The next bytes of an upload; an error where none come in time.
async fn next_chunk(reader: &mut BodyReader, wait: Duration) -> Result<Option<Bytes>, Wrong> {
    let arrival = async {
        loop {
            match reader.next().await {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                other => return other.transpose().map_err(Wrong::Failed),
            }
        }
    };
    match tokio::time::timeout(wait, arrival).await {
        Ok(chunk) => chunk,
        Err(_) => Err(R2Error::upload_stalled(wait).into()),
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        let blob = std::mem::take(&mut self.blob);
        // A thread may still be writing it. So it stays doomed, and goes for good when the bucket is opened.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let blobs = self.shelf.blobs.clone();
            runtime.spawn(async move { blobs.delete(&path_of(&blob)).await });
        }
    }
}

fn unwritable(error: object_store::Error) -> Wrong {
    Wrong::Failed(internal("an object cannot be written", &error))
}

impl std::fmt::Debug for Shelf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shelf")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_upload_that_brings_nothing_is_refused_and_a_slow_one_is_not() {
        let wait = Duration::from_millis(400);
        let (writer, mut reader) = body_channel();
        let sent = async {
            // Longer than the wait in all, and never between two chunks.
            for _ in 0..6 {
                tokio::time::sleep(wait / 4).await;
                writer.write(Bytes::from_static(b"x")).await.unwrap();
            }
        };
        let read = async {
            let mut bytes = 0;
            loop {
                match next_chunk(&mut reader, wait).await {
                    Ok(Some(chunk)) => bytes += chunk.len(),
                    Ok(None) => panic!("it has not ended"),
                    Err(wrong) => return (bytes, wrong),
                }
            }
        };
        let ((), (bytes, wrong)) = tokio::join!(sent, read);
        assert_eq!(bytes, 6);
        let Wrong::Refused(error) = wrong else {
            panic!("not a refusal");
        };
        assert_eq!(error, R2Error::upload_stalled(wait));
        // Empty chunks are no progress.
        let empty = async {
            while writer.write(Bytes::new()).await.is_ok() {
                tokio::time::sleep(wait / 8).await;
            }
        };
        tokio::select! {
            () = empty => panic!("nobody reads"),
            stalled = next_chunk(&mut reader, wait) => assert!(stalled.is_err()),
        }
    }
}
