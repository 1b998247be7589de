//! Static assets: the files of a folder, by the path of a URL.
//!
//! The folder is listed once, at the start, so a request can name nothing that is not a file in it.
//! `html_handling` and `not_found_handling` are those of the Workers documentation; `rules` has the
//! files `_headers` and `_redirects`. Serves `GET` and `HEAD`, with entity tags; ranges are not
//! served.
//!
//! Invariant: a path that is not in the list reaches no file, whatever it is made of.

mod rules;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use bytes::{Bytes, BytesMut};
use mayfly_config::{HtmlHandling, NotFoundHandling, WorkerFirst};
use mayfly_exchange::{
    Body, BoxFuture, Failure, Request, Response, Service, SharedService, body_channel,
};
use mayfly_wire::bounds::CHUNK_BYTES_MAX;
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use thiserror::Error;
use tokio::io::AsyncReadExt as _;

use self::rules::Rules;
use crate::answer::{empty, head, header, internal};

/// Files of one folder. Cloudflare's largest plan allows as many.
pub const FILES_MAX: usize = 100_000;
/// Folders within each other.
const DEPTH_MAX: usize = 64;

/// Files that say something about the others and are none themselves.
const NOT_SERVED: [&str; 4] = [".assetsignore", "_headers", "_redirects", "_worker.js"];

/// What a path may not hold as it is.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Why a folder cannot be served.
#[derive(Debug, Error)]
pub enum AssetsError {
    /// A folder or file of it.
    #[error("cannot read the assets in {path}: {source}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Too many.
    #[error("{path} has more than {FILES_MAX} files")]
    TooMany {
        /// The folder.
        path: PathBuf,
    },
    /// Too deep.
    #[error("{path} is more than {DEPTH_MAX} folders deep")]
    TooDeep {
        /// The folder that is.
        path: PathBuf,
    },
}

#[derive(Debug)]
struct File {
    path: PathBuf,
    bytes: u64,
    etag: String,
}

/// See the file's head.
#[derive(Debug, Clone)]
pub struct Assets {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// By decoded path with its leading slash.
    files: BTreeMap<String, File>,
    html: HtmlHandling,
    not_found: NotFoundHandling,
    rules: Rules,
}

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
enum Found<'a> {
    /// The file of this name, with this status.
    File(&'a str, u16),
    /// Elsewhere.
    Redirect(String),
    Nothing,
}

impl Assets {
    /// Lists `folder`.
    pub fn open(
        folder: &Path,
        html: HtmlHandling,
        not_found: NotFoundHandling,
    ) -> Result<Self, AssetsError> {
        let mut files = BTreeMap::new();
        list(folder, folder, 0, &mut files)?;
        let (rules, left_out) = Rules::read(folder).map_err(|source| {
            let path = folder.to_owned();
            AssetsError::Read { path, source }
        })?;
        for line in left_out {
            tracing::warn!("{line}");
        }
        Ok(Self {
            inner: Arc::new(Inner {
                files,
                html,
                not_found,
                rules,
            }),
        })
    }

    /// How many files there are.
    pub fn count(&self) -> usize {
        self.inner.files.len()
    }

    /// In front of `worker`: files where there are some, the Worker for the rest.
    pub fn before(self, worker: Option<SharedService>, first: WorkerFirst) -> SharedService {
        Arc::new(Before {
            assets: self,
            worker,
            first,
        })
    }
}

fn list(
    root: &Path,
    folder: &Path,
    depth: usize,
    files: &mut BTreeMap<String, File>,
) -> Result<(), AssetsError> {
    if depth > DEPTH_MAX {
        let path = folder.to_owned();
        return Err(AssetsError::TooDeep { path });
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| AssetsError::Read { path, source }
    };
    for entry in std::fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        // Of a symbolic link, what it leads to: the operator made it.
        let data = std::fs::metadata(&path).map_err(failed(&path))?;
        if data.is_dir() {
            list(root, &path, depth + 1, files)?;
            continue;
        }
        let name = path.file_name().unwrap_or_default();
        if !data.is_file() || NOT_SERVED.iter().any(|one| *one == name) {
            continue;
        }
        if files.len() >= FILES_MAX {
            let path = root.to_owned();
            return Err(AssetsError::TooMany { path });
        }
        let Some(key) = url_path(root, &path) else {
            tracing::warn!(path = %path.display(), "is not served: its name is not UTF-8");
            continue;
        };
        let changed = data.modified().ok();
        let changed = changed.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
        let changed = changed.map_or(0, |at| at.as_nanos());
        let bytes = data.len();
        let etag = format!("\"{changed:x}-{bytes:x}\"");
        files.insert(key, File { path, bytes, etag });
    }
    Ok(())
}

