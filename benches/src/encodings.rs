//! Encoding and compressing batches, by back-end, level and size of the batch.

use std::hint::black_box;
use std::io::Read as _;
use std::time::Instant;

use miniz_oxide::DataFormat;
use miniz_oxide::deflate::core::{CompressorOxide, TDEFLFlush, TDEFLStatus};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use prost::Message as _;
use spandrel_core::env::Protocol;
use spandrel_core::hosted::unversioned::encode::{Coding, RequestEncoder};
use spandrel_core::json;

use crate::harness::{Case, Entry, Measured};
use crate::ours::loaded;
use crate::rivals::otel;

/// Spans of a request.
const BATCHES: [u32; 8] = [64, 128, 256, 512, 1024, 2048, 4096, 8192];

/// What the transports of hosts use unless a level is asked for.
pub const FOR_SPANS: &str = "gzip, spandrel_core (for spans)";

/// What they use for a level.
const ZLIB_RS: [(&str, u32); 6] = [
    ("gzip, zlib-rs level 1", 1),
    ("gzip, zlib-rs level 2", 2),
    ("gzip, zlib-rs level 3", 3),
    ("gzip, zlib-rs level 4", 4),
    ("gzip, zlib-rs level 6", 6),
    ("gzip, zlib-rs level 9", 9),
];

/// For its figures. It is written in safe Rust.
const MINIZ: [(&str, u8); 4] = [
    ("gzip, miniz_oxide level 1", 1),
    ("gzip, miniz_oxide level 2", 2),
    ("gzip, miniz_oxide level 4", 4),
    ("gzip, miniz_oxide level 6", 6),
];

/// For its figures. It is written in C, and takes a body in one piece.
const LIBDEFLATE: [(&str, i32); 5] = [
    ("gzip, libdeflate level 1", 1),
    ("gzip, libdeflate level 2", 2),
    ("gzip, libdeflate level 4", 4),
    ("gzip, libdeflate level 6", 6),
    ("gzip, libdeflate level 9", 9),
];

/// Encoding or compressing one batch. The times are those of the batch.
pub struct Encoded {
    /// What was done.
    pub name: &'static str,
    /// Spans of a request.
    pub spans: u32,
    /// Of the whole batch.
    pub measured: Measured,
    /// Bytes of the whole batch that came out.
    pub bytes: usize,
}

/// One way for one batch, ready to be timed.
struct Way {
    entry: Entry,
    bytes: usize,
}

/// Everything for each batch size; within one size everything is measured in turns.
#[must_use]
pub fn encodings(rounds: usize) -> Vec<Encoded> {
    BATCHES
        .into_iter()
        .flat_map(|batch| {
            eprintln!("encoding {batch} spans ...");
            let (ways, spans) = ways(batch);
            let sizes: Vec<_> = ways.iter().map(|way| way.bytes).collect();
            let entries = ways.into_iter().map(|way| way.entry).collect();
            let measured = Case::new(1, entries).measure(rounds);
            let all = measured.into_iter().zip(sizes);
            all.map(move |(measured, bytes)| Encoded {
                name: measured.subject,
                spans,
                measured,
                bytes,
            })
        })
        .collect()
}

fn ways(batch: u32) -> (Vec<Way>, u32) {
    let (pipeline, mut transmit) = loaded(batch);
    let spans = transmit.spans() as u32;
    let mut body = vec![0; transmit.content_length()];
    let read = pipeline.read_body(&mut transmit, &mut body);
    assert_eq!(read, body.len(), "the whole body");

    let mut chunk = vec![0; 16 * 1024];
    let protobuf = Way {
        bytes: body.len(),
        entry: Entry::new("protobuf, spandrel", move || {
            transmit.rewind();
            while pipeline.read_body(&mut transmit, &mut chunk) > 0 {
                black_box(&chunk);
            }
        }),
    };
    let mut ways = vec![protobuf, protobuf_of_opentelemetry(spans), json(&body)];
    let levels = ZLIB_RS.map(|(name, level)| (name, Coding::GzipLevel(level)));
    let ours = [(FOR_SPANS, Coding::Gzip)].into_iter().chain(levels);
    ways.extend(ours.map(|(name, coding)| {
        let mut encoder = RequestEncoder::new(Protocol::HttpProtobuf, coding);
        let mut out = Vec::new();
        compression(name, &body, move |body, take| {
            pulled(&mut encoder, body, &mut out);
            take(&out);
        })
    }));
    ways.extend(MINIZ.map(|(name, level)| {
        let mut miniz = Miniz::new(level, body.len());
        compression(name, &body, move |body, take| take(miniz.compress(body)))
    }));
    ways.extend(LIBDEFLATE.map(|(name, level)| {
        let level = libdeflater::CompressionLvl::new(level).expect("a level");
        let mut compressor = libdeflater::Compressor::new(level);
        let mut out = vec![0; compressor.gzip_compress_bound(body.len())];
        compression(name, &body, move |body, take| {
            let len = compressor.gzip_compress(body, &mut out);
            take(&out[..len.expect("it fits")]);
        })
    }));
    let mut table = [0_u16; 1024];
    let mut out = vec![0; spandrel_core::gzip::max_compressed_len(body.len())];
    let name = "gzip, spandrel_core (for devices)";
    ways.push(compression(name, &body, move |body, take| {
        let len = spandrel_core::gzip::compress(body, &mut table, &mut out);
        take(&out[..len.expect("it fits")]);
    }));
    (ways, spans)
}

