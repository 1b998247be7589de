//! OpenTelemetry: spans and metrics over OTLP (http/protobuf), by the standard environment variables.
//!
//! Off unless an endpoint is set. A trace that the supervisor gathered becomes one span for the
//! invocation and one for each span in it, with the ids that tails see, so that a caller's call and
//! the callee's invocation are one trace. Spans wait in the SDK's bounded queue and leave from its
//! thread; the exchange itself runs on the host's runtime.
//!
//! Invariant: the SDK's threads wait for a collector, nobody else does.

use crate::metrics::Metrics;
use crate::redact;
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use mayfly_supervisor::{Observer, Span, Supervisor, TraceReport};
use opentelemetry::metrics::MeterProvider;
use opentelemetry::trace::{
    Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor,
};
use serde_json::Value;
use std::env;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Bytes of a collector's answer.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// How long an exchange with a collector may take, where the environment does not say.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How long the last spans may take to leave.
const SHUTDOWN_MAX: Duration = Duration::from_secs(3);

/// Why there is no telemetry although it was asked for.
#[derive(Debug, thiserror::Error)]
#[error("OpenTelemetry: {0}")]
pub struct OtelError(String);

/// See the file's head.
pub struct Otel {
    spans: Option<BatchSpanProcessor>,
    share: f64,
    scope: InstrumentationScope,
    resource: Resource,
    wants_metrics: bool,
    /// From `start_metrics` on.
    metrics: OnceLock<SdkMeterProvider>,
    client: Collector,
}

/// What the environment asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Wanted {
    traces: bool,
    metrics: bool,
    /// The share of traces that is sampled.
    share: f64,
}

impl Otel {
    /// As the environment says; `None` where it asks for nothing. Inside a runtime.
    pub fn from_env() -> Result<Option<Self>, OtelError> {
        let Some(wanted) = wanted(|name| env::var(name).ok())? else {
            return Ok(None);
        };
        let client = Collector::new()?;
        let mut resource = Resource::builder();
        if env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("mayfly");
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        let resource = resource.with_attribute(version).build();
        let spans = match wanted.traces {
            true => Some(processor(&client, &resource)?),
            false => None,
        };
        Ok(Some(Self {
            spans,
            share: wanted.share,
            scope: InstrumentationScope::builder("mayfly").build(),
            resource,
            wants_metrics: wanted.metrics,
            metrics: OnceLock::new(),
            client,
        }))
    }

    /// Begins to send metrics, if they are wanted.
    pub fn start_metrics(
        &self,
        supervisor: &Arc<Supervisor>,
        counts: Arc<Metrics>,
    ) -> Result<(), OtelError> {
        if !self.wants_metrics {
            return Ok(());
        }
        let exporter = MetricExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_http_client(self.client.clone())
            .build()
            .map_err(|error| OtelError(error.to_string()))?;
        // The interval is the environment's, or a minute.
        let provider = SdkMeterProvider::builder()
            .with_resource(self.resource.clone())
            .with_reader(PeriodicReader::builder(exporter).build())
            .build();
        instruments(&provider, supervisor, &counts);
        let _ = self.metrics.set(provider);
        Ok(())
    }

    /// Sends what waits. Blocks for some seconds at most.
    pub fn shutdown(&self) {
        if let Some(spans) = &self.spans {
            let _ = spans.shutdown_with_timeout(SHUTDOWN_MAX);
        }
        if let Some(metrics) = self.metrics.get() {
            let _ = metrics.shutdown_with_timeout(SHUTDOWN_MAX);
        }
    }