fn url_path(root: &Path, file: &Path) -> Option<String> {
    let mut path = String::new();
    for part in file.strip_prefix(root).ok()?.components() {
        write!(path, "/{}", part.as_os_str().to_str()?).ok()?;
    }
    Some(path)
}

impl Inner {
    /// What a decoded path leads to; `Nothing` where only `not_found_handling` could answer.
    fn find(&self, path: &str) -> Found<'_> {
        match self.html {
            HtmlHandling::None => self.exact(path).unwrap_or(Found::Nothing),
            HtmlHandling::AutoTrailingSlash => self.auto(path),
            HtmlHandling::ForceTrailingSlash => self.slashed(path, true),
            HtmlHandling::DropTrailingSlash => self.slashed(path, false),
        }
    }

    fn exact(&self, path: &str) -> Option<Found<'_>> {
        let (name, _) = self.files.get_key_value(path)?;
        Some(Found::File(name, 200))
    }

    /// The bare path of a page: without `.html`, `/index` and trailing slashes.
    fn bare(path: &str) -> &str {
        let path = path.strip_suffix(".html").unwrap_or(path);
        let path = path.strip_suffix("/index").unwrap_or(path);
        path.trim_end_matches('/')
    }

    fn auto(&self, path: &str) -> Found<'_> {
        if !path.ends_with(".html")
            && let Some(found) = self.exact(path)
        {
            return found;
        }
        let bare = Self::bare(path);
        let page = format!("{bare}.html");
        let index = format!("{bare}/index.html");
        // Each page has one address; other ways to write it lead there.
        if !bare.is_empty()
            && let Some(found) = self.exact(&page)
            && !(path.ends_with('/') && self.files.contains_key(&index))
        {
            return to(path, bare.to_owned(), found);
        }
        match self.exact(&index) {
            Some(found) => to(path, format!("{bare}/"), found),
            None => Found::Nothing,
        }
    }

    fn slashed(&self, path: &str, slash: bool) -> Found<'_> {
        if !path.ends_with(".html")
            && let Some(found) = self.exact(path)
        {
            return found;
        }
        let bare = Self::bare(path);
        let address = if slash || bare.is_empty() {
            format!("{bare}/")
        } else {
            bare.to_owned()
        };
        let page = self.exact(&format!("{bare}.html"));
        let page = page.filter(|_| !bare.is_empty());
        match page.or_else(|| self.exact(&format!("{bare}/index.html"))) {
            Some(found) => to(path, address, found),
            None => Found::Nothing,
        }
    }

    fn not_found(&self, path: &str) -> Found<'_> {
        match self.not_found {
            NotFoundHandling::None => Found::Nothing,
            NotFoundHandling::SinglePageApplication => {
                self.exact("/index.html").unwrap_or(Found::Nothing)
            }
            NotFoundHandling::NotFoundPage => {
                let mut folder = path;
                while let Some(at) = folder.rfind('/') {
                    folder = &folder[..at];
                    let page = self.files.get_key_value(&format!("{folder}/404.html"));
                    if let Some((name, _)) = page {
                        return Found::File(name, 404);
                    }
                }
                Found::Nothing
            }
        }
    }

    async fn serve(&self, name: &str, status: u16, request: &Request) -> Result<Response, Failure> {
        let Some(file) = self.files.get(name) else {
            return Ok(empty(404));
        };
        let mut head = head(status);
        let mut set = |name: &str, value: &str| {
            head.headers.push((name.to_owned(), value.to_owned()));
        };
        set("etag", &file.etag);
        set("cache-control", "public, max-age=0, must-revalidate");
        if let Some(address) = Address::of(request) {
            let Address { host, path } = &address;
            self.rules.change(host, path, &mut head.headers);
        }
        let known = header(request, "if-none-match").unwrap_or_default();
        let known = known
            .split(',')
            .map(|tag| tag.trim().trim_start_matches("W/"));
        if status == 200 && known.into_iter().any(|tag| tag == file.etag || tag == "*") {
            head.status = 304;
            return Ok(Response {
                head,
                body: Body::Empty,
            });
        }
        let kind = mime_guess::from_path(&file.path).first_or_octet_stream();
        let kind = match kind.type_() {
            mime_guess::mime::TEXT => format!("{kind}; charset=utf-8"),
            _ => kind.to_string(),
        };
        if !head.headers.iter().any(|(name, _)| name == "content-type") {
            head.headers.push(("content-type".to_owned(), kind));
        }
        // Whether the gateway may compress it on the way is the gateway's affair.
        head.encoded = false;
        let body = match request.head.method.as_str() {
            "HEAD" => Body::Empty,
            _ => read(file).await?,
        };
        Ok(Response { head, body })
    }

    /// Answers with a file or a redirect; `None` where there is nothing.
    async fn answer(
        &self,
        found: Found<'_>,
        request: &Request,
    ) -> Option<Result<Response, Failure>> {
        match found {
            Found::Nothing => None,
            Found::File(..) | Found::Redirect(_) if !is_read(request) => Some(Ok(empty(405))),
            Found::File(name, status) => Some(self.serve(name, status, request).await),
            Found::Redirect(path) => {
                let path = utf8_percent_encode(&path, PATH).to_string();
                Some(Ok(elsewhere(307, path, query(request).as_deref())))
            }
        }
    }

    /// What `_redirects` and the files say about an address; `None` where they say nothing.
    async fn route(
        &self,
        address: &Address,
        request: &Request,
    ) -> Option<Result<Response, Failure>> {
        let redirect = self.rules.redirect(&address.host, &address.path);
        let Some(redirect) = redirect else {
            return self.answer(self.find(&address.path), request).await;
        };
        if redirect.status == 200 {
            // Another file under this address; its own address does not matter.
            let path = percent_decode_str(&redirect.to).decode_utf8().ok()?;
            let name = match self.find(&path) {
                Found::Redirect(page) => match self.find(&page) {
                    Found::File(name, _) => name,
                    _ => return None,
                },
                Found::File(name, _) => name,
                Found::Nothing => return None,
            };
            return self.answer(Found::File(name, 200), request).await;
        }
        let own = redirect.to.contains('?');
        let query = query(request).filter(|_| !own);
        let answer = elsewhere(redirect.status, redirect.to, query.as_deref());
        Some(Ok(answer))
    }
}

