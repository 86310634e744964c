//! The collector of the benches: an HTTP server that answers every request with 200 at once, keeps
//! the bodies, and decodes them only when it is over.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

/// A success of OTLP over HTTP without a message: an empty protobuf.
const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n";

/// A body, and whether it is compressed.
struct Stored {
    body: Vec<u8>,
    gzip: bool,
}

#[derive(Default)]
struct Received {
    bodies: Vec<Stored>,
    head_bytes: u64,
}

/// A running sink.
#[derive(Clone)]
pub struct Sink {
    address: SocketAddr,
    received: Arc<Mutex<Received>>,
}

/// What came in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Spans in them.
    pub spans: u64,
    /// Attributes of the spans.
    pub attributes: u64,
    /// Bytes of heads and bodies together.
    pub wire_bytes: u64,
    /// Bytes of the bodies, decompressed.
    pub plain_bytes: u64,
}

impl Sink {
    /// Starts on a free port of this machine; its threads run until the process ends.
    ///
    /// # Errors
    ///
    /// Those of the listener.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let sink = Self {
            address: listener.local_addr()?,
            received: Arc::default(),
        };
        let received = Arc::clone(&sink.received);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let received = Arc::clone(&received);
                std::thread::spawn(move || {
                    // The end of a connection, in whatever way, is no news.
                    let _ = serve(&stream, &received);
                });
            }
        });
        Ok(sink)
    }

    /// `http://host:port`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Decodes everything that came in so far and forgets it.
    ///
    /// # Panics
    ///
    /// When a body is not what it should be: such a run measures nothing.
    #[must_use]
    pub fn take_totals(&self) -> Totals {
        let received = std::mem::take(&mut *self.received.lock().expect("no panic"));
        let mut totals = Totals {
            wire_bytes: received.head_bytes,
            ..Totals::default()
        };
        for stored in &received.bodies {
            totals.requests += 1;
            totals.wire_bytes += stored.body.len() as u64;
            let mut plain = Vec::new();
            let body = if stored.gzip {
                let mut decoder = flate2::bufread::MultiGzDecoder::new(stored.body.as_slice());
                decoder.read_to_end(&mut plain).expect("a gzip body");
                plain.as_slice()
            } else {
                stored.body.as_slice()
            };
            totals.plain_bytes += body.len() as u64;
            let request = ExportTraceServiceRequest::decode(body).expect("an OTLP request");
            for scope in request.resource_spans.iter().flat_map(|r| &r.scope_spans) {
                totals.spans += scope.spans.len() as u64;
                let attributes = scope.spans.iter().map(|s| s.attributes.len() as u64);
                totals.attributes += attributes.sum::<u64>();
            }
        }
        totals
    }
}

fn serve(stream: &TcpStream, received: &Mutex<Received>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(64 * 1024, stream);
    let mut writer = stream;
    let mut line = String::new();
    loop {
        let mut head_bytes = 0;
        let (mut length, mut chunked, mut gzip) = (0, false, false);
        loop {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            head_bytes += line.len() as u64;
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            let Some((name, value)) = text.split_once(':') else {
                continue;
            };
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().unwrap_or(0),
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "content-encoding" => gzip = value.eq_ignore_ascii_case("gzip"),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        if chunked {
            head_bytes += read_chunks(&mut reader, &mut body)?;
        } else {
            reader.read_exact(&mut body)?;
        }
        {
            let mut received = received.lock().expect("no panic");
            received.head_bytes += head_bytes;
            received.bodies.push(Stored { body, gzip });
        }
        writer.write_all(ANSWER)?;
    }
}

/// The bytes of the framing.
fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<u64> {
    let mut framing = 0;
    let mut line = String::new();
    loop {
        line.clear();
        framing += reader.read_line(&mut line)? as u64 + 2;
        let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
        let start = body.len();
        body.resize(start + size, 0);
        reader.read_exact(&mut body[start..])?;
        line.clear();
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(framing);
        }
    }
}