    fn invocation_span(&self, report: &TraceReport<'_>, trace_id: TraceId) -> SpanData {
        let invocation = report.invocation;
        let mut attributes = vec![
            KeyValue::new("mayfly.worker", invocation.worker.to_owned()),
            KeyValue::new("mayfly.root", invocation.root.to_string()),
            KeyValue::new("mayfly.event", invocation.event.name()),
            KeyValue::new("mayfly.outcome", invocation.outcome),
            KeyValue::new("mayfly.cpu_us", whole(invocation.cpu.as_micros())),
        ];
        if !invocation.entrypoint.is_empty() {
            let entrypoint = invocation.entrypoint.to_owned();
            attributes.push(KeyValue::new("mayfly.entrypoint", entrypoint));
        }
        let mut name = invocation.event.name().to_owned();
        if !report.url.is_empty() {
            name = format!("{} {}", report.method, invocation.root);
            let method = report.method.to_owned();
            attributes.push(KeyValue::new("http.request.method", method));
            attributes.push(KeyValue::new("url.full", redact::url(report.url)));
        } else if !report.method.is_empty() {
            name = report.method.to_owned();
            attributes.push(KeyValue::new("rpc.method", name.clone()));
        }
        let item: Value = serde_json::from_str(report.item).unwrap_or_default();
        if let Some(status) = item["event"]["response"]["status"].as_i64() {
            attributes.push(KeyValue::new("http.response.status_code", status));
        }
        let status = match invocation.outcome {
            "ok" => Status::Unset,
            outcome => Status::error(outcome),
        };
        SpanData {
            span_context: context(trace_id, report.context.span_id),
            parent_span_id: SpanId::from(report.parent.unwrap_or(0)),
            parent_span_is_remote: false,
            span_kind: SpanKind::Server,
            name: name.into(),
            start_time: report.began,
            end_time: report.began + invocation.wall,
            attributes,
            dropped_attributes_count: 0,
            events: events(&item),
            links: SpanLinks::default(),
            status,
            instrumentation_scope: self.scope.clone(),
        }
    }

