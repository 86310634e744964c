//! gzip for devices against flate2's decoder.

use std::io::Read;

use flate2::read::GzDecoder;
use spandrel_core::gzip::{GzipEncoder, MIN_WINDOW_BYTES, compress, max_compressed_len};

/// The first four bytes choose the sizes, the rest is compressed.
pub fn run(bytes: &[u8]) {
    let Some((&[table, window, piece, chunk], input)) = bytes.split_first_chunk() else {
        return;
    };
    let mut table = vec![0; 256 << (table % 5)];
    let bound = max_compressed_len(input.len());

    let mut out = vec![0; bound];
    let len = compress(input, &mut table, &mut out).expect("the bound is enough");
    out.truncate(len);
    assert_eq!(decoded(&out), input, "one shot");

    let mut window = vec![0; MIN_WINDOW_BYTES + 5 * usize::from(window)];
    let mut encoder = GzipEncoder::new(&mut window, &mut table).expect("the sizes are allowed");
    let mut left = input;
    let mut chunk = vec![0; 1 + usize::from(chunk)];
    let mut out = Vec::new();
    loop {
        let len = encoder.read(&mut chunk, |target| {
            let count = target.len().min(left.len()).min(1 + 3 * usize::from(piece));
            let (now, later) = left.split_at(count);
            target[..count].copy_from_slice(now);
            left = later;
            count
        });
        if len == 0 {
            break;
        }
        out.extend_from_slice(&chunk[..len]);
    }
    assert!(encoder.is_done(), "it stopped before its end");
    assert!(out.len() <= bound, "{} of at most {bound} bytes", out.len());
    assert_eq!(decoded(&out), input, "streamed");
}

fn decoded(gzip: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzDecoder::new(gzip)
        .read_to_end(&mut out)
        .expect("flate2 decodes it");
    out
}