/// The same spans as `opentelemetry-otlp` encodes them. Its exporter owns the batch, so the copy
/// that each round needs is not timed.
fn protobuf_of_opentelemetry(count: u32) -> Way {
    let spans = otel::finished(count as usize);
    let resource = Resource::builder().with_service_name("bench").build();
    let resource = (&resource).into();
    let encode = move |spans| {
        let resource_spans = group_spans_by_resource_and_scope(spans, &resource);
        ExportTraceServiceRequest { resource_spans }.encode_to_vec()
    };
    Way {
        bytes: encode(spans.clone()).len(),
        entry: Entry::timed("protobuf, opentelemetry-proto", move |_| {
            let spans = spans.clone();
            let start = Instant::now();
            black_box(encode(spans));
            start.elapsed().as_nanos() as u64
        }),
    }
}

fn json(body: &[u8]) -> Way {
    let body = body.to_vec();
    let mut text = String::new();
    json::export_request(&body, &mut text).expect("a request of ours");
    Way {
        bytes: text.len(),
        entry: Entry::new("JSON of the protobuf, spandrel", move || {
            text.clear();
            json::export_request(&body, &mut text).expect("a request of ours");
        }),
    }
}

/// Gets what came out.
type Take<'a> = &'a mut dyn FnMut(&[u8]);

/// Checks that what comes out can be decompressed, then times it.
fn compression(
    name: &'static str,
    body: &[u8],
    mut compress: impl FnMut(&[u8], Take) + 'static,
) -> Way {
    let body = body.to_vec();
    let (mut bytes, mut plain) = (0, Vec::new());
    compress(&body, &mut |compressed| {
        bytes = compressed.len();
        let mut decoder = flate2::read::GzDecoder::new(compressed);
        decoder.read_to_end(&mut plain).expect("gzip");
    });
    assert!(plain == body, "{name}: not the body");
    let run = move || {
        compress(&body, &mut |compressed| {
            black_box(compressed);
        });
    };
    Way {
        bytes,
        entry: Entry::new(name, run),
    }
}

/// Pulled in pieces, as the transport does it.
fn pulled(encoder: &mut RequestEncoder, body: &[u8], out: &mut Vec<u8>) {
    let mut left = body;
    let encoded = encoder.encode(
        |chunk| {
            let len = left.len().min(chunk.len());
            let (now, later) = left.split_at(len);
            chunk[..len].copy_from_slice(now);
            left = later;
            len
        },
        out,
    );
    encoded.expect("it compresses");
}

/// `miniz_oxide` with a reused state, and the frame of gzip around it.
struct Miniz {
    state: Box<CompressorOxide>,
    out: Vec<u8>,
}

impl Miniz {
    fn new(level: u8, len: usize) -> Self {
        let mut state = Box::<CompressorOxide>::default();
        state.set_format_and_level(DataFormat::Raw, level);
        Self {
            state,
            out: vec![0; len + len / 16 + 128],
        }
    }

    fn compress(&mut self, body: &[u8]) -> &[u8] {
        const HEAD: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        self.state.reset();
        self.out[..HEAD.len()].copy_from_slice(&HEAD);
        let room = &mut self.out[HEAD.len()..];
        let (status, _, written) =
            miniz_oxide::deflate::core::compress(&mut self.state, body, room, TDEFLFlush::Finish);
        assert_eq!(status, TDEFLStatus::Done, "there is room");
        let mut crc = flate2::Crc::new();
        crc.update(body);
        let end = HEAD.len() + written;
        self.out[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
        self.out[end + 4..end + 8].copy_from_slice(&crc.amount().to_le_bytes());
        &self.out[..end + 8]
    }
}
