//! Records of the wire: heads, failures, payloads, limits, entrypoints.

use mayfly_engine::data::{Data, OpError};
use mayfly_wire::bounds::{ATTACHMENTS_MAX, HEAD_BYTES_MAX, MESSAGE_BYTES_MAX};
use mayfly_wire::{
    Blob, Budget, CapKind, Entrypoint, EntrypointKind, Failure, FailureKind, Limits, LogLevel,
    ModuleKind, Payload, Redirect, RequestHead, ResponseHead, Secure,
};

use super::{Fields, FromData, IntoData, bounded, list, object, record, words};

words!(CapKind {
    Service = "service",
    DynamicService = "dynamicService",
    Object = "object",
    Loader = "loader",
    ActorClass = "actorClass",
});

words!(FailureKind {
    Exception = "exception",
    Lost = "lost",
    ExceededCpu = "exceededCpu",
    ExceededMemory = "exceededMemory",
    Limit = "limit",
    Canceled = "canceled",
    Overloaded = "overloaded",
    Network = "network",
    Internal = "internal",
});

words!(ModuleKind {
    Js = "js",
    CommonJs = "cjs",
    Text = "text",
    Data = "data",
    Json = "json",
    Wasm = "wasm",
});

words!(EntrypointKind {
    Object = "object",
    Class = "class",
    DurableObject = "durableObject",
});

words!(LogLevel {
    Debug = "debug",
    Log = "log",
    Info = "info",
    Warn = "warn",
    Error = "error",
});

words!(Redirect {
    Follow = "follow",
    Manual = "manual",
    Error = "error",
});

words!(Secure {
    Off = "off",
    On = "on",
    Later = "starttls",
});

record!(Failure {
    kind = "kind",
    name = "name",
    message = "message",
    stack = "stack",
    value = "value",
    budget = "budget",
});

record!(Budget {
    name = "name",
    value = "value",
    limit = "limit",
});

record!(Limits {
    cpu_ms = "cpuMs",
    sub_requests = "subRequests",
});

record!(Entrypoint {
    name = "name",
    kind = "kind",
    handlers = "handlers",
});

impl IntoData for Payload {
    fn into_data(self) -> Data {
        object([
            ("bytes", self.bytes.into_data()),
            ("attachments", self.attachments.into_data()),
        ])
    }
}

/// Bounds the bytes of one message.
pub fn check_message(bytes: &Blob) -> Result<(), OpError> {
    bounded("a message", bytes.0.len(), MESSAGE_BYTES_MAX)
}

/// Bounds what is attached to one message.
pub fn check_attachments(count: usize) -> Result<(), OpError> {
    bounded(
        "a message's list of capabilities and streams",
        count,
        ATTACHMENTS_MAX,
    )
}

impl FromData for Payload {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut fields = Fields::of(data)?;
        let payload = Self {
            bytes: fields.take("bytes")?,
            attachments: fields.take("attachments")?,
        };
        check_message(&payload.bytes)?;
        check_attachments(payload.attachments.len())?;
        Ok(payload)
    }
}

impl IntoData for RequestHead {
    fn into_data(self) -> Data {
        object([
            ("method", self.method.into_data()),
            ("url", self.url.into_data()),
            ("headers", flat(self.headers)),
            ("redirect", self.redirect.into_data()),
            ("cf", self.cf.into_data()),
            ("encoded", self.encoded.into_data()),
        ])
    }
}

impl FromData for RequestHead {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut fields = Fields::of(data)?;
        let head = Self {
            method: fields.take("method")?,
            url: fields.take("url")?,
            headers: fields.take::<Headers>("headers")?.0,
            redirect: fields.take("redirect")?,
            cf: fields.take("cf")?,
            encoded: fields.take("encoded")?,
        };
        let bytes = head.method.len() + head.url.len() + header_bytes(&head.headers);
        bounded("a request's head", bytes + head.cf.len(), HEAD_BYTES_MAX)?;
        Ok(head)
    }
}

impl IntoData for ResponseHead {
    fn into_data(self) -> Data {
        object([
            ("status", self.status.into_data()),
            ("statusText", self.status_text.into_data()),
            ("headers", flat(self.headers)),
            ("url", self.url.into_data()),
            ("redirected", self.redirected.into_data()),
            ("encoded", self.encoded.into_data()),
        ])
    }
}

