//! An answer, or the failure to give one, becomes what leaves.
//!
//! Status, headers and length are the Worker's where HTTP allows them: framing headers are
//! written by the library from what the body really is, and statuses without a body get none. A
//! failure becomes a plain-text answer that names what happened, with the error's stack only where
//! [`FailureDetail::Full`] was asked for.
//!
//! Invariant: nothing here fails; what a Worker got wrong becomes a failure answer.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderName, HeaderValue, Method, Response as HttpResponse, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use mayfly_exchange::http::{OutgoingBody, header_map};
use mayfly_exchange::{Body, Failure, FailureKind, Response, ResponseHead};

use crate::FailureDetail;
use crate::encode::{Encoded, encode, requested};
use crate::request::Refusal;

/// The client closed its request: nginx's number; nobody is left to read it.
const STATUS_CLIENT_CLOSED: u16 = 499;

/// What hyper sends.
pub enum Reply {
    /// As the Worker wrote it.
    Plain(OutgoingBody),
    /// Encoded on the way.
    Encoded(Pin<Box<Encoded>>),
}

impl http_body::Body for Reply {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Plain(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            Self::Encoded(body) => body
                .as_mut()
                .poll_next(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data).map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_end_stream(),
            Self::Encoded(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(body) => body.size_hint(),
            Self::Encoded(_) => SizeHint::default(),
        }
    }
}

/// A Worker's answer to a request of `method`.
pub fn answer(method: &Method, response: Response, detail: FailureDetail) -> HttpResponse<Reply> {
    let Response { head, body } = response;
    match headed(&head) {
        Ok(reply) => fill(method, &head, reply, body),
        Err(message) => failed(
            &Failure::new(FailureKind::Exception {}, "TypeError", message),
            detail,
        ),
    }
}

fn headed(head: &ResponseHead) -> Result<HttpResponse<()>, String> {
    let status = StatusCode::from_u16(head.status)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or_else(|| {
            format!(
                "the Worker answered with status {}, which HTTP cannot send as an answer",
                head.status
            )
        })?;
    let mut reply = HttpResponse::new(());
    *reply.status_mut() = status;
    *reply.headers_mut() = header_map(&head.headers).map_err(|error| error.to_string())?;
    // A status text that cannot stand in a status line is left out, as HTTP/2 leaves out all.
    if Some(head.status_text.as_str()) != status.canonical_reason()
        && !head.status_text.is_empty()
        && let Ok(phrase) = ReasonPhrase::try_from(head.status_text.as_bytes())
    {
        reply.extensions_mut().insert(phrase);
    }
    Ok(reply)
}

fn fill(
    method: &Method,
    head: &ResponseHead,
    mut reply: HttpResponse<()>,
    body: Body,
) -> HttpResponse<Reply> {
    let null_body = matches!(
        reply.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    );
    if *method == Method::HEAD && !null_body {
        if let Some(length) = head_length(head, &body) {
            reply
                .headers_mut()
                .insert(header::CONTENT_LENGTH, length.into());
        }
        return reply.map(|()| Reply::Plain(Body::Empty.into()));
    }
    if null_body {
        return reply.map(|()| Reply::Plain(Body::Empty.into()));
    }
    match requested(reply.headers()) {
        Some(encoding) if !head.encoded && !matches!(body, Body::Empty) => {
            reply.map(|()| Reply::Encoded(Box::pin(encode(encoding, body))))
        }
        _ => reply.map(|()| Reply::Plain(body.into())),
    }
}

/// What `content-length` a GET would have had, where that is known: from the body, or (as an
/// answer to HEAD rarely has one) from the Worker's own header.
fn head_length(head: &ResponseHead, body: &Body) -> Option<u64> {
    match body {
        Body::Full(bytes) => Some(bytes.len() as u64),
        Body::Stream { length, .. } => *length,
        Body::Empty | Body::Socket(_) => head
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .and_then(|(_, value)| value.parse().ok()),
    }
}

/// Which limit fired, for programs: `x-mayfly-limit: cpu; value=53.1; limit=50`.
const LIMIT_HEADER: HeaderName = HeaderName::from_static("x-mayfly-limit");

/// A failure's answer.
pub fn failed(failure: &Failure, detail: FailureDetail) -> HttpResponse<Reply> {
    let (status, title) = described(&failure.kind);
    let mut text = format!("{title}\n");
    if detail == FailureDetail::Full {
        text.push_str(&report(failure));
    }
    let mut reply = plain(status, text);
    if let Some(budget) = &failure.budget
        && let Ok(value) = HeaderValue::from_str(&format!(
            "{}; value={}; limit={}",
            budget.name, budget.value, budget.limit
        ))
    {
        reply.headers_mut().insert(LIMIT_HEADER, value);
    }
    reply
}

fn described(kind: &FailureKind) -> (u16, &'static str) {
    match kind {
        FailureKind::Exception {} => (500, "The Worker threw an exception."),
        FailureKind::Lost {} => (502, "The Worker's process ended before it answered."),
        FailureKind::ExceededCpu {} => (503, "The Worker exceeded its CPU time limit."),
        FailureKind::ExceededMemory {} => (503, "The Worker exceeded its memory limit."),
        FailureKind::Limit {} => (503, "The Worker exceeded one of its limits."),
        FailureKind::Canceled {} => (STATUS_CLIENT_CLOSED, "The request was canceled."),
        FailureKind::Overloaded {} => (503, "The Worker is overloaded; try again later."),
        FailureKind::Network {} => (502, "A network connection of the Worker failed."),
        FailureKind::Internal {} => (500, "Internal error."),
    }
}

/// The error as its own program would print it. The stack of some engines repeats the message.
fn report(failure: &Failure) -> String {
    let first = format!("{}: {}", failure.name, failure.message);
    let stack = failure.stack.trim_end();
    match stack {
        "" => format!("\n{first}\n"),
        stack if stack.starts_with(&first) => format!("\n{stack}\n"),
        stack => format!("\n{first}\n{stack}\n"),
    }
}

/// The answer to what is no request to any Worker.
pub fn refused(refusal: Refusal) -> HttpResponse<Reply> {
    match refusal {
        Refusal::Host => plain(400, "The request has no valid Host header.\n".to_owned()),
        Refusal::Connect => plain(405, "CONNECT is not supported.\n".to_owned()),
    }
}

/// The answer where no Worker serves.
pub fn unrouted() -> HttpResponse<Reply> {
    plain(404, "No Worker serves this address.\n".to_owned())
}

fn plain(status: u16, text: String) -> HttpResponse<Reply> {
    let body = Body::Full(text.into());
    let mut reply = HttpResponse::new(Reply::Plain(body.into()));
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let text_plain = HeaderValue::from_static("text/plain; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, text_plain);
    reply
}
