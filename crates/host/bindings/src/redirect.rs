//! The Fetch standard's HTTP-redirect fetch, as far as it concerns a server: which request follows
//! an answer. No I/O.
//!
//! Deviations: the standard's CORS steps have no meaning here, and besides `Authorization` also
//! `Cookie` and `Proxy-Authorization` stay behind when the origin changes, since no browser keeps
//! them apart by origin for us.

use http::StatusCode;
use mayfly_exchange::{Body, RequestHead};
use url::Url;

/// Redirects followed before giving up (Fetch, HTTP-redirect fetch, step 7).
pub const REDIRECTS_MAX: usize = 20;

const CREDENTIALS: &[&str] = &["authorization", "cookie", "proxy-authorization"];

/// Fetch's request-body-header names, and the length that goes with a body.
const BODY_HEADERS: &[&str] = &[
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
];

/// Why a redirect is not followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectError {
    /// Step 5.
    #[error("the Location header of a redirect is invalid: {0:?}")]
    Location(String),
    /// Step 6.
    #[error("a redirect leads to {0}:, which is not HTTP")]
    Scheme(String),
    /// Step 7.
    #[error("too many redirects (more than {REDIRECTS_MAX})")]
    TooMany,
    /// Step 11.
    #[error("a redirect asks for the request's body again, but it was a stream and is used up")]
    BodyUsed,
}

/// Fetch's redirect status.
pub fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where a redirect leads, fragment inherited.
pub fn target(current: &Url, location: &str) -> Result<Url, RedirectError> {
    let mut url = current
        .join(location)
        .map_err(|_| RedirectError::Location(location.to_owned()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(RedirectError::Scheme(url.scheme().to_owned()));
    }
    if url.fragment().is_none() {
        url.set_fragment(current.fragment());
    }
    Ok(url)
}

/// Whether the method becomes GET and the body is dropped (step 12).
pub fn becomes_get(status: StatusCode, method: &str) -> bool {
    match status.as_u16() {
        301 | 302 => method == "POST",
        303 => method != "GET" && method != "HEAD",
        _ => false,
    }
}

/// Rewrites the request for its next leg. `replay` is the body again, if it can be had.
pub fn rewrite(
    head: &mut RequestHead,
    status: StatusCode,
    from: &Url,
    to: &Url,
    replay: Option<Body>,
) -> Result<Body, RedirectError> {
    let body = if becomes_get(status, &head.method) {
        head.method = "GET".to_owned();
        drop_headers(head, BODY_HEADERS);
        Body::Empty
    } else {
        replay.ok_or(RedirectError::BodyUsed)?
    };
    if from.origin() != to.origin() {
        drop_headers(head, CREDENTIALS);
    }
    Ok(body)
}

fn drop_headers(head: &mut RequestHead, names: &[&str]) {
    head.headers
        .retain(|(name, _)| !names.iter().any(|drop| name.eq_ignore_ascii_case(drop)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use mayfly_wire::Redirect;

    fn leg(
        status: u16,
        method: &str,
        to: &str,
        body: bool,
    ) -> Result<(String, Vec<String>, bool), RedirectError> {
        let names = ["authorization", "Cookie", "content-type", "x-kept"];
        let mut head = RequestHead {
            method: method.to_owned(),
            url: String::new(),
            headers: names
                .iter()
                .map(|name| ((*name).to_owned(), "1".to_owned()))
                .collect(),
            redirect: Redirect::Follow {},
            cf: String::new(),
            encoded: false,
        };
        let from = Url::parse("http://a.test/x#f").unwrap();
        let to = target(&from, to)?;
        let replay = body.then(|| Body::Full("again".into()));
        let body = rewrite(
            &mut head,
            StatusCode::from_u16(status).unwrap(),
            &from,
            &to,
            replay,
        )?;
        let kept = head.headers.into_iter().map(|(name, _)| name).collect();
        Ok((head.method, kept, matches!(body, Body::Full(_))))
    }

    #[test]
    fn methods_bodies_and_headers_follow_the_standard() {
        let all = ["authorization", "Cookie", "content-type", "x-kept"].map(str::to_owned);
        let (bodyless, foreign) = (
            [0, 1, 3].map(|i| all[i].clone()),
            [2, 3].map(|i| all[i].clone()),
        );
        for (status, method, to, expect) in [
            (301, "POST", "/y", ("GET", &bodyless[..], false)),
            (302, "POST", "/y", ("GET", &bodyless[..], false)),
            (302, "PUT", "/y", ("PUT", &all[..], true)),
            (303, "PUT", "/y", ("GET", &bodyless[..], false)),
            (303, "HEAD", "/y", ("HEAD", &all[..], true)),
            (307, "POST", "/y", ("POST", &all[..], true)),
            (308, "POST", "http://b.test/", ("POST", &foreign[..], true)),
            (307, "GET", "http://a.test:81/", ("GET", &foreign[..], true)),
            (307, "GET", "https://a.test/", ("GET", &foreign[..], true)),
        ] {
            let (method_after, kept, body) = leg(status, method, to, true).unwrap();
            assert_eq!(
                (method_after.as_str(), &kept[..], body),
                expect,
                "{status} {method} {to}"
            );
        }
    }

    #[test]
    fn what_cannot_be_followed_says_why() {
        assert_eq!(leg(307, "POST", "/", false), Err(RedirectError::BodyUsed));
        assert!(leg(302, "POST", "/", false).is_ok());
        assert_eq!(
            leg(302, "GET", "ftp://a/", true),
            Err(RedirectError::Scheme("ftp".into()))
        );
        assert_eq!(
            leg(302, "GET", "http://a b/", true),
            Err(RedirectError::Location("http://a b/".into()))
        );
        let from = Url::parse("http://a.test/x#f").unwrap();
        assert_eq!(target(&from, "y").unwrap().as_str(), "http://a.test/y#f");
        assert_eq!(target(&from, "y#g").unwrap().as_str(), "http://a.test/y#g");
    }
}
