//! What `platform/cloudflare/r2.ts` asks and is answered: JSON, and how R2 says no.
//!
//! Limits and codes are those of the R2 documentation. Nothing here touches the disk.
//!
//! Invariant: what [`PutAsked::check`] and its like let pass is within every limit.

use std::time::Duration;

use mayfly_exchange::{Body, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::answer::head;

/// Bytes of a key.
pub const KEY_BYTES_MAX: usize = 1024;
/// Bytes of all custom metadata of an object.
pub const METADATA_BYTES_MAX: usize = 8192;
/// Bytes of one HTTP metadata field.
pub const HTTP_FIELD_BYTES_MAX: usize = 2048;
/// Bytes that one put or one part uploads.
pub const UPLOAD_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024;
/// Bytes of an object.
pub const OBJECT_BYTES_MAX: u64 = 5 * 1024 * 1024 * 1024 * 1024;
/// Bytes of each part but the last.
pub const PART_BYTES_MIN: u64 = 5 * 1024 * 1024;
/// Parts of an upload, and the largest number of one.
pub const PARTS_MAX: u32 = 10_000;
/// Entries of one list.
pub const LIST_MAX: usize = 1000;
/// Keys that one delete takes.
pub const DELETE_MAX: usize = 1000;

/// A refusal, as R2 words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct R2Error {
    pub status: u16,
    pub code: u32,
    pub message: String,
}

impl R2Error {
    fn new(status: u16, code: u32, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub fn invalid_argument(why: impl Into<String>) -> Self {
        Self::new(400, 10029, why)
    }

    pub fn entity_too_large() -> Self {
        let message = "Your proposed upload exceeds the maximum allowed object size.";
        Self::new(400, 100_100, message)
    }

    pub fn entity_too_small() -> Self {
        let message = "Your proposed upload is smaller than the minimum allowed object size.";
        Self::new(400, 10011, message)
    }

    pub fn metadata_too_large() -> Self {
        let message = "Your metadata headers exceed the maximum allowed metadata size.";
        Self::new(400, 10012, message)
    }

    pub fn invalid_object_name() -> Self {
        Self::new(400, 10020, "The specified object name is not valid.")
    }

    pub fn invalid_max_keys() -> Self {
        let message = format!("MaxKeys params must be positive integer <= {LIST_MAX}.");
        Self::new(400, 10022, message)
    }

    pub fn no_such_upload() -> Self {
        Self::new(400, 10024, "The specified multipart upload does not exist.")
    }

    pub fn invalid_part() -> Self {
        let message = "One or more of the specified parts could not be found.";
        Self::new(400, 10025, message)
    }

    pub fn precondition_failed() -> Self {
        let message = "At least one of the pre-conditions you specified did not hold.";
        Self::new(412, 10031, message)
    }

    pub fn bad_digest(algorithm: &str, given: &str, actual: &str) -> Self {
        let message = format!(
            "The {algorithm} checksum you specified did not match what we received.\nYou provided a \
             {algorithm} checksum with value: {given}\nActual {algorithm} was: {actual}"
        );
        Self::new(400, 10037, message)
    }

    pub fn invalid_range() -> Self {
        Self::new(416, 10039, "The requested range is not satisfiable")
    }

    /// R2's code for a client that leaves amid an upload.
    pub fn upload_stalled(wait: Duration) -> Self {
        let message = format!("The upload brought no bytes for {} s.", wait.as_secs_f64());
        Self::new(400, 10054, message)
    }

    pub fn uneven_parts() -> Self {
        Self::new(
            400,
            10048,
            "All non-trailing parts must have the same length.",
        )
    }

    pub fn response(&self) -> Response {
        let text = serde_json::json!({ "v4code": self.code, "message": self.message });
        let mut head = head(self.status);
        let encoded = utf8_percent_encode(&text.to_string(), NON_ALPHANUMERIC).to_string();
        head.headers.push(("cf-r2-error".to_owned(), encoded));
        Response {
            head,
            body: Body::Empty,
        }
    }
}

/// Metadata that HTTP knows.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_language: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_control: Option<String>,
    /// Milliseconds since the epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_expiry: Option<f64>,
}

/// Metadata of a Worker's own, in its order.
pub type Custom = Vec<(String, String)>;

/// Checksums that are known, in hexadecimal digits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checksums {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub md5: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha1: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha384: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha512: Option<String>,
}

/// What an object must be for a get or a put to go on.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Conditions {
    pub etag_matches: Option<Vec<Etag>>,
    pub etag_does_not_match: Option<Vec<Etag>>,
    pub uploaded_before: Option<f64>,
    pub uploaded_after: Option<f64>,
    #[serde(default)]
    pub seconds_granularity: bool,
}

/// One of those that a condition lists.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Etag {
    Strong { value: String },
    Weak { value: String },
    Wildcard {},
}