    fn inner_span(&self, span: &Span, trace_id: TraceId) -> SpanData {
        let is_call = matches!(span.name.as_str(), "fetch" | "jsRpcSession");
        SpanData {
            span_context: context(trace_id, span.id),
            parent_span_id: SpanId::from(span.parent),
            parent_span_is_remote: false,
            span_kind: match is_call {
                true => SpanKind::Client,
                false => SpanKind::Internal,
            },
            name: span.name.clone().into(),
            start_time: span.began,
            end_time: span.ended,
            attributes: attributes(&span.attributes),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

impl Observer for Otel {
    fn wants_traces(&self) -> bool {
        self.spans.is_some() && self.share > 0.0
    }

    fn trace(&self, report: &TraceReport<'_>) {
        let Some(spans) = &self.spans else { return };
        if !is_sampled(report.context.trace_id, self.share) {
            return;
        }
        let trace_id = TraceId::from(report.context.trace_id);
        for span in report.spans {
            spans.on_end(self.inner_span(span, trace_id));
        }
        spans.on_end(self.invocation_span(report, trace_id));
    }
}

/// By the id alone, so that all of a trace is kept or nothing.
fn is_sampled(trace_id: u128, share: f64) -> bool {
    const LOW_63: u128 = (1 << 63) - 1;
    // The largest numbers are rounded up to the bound.
    share >= 1.0 || ((trace_id & LOW_63) as f64) < share * (1u64 << 63) as f64
}

fn context(trace_id: TraceId, span_id: u64) -> SpanContext {
    let id = SpanId::from(span_id);
    SpanContext::new(
        trace_id,
        id,
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    )
}

/// Exceptions, by the conventions. Log lines stay with the tails.
fn events(item: &Value) -> SpanEvents {
    let mut events = SpanEvents::default();
    for exception in item["exceptions"].as_array().into_iter().flatten() {
        let text = |name: &str| exception[name].as_str().unwrap_or_default().to_owned();
        let at = UNIX_EPOCH + Duration::from_millis(exception["timestamp"].as_u64().unwrap_or(0));
        let attributes = vec![
            KeyValue::new("exception.type", text("name")),
            KeyValue::new("exception.message", text("message")),
            KeyValue::new("exception.stacktrace", text("stack")),
        ];
        events
            .events
            .push(Event::new("exception", at, attributes, 0));
    }
    events
}

/// A guest's, checked to be an array of JSON.
fn attributes(json: &str) -> Vec<KeyValue> {
    let values: Vec<Value> = serde_json::from_str(json).unwrap_or_default();
    let attribute = |value: &Value| {
        let name = value["name"].as_str()?.to_owned();
        Some(match &value["value"] {
            Value::Bool(flag) => KeyValue::new(name, *flag),
            Value::Number(number) => match number.as_i64() {
                Some(whole) => KeyValue::new(name, whole),
                None => KeyValue::new(name, number.as_f64()?),
            },
            Value::String(text) if name == "url.full" => KeyValue::new(name, redact::url(text)),
            Value::String(text) => KeyValue::new(name, text.clone()),
            other => KeyValue::new(name, other["int"].as_str()?.parse::<i64>().ok()?),
        })
    };
    values.iter().filter_map(attribute).collect()
}

fn whole(number: u128) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn processor(client: &Collector, resource: &Resource) -> Result<BatchSpanProcessor, OtelError> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_http_client(client.clone())
        .build()
        .map_err(|error| OtelError(error.to_string()))?;
    // Size of the queue, of a batch and the delay are the environment's (OTEL_BSP_*).
    let mut processor = BatchSpanProcessor::builder(exporter).build();
    processor.set_resource(resource);
    Ok(processor)
}

/// The same numbers as for Prometheus, read when they are sent.
fn instruments(provider: &SdkMeterProvider, supervisor: &Arc<Supervisor>, counts: &Arc<Metrics>) {
    let meter = provider.meter("mayfly");
    let of = |counts: &Arc<Metrics>| counts.clone();
    let series = of(counts);
    meter
        .u64_observable_counter("mayfly.invocations")
        .with_description("Invocations that are over, by configured Worker.")
        .with_callback(move |observer| {
            for (labels, count, _, _) in series.series() {
                observer.observe(count, &key_values(&labels));
            }
        })
        .build();
    let series = of(counts);
    meter
        .f64_observable_counter("mayfly.invocation.cpu")
        .with_unit("s")
        .with_description("CPU time of invocations.")
        .with_callback(move |observer| {
            for (labels, _, cpu, _) in series.series() {
                observer.observe(cpu.as_secs_f64(), &key_values(&labels));
            }
        })
        .build();
    let series = of(counts);
    meter
        .f64_observable_counter("mayfly.invocation.wall")
        .with_unit("s")
        .with_description("From delivery to the end of all work.")
        .with_callback(move |observer| {
            for (labels, _, _, wall) in series.series() {
                observer.observe(wall.as_secs_f64(), &key_values(&labels));
            }
        })
        .build();
    type Read = fn(&mayfly_supervisor::Metrics) -> u64;
    let gauges: [(&'static str, Read); 4] = [
        ("mayfly.guests.live", |numbers| numbers.guests_live),
        ("mayfly.guests.ready", |numbers| numbers.guests_ready),
        ("mayfly.workers.waiting", |numbers| numbers.workers_waiting),
        ("mayfly.guests.memory", |numbers| numbers.memory_bytes),
    ];
    for (name, read) in gauges {
        let supervisor = Arc::downgrade(supervisor);
        meter
            .u64_observable_gauge(name)
            .with_callback(move |observer| {
                if let Some(supervisor) = supervisor.upgrade() {
                    observer.observe(read(&supervisor.metrics()), &[]);
                }
            })
            .build();
    }
}

fn key_values((worker, event, outcome): &(Arc<str>, &'static str, &'static str)) -> [KeyValue; 3] {
    [
        KeyValue::new("mayfly.worker", worker.to_string()),
        KeyValue::new("mayfly.event", *event),
        KeyValue::new("mayfly.outcome", *outcome),
    ]
}

/// What the environment asks for; `None` where no endpoint is set or everything is switched off.
fn wanted(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Wanted>, OtelError> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    if set("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    let everywhere = set("OTEL_EXPORTER_OTLP_ENDPOINT").is_some();
    let signal = |endpoint: &str, exporter: &str| -> Result<bool, OtelError> {
        match set(exporter).as_deref() {
            None | Some("otlp") => Ok(everywhere || set(endpoint).is_some()),
            Some("none") => Ok(false),
            Some(other) => Err(OtelError(format!(
                "{exporter}={other}: there are otlp and none"
            ))),
        }
    };
    let wanted = Wanted {
        traces: signal("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER")?,
        metrics: signal(
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "OTEL_METRICS_EXPORTER",
        )?,
        share: share(set("OTEL_TRACES_SAMPLER"), set("OTEL_TRACES_SAMPLER_ARG"))?,
    };
    for name in [
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
    ] {
        if let Some(protocol) = set(name).filter(|protocol| protocol != "http/protobuf") {
            return Err(OtelError(format!(
                "{name}={protocol}: there is http/protobuf"
            )));
        }
    }
    Ok((wanted.traces || wanted.metrics).then_some(wanted))
}

fn share(sampler: Option<String>, argument: Option<String>) -> Result<f64, OtelError> {
    let Some(sampler) = sampler else {
        return Ok(1.0);
    };
    // A parent here is of the same trace, and so decided alike.
    match sampler.strip_prefix("parentbased_").unwrap_or(&sampler) {
        "always_on" => Ok(1.0),
        "always_off" => Ok(0.0),
        "traceidratio" => match argument.map(|argument| argument.parse::<f64>()) {
            None => Ok(1.0),
            Some(Ok(share)) if (0.0..=1.0).contains(&share) => Ok(share),
            Some(_) => Err(OtelError(
                "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1".to_owned(),
            )),
        },
        _ => Err(OtelError(format!(
            "OTEL_TRACES_SAMPLER={sampler} is not known"
        ))),
    }
}

// ---- the exchange

/// A client on the host's runtime, for threads that have none.
#[derive(Clone)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
    timeout: Duration,
}

impl Collector {
    fn new() -> Result<Self, OtelError> {
        let provider = rustls::crypto::ring::default_provider();
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| OtelError(error.to_string()))?
            .https_or_http()
            .enable_http1()
            .build();
        let timeout = env::var("OTEL_EXPORTER_OTLP_TIMEOUT").ok();
        let timeout = timeout
            .and_then(|ms| ms.parse().ok())
            .map(Duration::from_millis);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime: Handle::current(),
            timeout: timeout.unwrap_or(TIMEOUT),
        })
    }
}