/// An answer that leads elsewhere, with a query put before the fragment.
fn elsewhere(status: u16, mut location: String, query: Option<&str>) -> Response {
    if let Some(query) = query {
        let at = location.find('#').unwrap_or(location.len());
        location.insert_str(at, &format!("?{query}"));
    }
    let mut head = head(status);
    head.headers.push(("location".to_owned(), location));
    Response {
        head,
        body: Body::Empty,
    }
}

fn query(request: &Request) -> Option<String> {
    let url = url::Url::parse(&request.head.url).ok()?;
    url.query().map(str::to_owned)
}

/// The file itself where the path is its address, else a redirect to that.
fn to<'a>(path: &str, address: String, found: Found<'a>) -> Found<'a> {
    // `//host` would lead to another site.
    if path == address || address.starts_with("//") {
        found
    } else {
        Found::Redirect(address)
    }
}

fn is_read(request: &Request) -> bool {
    matches!(request.head.method.as_str(), "GET" | "HEAD")
}

async fn read(file: &File) -> Result<Body, Failure> {
    let failed = |error: std::io::Error| internal("an asset cannot be read", &error);
    let mut source = tokio::fs::File::open(&file.path).await.map_err(failed)?;
    if file.bytes <= CHUNK_BYTES_MAX as u64 {
        let mut bytes = Vec::new();
        // Bounded, should it have grown since it was listed.
        let mut some = source.take(CHUNK_BYTES_MAX as u64);
        some.read_to_end(&mut bytes).await.map_err(failed)?;
        return Ok(Body::Full(Bytes::from(bytes)));
    }
    let (writer, reader) = body_channel();
    tokio::spawn(async move {
        loop {
            let mut chunk = BytesMut::with_capacity(CHUNK_BYTES_MAX);
            match source.read_buf(&mut chunk).await {
                Ok(0) => return writer.finish().await,
                Ok(_) => {
                    if writer.write(chunk.freeze()).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    return writer
                        .fail(internal("an asset cannot be read", &error))
                        .await;
                }
            }
        }
    });
    // Without a length: the file may have changed since it was listed.
    Ok(Body::Stream {
        reader,
        length: None,
    })
}