impl Conditions {
    /// Whether an object of this etag, uploaded then, or no object, passes.
    pub fn pass(&self, object: Option<(&str, i64)>) -> bool {
        let Some((etag, uploaded)) = object else {
            return self.etag_matches.is_none() && self.uploaded_after.is_none();
        };
        let named = |etags: &[Etag], weakly: bool| {
            etags.iter().any(|given| match given {
                Etag::Wildcard {} => true,
                Etag::Strong { value } => value == etag,
                Etag::Weak { value } => weakly && value == etag,
            })
        };
        let matches = self
            .etag_matches
            .as_deref()
            .map(|etags| named(etags, false));
        let differs = self
            .etag_does_not_match
            .as_deref()
            .map(|etags| !named(etags, true));
        let round = |ms: f64| match self.seconds_granularity {
            true => (ms / 1000.0).floor() * 1000.0,
            false => ms,
        };
        // Milliseconds of this age are exact in a double.
        let uploaded = round(uploaded as f64);
        let after = self
            .uploaded_after
            .is_none_or(|after| round(after) < uploaded);
        let before = self
            .uploaded_before
            .is_none_or(|before| uploaded < round(before));
        // An etag that is asked for says more than a time, as in HTTP.
        matches.unwrap_or(true)
            && differs.unwrap_or(true)
            && (after || differs == Some(true))
            && (before || matches == Some(true))
    }
}

/// Some bytes of an object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RangeAsked {
    pub offset: Option<u64>,
    pub length: Option<u64>,
    pub suffix: Option<u64>,
}

impl RangeAsked {
    /// Offset and length within an object of `size` bytes.
    pub fn within(&self, size: u64) -> Result<(u64, u64), R2Error> {
        if let Some(suffix) = self.suffix {
            if suffix == 0 {
                return Err(R2Error::invalid_range());
            }
            let length = suffix.min(size);
            return Ok((size - length, length));
        }
        let offset = self.offset.unwrap_or(0);
        let rest = size.checked_sub(offset);
        let rest = rest.ok_or_else(R2Error::invalid_range)?;
        let length = self.length.unwrap_or(rest);
        if length == 0 {
            return Err(R2Error::invalid_range());
        }
        Ok((offset, length.min(rest)))
    }
}

/// The one range that a `Range` header names; `None` for what a server may disregard.
pub fn header_range(header: &str, size: u64) -> Option<(u64, u64)> {
    let (unit, ranges) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    let number = |text: &str| {
        let text = text.trim();
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    if first.trim().is_empty() {
        let length = number(last)?.min(size);
        return (length > 0).then_some((size - length, length));
    }
    let first = number(first)?;
    let last = match last.trim() {
        "" => u64::MAX,
        text => number(text)?,
    };
    if first >= size || last < first {
        return None;
    }
    Some((first, last.min(size - 1) - first + 1))
}

/// A question about one object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GetAsked {
    pub key: String,
    pub only_if: Option<Conditions>,
    pub range: Option<RangeAsked>,
    pub range_header: Option<String>,
}

/// What a put says besides the bytes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutAsked {
    pub key: String,
    pub only_if: Option<Conditions>,
    #[serde(default)]
    pub http: HttpFields,
    #[serde(default)]
    pub custom: Custom,
    #[serde(default)]
    pub checksums: Checksums,
    pub storage_class: Option<String>,
}

/// What an upload in parts begins with.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UploadAsked {
    pub key: String,
    #[serde(default)]
    pub http: HttpFields,
    #[serde(default)]
    pub custom: Custom,
    pub storage_class: Option<String>,
}

/// What a part says besides the bytes; without a number, the upload that is to be aborted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartAsked {
    pub key: String,
    pub upload_id: String,
    pub part_number: Option<u32>,
}

/// The parts that are to be the object.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompleteAsked {
    pub key: String,
    pub upload_id: String,
    pub parts: Vec<PartNamed>,
}

/// A part as its upload was answered.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartNamed {
    pub part_number: u32,
    pub etag: String,
}

/// What to delete.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteAsked {
    pub keys: Vec<String>,
}

/// Which part of a list.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListAsked {
    pub limit: Option<i64>,
    pub prefix: Option<String>,
    pub cursor: Option<String>,
    pub delimiter: Option<String>,
    pub start_after: Option<String>,
    #[serde(default)]
    pub http: bool,
    #[serde(default)]
    pub custom: bool,
}

/// A key that may be one.
pub fn check_key(key: &str) -> Result<(), R2Error> {
    match key.is_empty() || key.len() > KEY_BYTES_MAX {
        true => Err(R2Error::invalid_object_name()),
        false => Ok(()),
    }
}

