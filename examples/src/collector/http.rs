//! One request: read it, decode it, keep it, answer it.

use std::io::{self, Read};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::{Value, json};
use tiny_http::{Header, Method, Request, Response};

use super::{ReceivedRequest, ReceivedSpan, Refusal, Shared};

/// The largest body that is taken, before and after decompression.
const MAX_BODY: u64 = 64 << 20;

/// The body encodings of OTLP/HTTP; the answer has that of the request (spec A-074).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Protobuf,
    Json,
}

impl Format {
    fn of(content_type: &str) -> Option<Self> {
        match content_type.split(';').next().unwrap_or_default().trim() {
            "application/x-protobuf" => Some(Self::Protobuf),
            "application/json" => Some(Self::Json),
            _ => None,
        }
    }

    const fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }
}

/// `google.rpc.Status`, the body of an answer that is not a success.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// An answer other than 200.
struct Failure {
    status: u16,
    message: String,
    retry_after: Option<u32>,
}

impl Failure {
    fn new(status: u16, message: impl ToString) -> Self {
        Self {
            status,
            message: message.to_string(),
            retry_after: None,
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self {
            retry_after: refusal.retry_after,
            ..Self::new(refusal.status, "the collector was told to refuse")
        }
    }
}

pub(super) fn handle(mut request: Request, shared: &Shared) {
    let mut received = describe(&request);
    let format = received.header("content-type").and_then(Format::of);
    // Read the body whatever comes of it: the connection goes on after it.
    let body = read(request.as_reader());
    let outcome = body.and_then(|body| {
        received.wire_bytes = body.len();
        let body = decompressed(body, received.content_encoding())?;
        received.body_bytes = body.len();
        check(&request, format)?;
        if let Some(refusal) = shared.lock().refusal {
            return Err(refusal.into());
        }
        decode(&body, format)
    });
    let (message, failure) = match outcome {
        Ok(message) => (message, None),
        Err(failure) => (ExportTraceServiceRequest::default(), Some(failure)),
    };
    received.status = failure.as_ref().map_or(200, |failure| failure.status);
    received.spans = message
        .resource_spans
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .map(|scope| scope.spans.len())
        .sum();
    let received = Arc::new(received);
    // Before the answer, so that whoever has the answer finds the spans.
    shared.change(|state| {
        state.spans.extend(spans(message, &received));
        state.requests.push(received);
    });
    // A client that has gone away needs no answer.
    let _ = request.respond(answer(format.unwrap_or(Format::Protobuf), failure));
}

fn describe(request: &Request) -> ReceivedRequest {
    let headers = request.headers().iter();
    ReceivedRequest {
        method: request.method().to_string(),
        path: request.url().to_owned(),
        headers: headers
            .map(|header| {
                let name = header.field.as_str().as_str().to_ascii_lowercase();
                (name, header.value.to_string())
            })
            .collect(),
        ..ReceivedRequest::default()
    }
}

fn read(source: impl Read) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    let read = source.take(MAX_BODY + 1).read_to_end(&mut body);
    match read {
        Err(error) => Err(Failure::new(400, error)),
        Ok(len) if len as u64 > MAX_BODY => Err(Failure::new(413, "the body is too large")),
        Ok(_) => Ok(body),
    }
}

fn decompressed(body: Vec<u8>, encoding: Option<&str>) -> Result<Vec<u8>, Failure> {
    match encoding {
        None | Some("identity") => Ok(body),
        Some("gzip") => read(MultiGzDecoder::new(&*body)),
        Some(other) => Err(Failure::new(415, format!("unknown encoding {other}"))),
    }
}

fn check(request: &Request, format: Option<Format>) -> Result<(), Failure> {
    if request.url() != "/v1/traces" {
        Err(Failure::new(404, "spans go to /v1/traces"))
    } else if *request.method() != Method::Post {
        Err(Failure::new(405, "spans come by POST"))
    } else if format.is_none() {
        Err(Failure::new(415, "neither protobuf nor JSON"))
    } else {
        Ok(())
    }
}

fn decode(body: &[u8], format: Option<Format>) -> Result<ExportTraceServiceRequest, Failure> {
    if format == Some(Format::Json) {
        serde_json::from_slice(body)
            .map(completed)
            .and_then(serde_json::from_value)
            .map_err(|error| Failure::new(400, error))
    } else {
        ExportTraceServiceRequest::decode(body).map_err(|error| Failure::new(400, error))
    }
}

/// Puts in what the official types cannot do without, although proto3 JSON leaves it out: empty
/// lists and keys. (A double that is no number is beyond them and remains an error.)
fn completed(value: Value) -> Value {
    let complete = |(name, value): (String, Value)| {
        let mut value = completed(value);
        match (name.as_str(), &mut value) {
            ("arrayValue" | "kvlistValue", Value::Object(list)) => {
                list.entry("values").or_insert(json!([]));
            }
            // The items of an array have no key, and one there is ignored.
            ("attributes" | "values", Value::Array(entries)) => {
                for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
                    entry.entry("key").or_insert(json!(""));
                }
            }
            _ => {}
        }
        (name, value)
    };
    match value {
        Value::Object(fields) => fields.into_iter().map(complete).collect(),
        Value::Array(items) => items.into_iter().map(completed).collect(),
        other => other,
    }
}

fn spans(
    message: ExportTraceServiceRequest,
    request: &Arc<ReceivedRequest>,
) -> impl Iterator<Item = ReceivedSpan> {
    message.resource_spans.into_iter().flat_map(move |group| {
        let resource = Arc::new(group.resource.unwrap_or_default());
        group.scope_spans.into_iter().flat_map(move |group| {
            let resource = Arc::clone(&resource);
            let scope = Arc::new(group.scope.unwrap_or_default());
            group.spans.into_iter().map(move |span| ReceivedSpan {
                resource: Arc::clone(&resource),
                scope: Arc::clone(&scope),
                span,
                request: Arc::clone(request),
            })
        })
    })
}

/// A success is an empty message: nothing in protobuf, `{}` in JSON.
fn answer(format: Format, failure: Option<Failure>) -> Response<io::Cursor<Vec<u8>>> {
    let body = match (&failure, format) {
        (None, Format::Protobuf) => Vec::new(),
        (None, Format::Json) => b"{}".to_vec(),
        (Some(failure), Format::Protobuf) => RpcStatus {
            code: rpc_code(failure.status),
            message: failure.message.clone(),
        }
        .encode_to_vec(),
        (Some(failure), Format::Json) => {
            json!({ "code": rpc_code(failure.status), "message": failure.message })
                .to_string()
                .into_bytes()
        }
    };
    let status = failure.as_ref().map_or(200, |failure| failure.status);
    let retry_after = failure.and_then(|failure| failure.retry_after);
    let headers = [
        Some(("content-type", format.content_type().to_owned())),
        retry_after.map(|seconds| ("retry-after", seconds.to_string())),
        (status == 405).then(|| ("allow", "POST".to_owned())),
    ];
    headers
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Header::from_bytes(name, value).ok())
        .fold(
            Response::from_data(body).with_status_code(status),
            Response::with_header,
        )
}

/// The code of `google.rpc` that comes nearest to an HTTP status.
const fn rpc_code(status: u16) -> i32 {
    match status {
        400..=499 if status != 429 => 3, // INVALID_ARGUMENT
        429 | 502..=504 => 14,           // UNAVAILABLE
        _ => 13,                         // INTERNAL
    }
}