/// What of a request's URL decides the answer.
struct Address {
    host: String,
    /// Decoded.
    path: String,
}

impl Address {
    /// `None` where the path is no UTF-8.
    fn of(request: &Request) -> Option<Self> {
        let url = url::Url::parse(&request.head.url).ok()?;
        let path = percent_decode_str(url.path()).decode_utf8().ok()?;
        Some(Self {
            host: url.host_str().unwrap_or_default().to_owned(),
            path: path.into_owned(),
        })
    }
}

/// The binding: files, and what `not_found_handling` says.
impl Service for Assets {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let inner = self.inner.clone();
        Box::pin(async move {
            let Some(address) = Address::of(&request) else {
                return Ok(empty(404));
            };
            if let Some(answer) = inner.route(&address, &request).await {
                return answer;
            }
            let answer = inner.answer(inner.not_found(&address.path), &request).await;
            answer.unwrap_or_else(|| Ok(empty(404)))
        })
    }
}

struct Before {
    assets: Assets,
    worker: Option<SharedService>,
    first: WorkerFirst,
}

impl Service for Before {
    fn fetch(&self, request: Request) -> BoxFuture<Result<Response, Failure>> {
        let address = Address::of(&request);
        let goes_first = match (&self.first, &address) {
            (WorkerFirst::Always, _) => true,
            (WorkerFirst::Never, _) | (WorkerFirst::Paths(_), None) => false,
            (WorkerFirst::Paths(patterns), Some(address)) => is_matched(patterns, &address.path),
        };
        let Some(worker) = self.worker.clone() else {
            return self.assets.fetch(request);
        };
        let Some(address) = address.filter(|_| !goes_first) else {
            return worker.fetch(request);
        };
        let inner = self.assets.inner.clone();
        Box::pin(async move {
            // Nothing but reads is an asset's: a form posted to a page's address is the Worker's.
            if is_read(&request) {
                if let Some(answer) = inner.route(&address, &request).await {
                    return answer;
                }
                // A browser that opens an address gets the application; scripts get the Worker.
                let navigates = header(&request, "sec-fetch-mode") == Some("navigate");
                if navigates
                    && let Some(answer) =
                        inner.answer(inner.not_found(&address.path), &request).await
                {
                    return answer;
                }
            }
            worker.fetch(request).await
        })
    }
}

/// Whether a path matches one of the patterns and none that begins with `!`. `*` stands for anything.
fn is_matched(patterns: &[String], path: &str) -> bool {
    let (no, yes): (Vec<&str>, Vec<&str>) = patterns
        .iter()
        .map(String::as_str)
        .partition(|pattern| pattern.starts_with('!'));
    yes.iter().any(|pattern| matches(pattern, path))
        && !no.iter().any(|pattern| matches(&pattern[1..], path))
}

