//! What the server keeps of a request.

use std::io::Read;
use std::time::Instant;

use flate2::read::MultiGzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

use super::http::Head;

/// No honest request decodes to more than this.
const MAX_DECODED: u64 = 256 * 1024 * 1024;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Request {
    /// The connection it came on, counted from 1 in order of acceptance.
    pub connection: u64,
    /// When its head had been read.
    pub arrived: Instant,
    /// Its place on that connection, counted from 1; above 1 the connection was reused.
    pub on_connection: u64,
    /// The method.
    pub method: String,
    /// The request target as sent: a path, or a whole URL if the client took us for a proxy.
    pub target: String,
    /// All headers, in order, values that are not UTF-8 made so.
    pub headers: Vec<(String, String)>,
    /// The body without transfer coding, with content coding.
    pub body: Vec<u8>,
    /// The last byte of the body was read.
    pub complete: bool,
    /// The export request inside, or why there is none.
    pub export: Result<ExportTraceServiceRequest, String>,
}

impl Request {
    pub(super) fn new(head: &Head, connection: u64, on_connection: u64) -> Self {
        Self {
            connection,
            arrived: Instant::now(),
            on_connection,
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            body: Vec::new(),
            complete: false,
            export: Err("not read to the end".to_owned()),
        }
    }

    pub(super) fn finish(&mut self, body: Vec<u8>, complete: bool) {
        self.body = body;
        self.complete = complete;
        if complete {
            self.export = self.decoded().and_then(|plain| {
                ExportTraceServiceRequest::decode(plain.as_slice())
                    .map_err(|error| error.to_string())
            });
        }
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).into_iter().next()
    }

    /// All values of a header, in order.
    #[must_use]
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    /// The body without its content coding.
    ///
    /// # Errors
    /// A text, if the coding is unknown, the data broken or longer than 256 MiB.
    pub fn decoded(&self) -> Result<Vec<u8>, String> {
        match self.header("content-encoding") {
            None => Ok(self.body.clone()),
            Some("gzip") => {
                let mut plain = Vec::new();
                let read = MultiGzDecoder::new(self.body.as_slice())
                    .take(MAX_DECODED + 1)
                    .read_to_end(&mut plain)
                    .map_err(|error| error.to_string())?;
                if read as u64 > MAX_DECODED {
                    return Err("longer than 256 MiB once decoded".to_owned());
                }
                Ok(plain)
            }
            Some(other) => Err(format!("content coding {other}")),
        }
    }

    /// Every span in it, in order; none if it holds no export request.
    pub fn spans(&self) -> impl Iterator<Item = &Span> {
        self.export
            .iter()
            .flat_map(|export| &export.resource_spans)
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans)
    }
}
