//! Bodies out of an exporter.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spandrel_core::exporter::{Exporter, Transmit};

/// Reads the rest of a body in chunks of the sizes that `chunk` gives; a size of 0 counts as 1.
///
/// # Panics
///
/// When a read that is not the last one leaves room in its chunk, or when the body is not as long
/// as announced.
pub fn pull<B, R>(
    exporter: &Exporter<B, R>,
    transmit: &mut Transmit,
    mut chunk: impl FnMut() -> usize,
) -> Vec<u8>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    let mut body = Vec::new();
    loop {
        let mut target = vec![0xee; chunk().max(1)];
        let len = exporter.read_body(transmit, &mut target);
        assert!(target[len..].iter().all(|&byte| byte == 0xee));
        body.extend_from_slice(&target[..len]);
        if len < target.len() {
            break;
        }
    }
    assert!(transmit.is_read());
    assert_eq!(body.len(), transmit.content_length(), "exact length");
    assert_eq!(
        exporter.read_body(transmit, &mut [0; 8]),
        0,
        "the end stays"
    );
    body
}

/// Decodes a body with the official types.
///
/// # Panics
///
/// When they refuse it.
#[must_use]
pub fn decode(body: &[u8]) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest::decode(body).unwrap_or_else(|error| panic!("{error}: {body:02x?}"))
}