fn check_metadata(http: &HttpFields, custom: &Custom) -> Result<(), R2Error> {
    let bytes: usize = custom
        .iter()
        .map(|(name, value)| name.len().saturating_add(value.len()))
        .fold(0, usize::saturating_add);
    let fields = [
        &http.content_type,
        &http.content_language,
        &http.content_disposition,
        &http.content_encoding,
        &http.cache_control,
    ];
    let long = fields
        .into_iter()
        .flatten()
        .any(|field| field.len() > HTTP_FIELD_BYTES_MAX);
    match long || bytes > METADATA_BYTES_MAX {
        true => Err(R2Error::metadata_too_large()),
        false => Ok(()),
    }
}

fn check_class(class: Option<&str>) -> Result<String, R2Error> {
    match class.unwrap_or("Standard") {
        class @ ("Standard" | "InfrequentAccess") => Ok(class.to_owned()),
        other => Err(R2Error::invalid_argument(format!(
            "The storage class must be \"Standard\" or \"InfrequentAccess\", not \"{other}\"."
        ))),
    }
}

impl PutAsked {
    /// The storage class of what is within all limits.
    pub fn check(&self) -> Result<String, R2Error> {
        check_key(&self.key)?;
        check_metadata(&self.http, &self.custom)?;
        check_class(self.storage_class.as_deref())
    }
}

impl UploadAsked {
    /// The storage class of what is within all limits.
    pub fn check(&self) -> Result<String, R2Error> {
        check_key(&self.key)?;
        check_metadata(&self.http, &self.custom)?;
        check_class(self.storage_class.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strong(value: &str) -> Etag {
        Etag::Strong {
            value: value.to_owned(),
        }
    }

    #[test]
    fn conditions_are_those_of_http() {
        let check = |conditions: Conditions, object, passes| {
            assert_eq!(conditions.pass(object), passes, "{conditions:?} {object:?}");
        };
        let none = Conditions::default;
        let here = Some(("e", 10_500));
        check(none(), None, true);
        check(none(), here, true);
        let matches = |etags: Vec<Etag>| Conditions {
            etag_matches: Some(etags),
            ..none()
        };
        check(matches(vec![strong("e")]), here, true);
        check(matches(vec![strong("x"), strong("e")]), here, true);
        check(matches(vec![strong("x")]), here, false);
        check(matches(vec![Etag::Wildcard {}]), here, true);
        check(matches(vec![Etag::Wildcard {}]), None, false);
        let weak = Etag::Weak {
            value: "e".to_owned(),
        };
        check(matches(vec![weak.clone()]), here, false);
        let differs = |etags: Vec<Etag>| Conditions {
            etag_does_not_match: Some(etags),
            ..none()
        };
        check(differs(vec![weak]), here, false);
        check(differs(vec![strong("x")]), here, true);
        check(differs(vec![Etag::Wildcard {}]), None, true);
        let after = |ms: f64, seconds_granularity| Conditions {
            uploaded_after: Some(ms),
            seconds_granularity,
            ..none()
        };
        check(after(10_499.0, false), here, true);
        check(after(10_500.0, false), here, false);
        check(after(10_499.0, true), here, false);
        check(after(0.0, false), None, false);
        let before = |ms: f64| Conditions {
            uploaded_before: Some(ms),
            ..none()
        };
        check(before(10_501.0), here, true);
        check(before(10_500.0), here, false);
        check(before(0.0), None, true);
        let mut both = before(0.0);
        both.etag_matches = Some(vec![strong("e")]);
        check(both, here, true);
    }

    #[test]
    fn ranges_stay_within_the_object() {
        let range = |offset, length, suffix| RangeAsked {
            offset,
            length,
            suffix,
        };
        let wrong = R2Error::invalid_range();
        assert_eq!(range(Some(2), None, None).within(10), Ok((2, 8)));
        assert_eq!(range(None, Some(3), None).within(10), Ok((0, 3)));
        assert_eq!(range(Some(8), Some(30), None).within(10), Ok((8, 2)));
        assert_eq!(range(Some(11), None, None).within(10), Err(wrong.clone()));
        assert_eq!(range(Some(1), Some(0), None).within(10), Err(wrong.clone()));
        assert_eq!(range(None, None, Some(4)).within(10), Ok((6, 4)));
        assert_eq!(range(None, None, Some(40)).within(10), Ok((0, 10)));
        assert_eq!(range(None, None, Some(0)).within(10), Err(wrong));
        assert_eq!(header_range("bytes=2-4", 10), Some((2, 3)));
        assert_eq!(header_range("Bytes = 8-", 10), Some((8, 2)));
        assert_eq!(header_range("bytes=-3", 10), Some((7, 3)));
        assert_eq!(
            header_range("bytes=0-999999999999999999999", 10),
            Some((0, 10))
        );
        for wrong in [
            "bytes=10-",
            "bytes=4-2",
            "bytes=1-2,4-5",
            "lines=1-2",
            "bytes=a-b",
            "bytes=-",
            "",
        ] {
            assert_eq!(header_range(wrong, 10), None, "{wrong}");
        }
    }
}