fn matches(pattern: &str, path: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| path.strip_prefix(first)) else {
        return false;
    };
    let mut rest = rest;
    let mut last = None;
    for part in parts {
        if let Some(previous) = last.replace(part) {
            match rest.find(previous) {
                Some(at) => rest = &rest[at + previous.len()..],
                None => return false,
            }
        }
    }
    match last {
        None => rest.is_empty(),
        Some(end) => rest.ends_with(end),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets(html: HtmlHandling, not_found: NotFoundHandling) -> Inner {
        let names = [
            "/index.html",
            "/about.html",
            "/blog/index.html",
            "/both.html",
            "/both/index.html",
            "/style.css",
            "/a b.txt",
            "/docs/404.html",
            "/404.html",
        ];
        let file = || File {
            path: PathBuf::new(),
            bytes: 0,
            etag: String::new(),
        };
        Inner {
            files: names
                .iter()
                .map(|name| ((*name).to_owned(), file()))
                .collect(),
            html,
            not_found,
            rules: Rules::default(),
        }
    }

    fn check(inner: &Inner, table: &[(&str, &str)]) {
        for (path, expect) in table {
            let found = match inner.find(path) {
                Found::File(name, _) => name.to_owned(),
                Found::Redirect(to) => format!("-> {to}"),
                Found::Nothing => "nothing".to_owned(),
            };
            assert_eq!(found, *expect, "{:?} {path}", inner.html);
        }
    }

    #[test]
    fn pages_have_one_address_each() {
        let auto = assets(HtmlHandling::AutoTrailingSlash, NotFoundHandling::None);
        check(
            &auto,
            &[
                ("/", "/index.html"),
                ("/index.html", "-> /"),
                ("/index", "-> /"),
                ("/about", "/about.html"),
                ("/about.html", "-> /about"),
                ("/about/", "-> /about"),
                ("/blog/", "/blog/index.html"),
                ("/blog", "-> /blog/"),
                ("/blog/index.html", "-> /blog/"),
                ("/both", "/both.html"),
                ("/both/", "/both/index.html"),
                ("/style.css", "/style.css"),
                ("/a b.txt", "/a b.txt"),
                ("/missing", "nothing"),
                ("/../index.html", "nothing"),
                ("//about.html", "nothing"),
            ],
        );
        let force = assets(HtmlHandling::ForceTrailingSlash, NotFoundHandling::None);
        check(
            &force,
            &[
                ("/about", "-> /about/"),
                ("/about/", "/about.html"),
                ("/", "/index.html"),
            ],
        );
        let drop = assets(HtmlHandling::DropTrailingSlash, NotFoundHandling::None);
        check(
            &drop,
            &[
                ("/blog/", "-> /blog"),
                ("/blog", "/blog/index.html"),
                ("/", "/index.html"),
            ],
        );
        let none = assets(HtmlHandling::None, NotFoundHandling::None);
        check(
            &none,
            &[
                ("/", "nothing"),
                ("/about", "nothing"),
                ("/about.html", "/about.html"),
            ],
        );
    }

    #[test]
    fn what_is_not_there_is_answered_as_configured() {
        let page = assets(HtmlHandling::default(), NotFoundHandling::NotFoundPage);
        assert_eq!(
            page.not_found("/docs/x/y"),
            Found::File("/docs/404.html", 404)
        );
        assert_eq!(page.not_found("/x"), Found::File("/404.html", 404));
        let spa = assets(
            HtmlHandling::default(),
            NotFoundHandling::SinglePageApplication,
        );
        assert_eq!(spa.not_found("/x"), Found::File("/index.html", 200));
        let none = assets(HtmlHandling::default(), NotFoundHandling::None);
        assert_eq!(none.not_found("/x"), Found::Nothing);
    }

    #[test]
    fn patterns_choose_the_worker() {
        let patterns =
            |list: &[&str]| -> Vec<String> { list.iter().map(|p| (*p).to_owned()).collect() };
        let api = patterns(&["/api/*", "!/api/docs/*"]);
        for (path, expect) in [
            ("/api/", true),
            ("/api/users", true),
            ("/api/docs/x", false),
            ("/api", false),
            ("/x/api/", false),
        ] {
            assert_eq!(is_matched(&api, path), expect, "{path}");
        }
        let middle = patterns(&["/a/*/b"]);
        assert!(is_matched(&middle, "/a/x/y/b"));
        assert!(!is_matched(&middle, "/a/x/y/bc"));
        assert!(is_matched(&patterns(&["/exact"]), "/exact"));
        assert!(!is_matched(&patterns(&["/exact"]), "/exactly"));
    }
}
