//! gzip for spans against flate2's decoder.

use std::io::Read;

use flate2::read::GzDecoder;
use spandrel_core::hosted::span_gzip::SpanGzip;

/// The first byte says whether the rest is compressed as it is, or as what the spans of a request
/// consist of; what follows says how it is cut.
pub fn run(bytes: &[u8]) {
    let Some((&[form, cut, copies, piece], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let body = match form % 3 {
        0 => rest.to_vec(),
        1 => request(rest, usize::from(cut), 1),
        _ => request(rest, usize::from(cut), 2 + usize::from(copies)),
    };
    let mut gzip = SpanGzip::new();
    // Twice, because what the first body left must not matter.
    let first = compressed(&mut gzip, &body, 1 + 5 * usize::from(piece));
    assert!(first.len() <= body.len() + body.len() / 1000 + 64);
    assert!(decoded(&first) == body, "{} bytes", body.len());
    assert!(compressed(&mut gzip, &body, usize::MAX) == first);
}

/// The member that `gzip` makes of `body` when it gets `piece` bytes at a time.
pub fn compressed(gzip: &mut SpanGzip, body: &[u8], piece: usize) -> Vec<u8> {
    let mut left = body;
    let mut output = Vec::new();
    gzip.compress(
        |target| {
            let (now, later) = left.split_at(target.len().min(left.len()).min(piece));
            target[..now.len()].copy_from_slice(now);
            left = later;
            now.len()
        },
        &mut output,
    )
    .expect("memory");
    output
}

/// What flate2 makes of a member.
pub fn decoded(member: &[u8]) -> Vec<u8> {
    let mut decoder = GzDecoder::new(member);
    let mut plain = Vec::new();
    decoder.read_to_end(&mut plain).expect("flate2 decodes it");
    assert!(decoder.into_inner().is_empty(), "bytes after the trailer");
    plain
}

/// A request whose spans look like spans in their fixed start, and hold `bytes` in pieces of up to
/// `cut`; all of it `copies` times, but not much more than the encoder looks at together.
fn request(bytes: &[u8], cut: usize, copies: usize) -> Vec<u8> {
    let mut spans = Vec::new();
    for _ in 0..copies {
        if spans.len() > 200_000 {
            break;
        }
        for piece in bytes.chunks(cut + 1) {
            let mut span = vec![0x85, 1, 3, 1, 0, 0, 0x12, 8];
            let byte = |n: usize| piece.get(n).copied().unwrap_or_default();
            span.extend([byte(0), byte(1), byte(2), 9, 9, 9, 9, byte(3)]);
            for n in 0..2 {
                span.push(0x39 + 8 * n);
                span.extend([byte(4), byte(n.into()), 0, 0, 7, 7, byte(5), 0x18]);
            }
            span.extend([0x30, 1, 0x0a, 16]);
            span.extend([byte(6) % 4; 16]);
            span.extend(piece);
            field(0x12, &span, &mut spans);
        }
    }
    let mut scope_spans = Vec::new();
    field(0x0a, b"\x0a\x05scope", &mut scope_spans);
    scope_spans.extend(spans);
    let mut resource_spans = Vec::new();
    field(0x0a, b"resource", &mut resource_spans);
    field(0x12, &scope_spans, &mut resource_spans);
    let mut request = Vec::new();
    field(0x0a, &resource_spans, &mut request);
    request
}

fn field(tag: u8, body: &[u8], target: &mut Vec<u8>) {
    target.push(tag);
    let mut len = body.len();
    while len >= 128 {
        target.push(len as u8 | 128);
        len >>= 7;
    }
    target.push(len as u8);
    target.extend(body);
}
