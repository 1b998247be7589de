//! What the services behind bindings share: reading a whole body within a bound, and short answers.
//!
//! These services are asked by the platform's own classes, but any guest that holds the capability
//! can make up requests, so every part of one is checked where it is used.

use bytes::{Bytes, BytesMut};
use mayfly_exchange::{Body, Failure, FailureKind, Request, Response, ResponseHead};

/// A refusal, as status and reason.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: u16,
    pub why: String,
}

impl Refusal {
    pub fn new(status: u16, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
        }
    }

    pub fn response(self) -> Response {
        let mut head = head(self.status);
        head.status_text = self.why;
        Response {
            head,
            body: Body::Empty,
        }
    }
}

/// A head with nothing but its status.
pub(crate) fn head(status: u16) -> ResponseHead {
    ResponseHead {
        status,
        status_text: String::new(),
        headers: Vec::new(),
        url: String::new(),
        redirected: false,
        // Nobody between here and the caller is to compress or decode it.
        encoded: true,
    }
}

pub(crate) fn empty(status: u16) -> Response {
    Response {
        head: head(status),
        body: Body::Empty,
    }
}

pub(crate) fn json(value: &serde_json::Value) -> Response {
    let mut head = head(200);
    head.headers
        .push(("content-type".to_owned(), "application/json".to_owned()));
    Response {
        head,
        body: Body::Full(Bytes::from(value.to_string())),
    }
}

/// The whole body, if it has at most `most` bytes.
pub(crate) async fn read_body(body: Body, most: usize) -> Result<Bytes, BodyError> {
    match body {
        // A request has no socket for a body.
        Body::Empty | Body::Socket(_) => Ok(Bytes::new()),
        Body::Full(bytes) if bytes.len() <= most => Ok(bytes),
        Body::Full(_) => Err(BodyError::TooLong),
        Body::Stream { length, .. } if length.is_some_and(|length| length > most as u64) => {
            Err(BodyError::TooLong)
        }
        Body::Stream { mut reader, .. } => {
            let mut all = BytesMut::new();
            while let Some(piece) = reader.next().await {
                let piece = piece.map_err(BodyError::Failed)?;
                if all.len().saturating_add(piece.len()) > most {
                    return Err(BodyError::TooLong);
                }
                all.extend_from_slice(&piece);
            }
            Ok(all.freeze())
        }
    }
}

/// Why a body could not be read.
#[derive(Debug)]
pub(crate) enum BodyError {
    TooLong,
    Failed(Failure),
}

/// A URL's path in decoded segments, and its parameters.
#[derive(Debug)]
pub(crate) struct Asked {
    pub segments: Vec<String>,
    parameters: Vec<(String, String)>,
}

impl Asked {
    pub fn parse(request: &Request) -> Option<Self> {
        let url = url::Url::parse(&request.head.url).ok()?;
        let segments = url
            .path_segments()?
            .map(|part| {
                let decoded = percent_encoding::percent_decode_str(part)
                    .decode_utf8()
                    .ok()?;
                Some(decoded.into_owned())
            })
            .collect::<Option<_>>()?;
        let parameters = url.query_pairs().into_owned().collect();
        Some(Self {
            segments,
            parameters,
        })
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.parameters.iter().find(|(given, _)| given == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A whole number; `Err` where something else is given.
    pub fn number(&self, name: &str) -> Result<Option<i64>, Refusal> {
        let Some(text) = self.parameter(name) else {
            return Ok(None);
        };
        let why = || format!("Invalid {name} of {text}. Please specify integer greater than 0.");
        let number = text.parse().map_err(|_| Refusal::new(400, why()))?;
        Ok(Some(number))
    }
}

/// A header's value, of a name in lower case.
pub(crate) fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let headers = &request.head.headers;
    let found = headers
        .iter()
        .find(|(given, _)| given.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// What a caller hears of a fault that is the host's own. The log gets the rest.
pub(crate) fn internal(what: &str, error: &(dyn std::error::Error + 'static)) -> Failure {
    tracing::error!(error, "{what}");
    let message = format!("{what}; the host's log says why");
    Failure::new(FailureKind::Internal {}, "Error", message)
}

/// Seconds since the epoch.
pub(crate) fn now_seconds() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