#[async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (sender, answer) = oneshot::channel();
        let (client, timeout) = (self.client.clone(), self.timeout);
        self.runtime.spawn(async move {
            let exchange = tokio::time::timeout(timeout, exchange(&client, request));
            let outcome = match exchange.await {
                Ok(outcome) => outcome,
                Err(_) => Err("the collector did not answer in time".into()),
            };
            // Whoever asked may be gone.
            let _ = sender.send(outcome);
        });
        answer.await?
    }
}

async fn exchange(
    client: &Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let answer = client.request(request.map(Full::new)).await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}

impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collector")
    }
}

impl fmt::Debug for Otel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Otel")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<String> {
        move |name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn nothing_is_sent_unless_the_environment_says_where() {
        assert_eq!(wanted(environment(&[])).unwrap(), None);
        let off = &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x"),
            ("OTEL_SDK_DISABLED", "true"),
        ];
        assert_eq!(wanted(environment(off)).unwrap(), None);
        let both = wanted(environment(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://x")]));
        let both = both.unwrap().unwrap();
        assert_eq!((both.traces, both.metrics, both.share), (true, true, 1.0));
        let one = wanted(environment(&[
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://x"),
            ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ]));
        let one = one.unwrap().unwrap();
        assert_eq!((one.traces, one.metrics, one.share), (true, false, 0.25));
    }

    #[test]
    fn what_is_not_supported_is_named() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "xray"),
            ("OTEL_TRACES_EXPORTER", "zipkin"),
        ] {
            let said = wanted(|asked| (asked == name).then(|| value.to_owned())).unwrap_err();
            assert!(said.to_string().contains(value), "{said}");
        }
    }

    #[test]
    fn a_share_of_traces_is_sampled_whole() {
        let ids = (0..4000u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        let kept = ids.filter(|id| is_sampled(*id, 0.25)).count();
        assert!((800..1200).contains(&kept), "{kept}");
        assert!(is_sampled(u128::MAX, 1.0) && !is_sampled(0, 0.0));
    }

    #[test]
    fn attributes_keep_their_kinds() {
        let given = r#"[{"name":"a","value":true},{"name":"b","value":1.5},{"name":"c","value":"x"},
            {"name":"d","value":{"int":"200"}},{"name":"e","value":null},{"value":1}]"#;
        let expect = vec![
            KeyValue::new("a", true),
            KeyValue::new("b", 1.5),
            KeyValue::new("c", "x"),
            KeyValue::new("d", 200i64),
        ];
        assert_eq!(attributes(given), expect);
        assert!(attributes("nonsense").is_empty());
    }

    #[test]
    fn exceptions_are_events() {
        let item = serde_json::json!({"exceptions": [
            {"timestamp": 1000, "name": "TypeError", "message": "no"},
        ]});
        let events = events(&item);
        assert_eq!(
            (events.len(), events[0].timestamp),
            (1, UNIX_EPOCH + Duration::from_secs(1))
        );
        assert_eq!(
            events[0].attributes[0],
            KeyValue::new("exception.type", "TypeError")
        );
    }
}