impl FromData for ResponseHead {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let mut fields = Fields::of(data)?;
        let head = Self {
            status: fields.take("status")?,
            status_text: fields.take("statusText")?,
            headers: fields.take::<Headers>("headers")?.0,
            url: fields.take("url")?,
            redirected: fields.take("redirected")?,
            encoded: fields.take("encoded")?,
        };
        let bytes = head.status_text.len() + head.url.len() + header_bytes(&head.headers);
        bounded("a response's head", bytes, HEAD_BYTES_MAX)?;
        Ok(head)
    }
}

/// Name, value, name, value.
struct Headers(Vec<(String, String)>);

fn flat(headers: Vec<(String, String)>) -> Data {
    let mut items = Vec::with_capacity(headers.len() * 2);
    for (name, value) in headers {
        items.push(Data::String(name));
        items.push(Data::String(value));
    }
    Data::List(items)
}

impl FromData for Headers {
    fn from_data(data: Data) -> Result<Self, OpError> {
        let items = list(data)?;
        if !items.len().is_multiple_of(2) {
            return Err(OpError::type_error("a header has a name and no value"));
        }
        let mut headers = Vec::with_capacity(items.len() / 2);
        let mut items = items.into_iter();
        while let (Some(name), Some(value)) = (items.next(), items.next()) {
            headers.push((String::from_data(name)?, String::from_data(value)?));
        }
        Ok(Self(headers))
    }
}

fn header_bytes(headers: &[(String, String)]) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::super::tuples::tests::{payload, round_trip};
    use super::*;

    #[test]
    fn heads_survive_the_round_trip() {
        round_trip(RequestHead {
            method: "PUT".to_owned(),
            url: "https://a.example/?q".to_owned(),
            headers: vec![
                ("x-a".to_owned(), "1".to_owned()),
                ("x-b".to_owned(), "\u{e9}".to_owned()),
            ],
            redirect: Redirect::Manual {},
            cf: "{}".to_owned(),
            encoded: true,
        });
        round_trip(ResponseHead {
            status: 418,
            status_text: "Teapot".to_owned(),
            headers: vec![("set-cookie".to_owned(), "a=b".to_owned())],
            url: String::new(),
            redirected: true,
            encoded: true,
        });
    }

    #[test]
    fn failures_limits_and_entrypoints_survive_the_round_trip() {
        for kind in [
            FailureKind::Exception {},
            FailureKind::Lost {},
            FailureKind::ExceededCpu {},
            FailureKind::ExceededMemory {},
            FailureKind::Limit {},
            FailureKind::Canceled {},
            FailureKind::Overloaded {},
            FailureKind::Network {},
            FailureKind::Internal {},
        ] {
            let mut failure = Failure::new(kind, "TypeError", "no");
            failure.value = payload();
            round_trip(failure);
        }
        round_trip(Limits {
            cpu_ms: Some(50),
            sub_requests: None,
        });
        round_trip(Entrypoint {
            name: "Api".to_owned(),
            kind: EntrypointKind::DurableObject {},
            handlers: vec!["fetch".to_owned()],
        });
    }

    #[test]
    fn a_message_beyond_its_bound_is_an_exception() {
        let data = object([
            ("bytes", Data::Bytes(vec![0; MESSAGE_BYTES_MAX + 1])),
            ("attachments", Data::List(vec![])),
        ]);
        assert_eq!(Payload::from_data(data).unwrap_err().class, "RangeError");
        let many = vec![
            Data::String("x".repeat(HEAD_BYTES_MAX)),
            Data::String(String::new()),
        ];
        let data = object([
            ("status", Data::Number(200.0)),
            ("statusText", Data::String(String::new())),
            ("headers", Data::List(many)),
            ("url", Data::String("u".to_owned())),
            ("redirected", Data::Bool(false)),
            ("encoded", Data::Bool(false)),
        ]);
        assert_eq!(
            ResponseHead::from_data(data).unwrap_err().class,
            "RangeError"
        );
    }

    #[test]
    fn values_of_another_shape_are_type_errors() {
        for data in [
            Data::Undefined,
            Data::List(vec![]),
            object([("cpuMs", Data::Number(1.5))]),
            object([("cpuMs", Data::String("1".to_owned()))]),
        ] {
            assert_eq!(Limits::from_data(data).unwrap_err().class, "TypeError");
        }
        let odd = Data::List(vec![Data::String("alone".to_owned())]);
        assert!(Headers::from_data(odd).is_err());
        let unknown = Data::String("fatal".to_owned());
        let error = LogLevel::from_data(unknown).unwrap_err();
        assert_eq!(error.message, "\"fatal\" is not a LogLevel");
    }
}
