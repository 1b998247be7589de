//! An S3-compatible bucket in the place of files: bytes go there, over the host's own HTTP and TLS.
//!
//! What is stored under which key stays in the state folder's index; there an object is a blob under a name
//! of ours. So every rule of R2 (conditions, checksums, any key, order of lists) holds whoever keeps the bytes.
//!
//! The address is the operator's: the rules of where Workers may connect do not apply to it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Tcp;
use hyper_util::rt::TokioExecutor;
use object_store::aws::AmazonS3Builder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpResponseBody, HttpService,
};
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use crate::connect::{TlsError, tls_config};

/// Time for an answer's head to arrive.
const HEAD_WAIT: Duration = Duration::from_secs(100);
/// How long one request is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(30);
/// Tries after the first.
const RETRIES_MAX: usize = 4;

/// Where the bytes of a bucket are, and who asks for them.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Options {
    /// `https://host`; Amazon's own where none is given.
    pub endpoint: Option<String>,
    pub region: String,
    pub bucket: String,
    /// What all names begin with.
    pub prefix: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: Option<String>,
}

impl S3Options {
    /// In words, for the index.
    pub(super) fn place(&self) -> String {
        let at = self.endpoint.as_deref().unwrap_or("Amazon S3");
        format!(
            "in the bucket {} of {at}, under {}",
            self.bucket, self.prefix
        )
    }
}

/// Without the secrets.
impl fmt::Debug for S3Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Options")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Why a bucket cannot be reached at all.
#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("the S3 settings do not fit: {0}")]
    Settings(#[from] object_store::Error),
}

/// The store that `options` name. Nothing is asked yet.
pub fn connect(options: &S3Options) -> Result<Arc<dyn ObjectStore>, S3Error> {
    let tls = tls_config(&[])?;
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .build();
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let mut builder = AmazonS3Builder::new()
        .with_region(&options.region)
        .with_bucket_name(&options.bucket)
        .with_access_key_id(&options.access_key_id)
        .with_secret_access_key(&options.secret_access_key)
        .with_retry(RetryConfig {
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_WAIT,
            ..RetryConfig::default()
        })
        // One request for each: not every store takes lists of keys.
        .with_disable_bulk_delete(true)
        .with_http_connector(Ours(Hyper(client)));
    if let Some(endpoint) = &options.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http:"));
    }
    if let Some(token) = &options.session_token {
        builder = builder.with_token(token);
    }
    let store = builder.build()?;
    Ok(Arc::new(PrefixStore::new(store, options.prefix.as_str())))
}

/// Gives everybody the one client.
#[derive(Debug)]
struct Ours(Hyper);

impl HttpConnector for Ours {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

#[derive(Debug, Clone)]
struct Hyper(Client<HttpsConnector<Tcp>, HttpRequestBody>);

#[async_trait::async_trait]
impl HttpService for Hyper {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let answer = tokio::time::timeout(HEAD_WAIT, self.0.request(request)).await;
        let answer = answer.map_err(|late| HttpError::new(HttpErrorKind::Timeout, late))?;
        let answer = answer.map_err(|error| {
            let kind = match error.is_connect() {
                true => HttpErrorKind::Connect,
                false => HttpErrorKind::Request,
            };
            HttpError::new(kind, error)
        })?;
        let (parts, body) = answer.into_parts();
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error));
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}
