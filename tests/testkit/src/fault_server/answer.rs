//! The bytes of each reply, well-formed and otherwise.

use std::io::{self, Write};
use std::time::Duration;

use flate2::{Compress, Compression, Crc, FlushCompress};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use prost::Message;

use crate::loopback::Gate;

use super::reply::Reply;

const PROTOBUF: (&str, &str) = ("content-type", "application/x-protobuf");
const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
static FILLER: [u8; 64 * 1024] = [b'x'; 64 * 1024];
/// An empty SETTINGS frame, then GOAWAY with PROTOCOL_ERROR.
const HTTP2_FRAMES: &[u8] = b"\0\0\0\x04\0\0\0\0\0\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01";

/// What becomes of the connection after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// Stays open for the next request.
    Open,
    /// Closed with FIN.
    Close,
    /// Closed with RST.
    Reset,
    /// FIN is sent; the client ends it.
    HalfClose,
    /// The client ends it.
    Wait,
}

/// Writes the answer to a request that was read; a closing `gate` cuts it short with an error.
pub(super) fn write(reply: &Reply, out: &mut impl Write, gate: &Gate) -> io::Result<After> {
    match reply {
        Reply::Ok | Reply::SlowRead { .. } => out.write_all(&plain_ok())?,
        Reply::OkBody { body, content_type } => {
            out.write_all(&response(200, &[("content-type", content_type)], body))?;
        }
        Reply::Status {
            code,
            headers,
            body,
        } => {
            let headers: Vec<_> = headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str()))
                .collect();
            out.write_all(&response(*code, &headers, body))?;
        }
        Reply::PartialSuccess { rejected, message } => {
            let answer = ExportTraceServiceResponse {
                partial_success: Some(ExportTracePartialSuccess {
                    rejected_spans: *rejected,
                    error_message: message.clone(),
                }),
            };
            out.write_all(&response(200, &[PROTOBUF], &answer.encode_to_vec()))?;
        }
        Reply::Redirect { code, location } => {
            out.write_all(&response(*code, &[("location", location)], b""))?;
        }
        Reply::ConnectionClose => {
            out.write_all(&response(200, &[PROTOBUF, ("connection", "close")], b""))?;
            return Ok(After::Close);
        }
        Reply::OkThenIdleClose(idle) => {
            out.write_all(&plain_ok())?;
            out.flush()?;
            wait(gate, *idle)?;
            return Ok(After::Close);
        }
        // The connection has already waited.
        Reply::Delayed { then, .. } => return write(then, out, gate),
        Reply::Hang => return Ok(After::Wait),
        Reply::SlowLoris { byte_interval } => {
            for byte in plain_ok() {
                wait(gate, *byte_interval)?;
                out.write_all(&[byte])?;
                out.flush()?;
            }
        }
        Reply::ResetAfterHeaders | Reply::ResetAtBodyByte(_) | Reply::ResetAfterRequest => {
            return Ok(After::Reset);
        }
        Reply::ResetInResponse { after } => {
            let whole = plain_ok();
            out.write_all(whole.get(..*after).unwrap_or(&whole))?;
            return Ok(After::Reset);
        }
        Reply::HalfClose => return Ok(After::HalfClose),
        Reply::CloseBeforeResponse | Reply::StoreThenDrop => return Ok(After::Close),
        Reply::EndlessBody => return filler(out, gate, u64::MAX, true),
        Reply::BigBody { len, chunked } => return filler(out, gate, *len, *chunked),
        Reply::GzipBomb { decoded_len } => gzip_bomb(out, gate, *decoded_len)?,
        Reply::ManyHeaders { count } => {
            let mut head = String::from("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
            for number in 0..*count {
                head += &format!("x-filler-{number}: {number}\r\n");
            }
            out.write_all((head + "\r\n").as_bytes())?;
        }
        Reply::HugeHeader { len } => {
            out.write_all(&response(200, &[("x-filler", &"x".repeat(*len))], b""))?;
        }
        Reply::BadChunks => {
            out.write_all(&head(200, &[CHUNKED]))?;
            out.write_all(b"zz\r\nnot a chunk\r\n0\r\n\r\n")?;
            return Ok(After::Close);
        }
        Reply::BothLengthAndChunked => {
            out.write_all(&head(200, &[("content-length", "4"), CHUNKED]))?;
            out.write_all(b"5\r\nfives\r\n0\r\n\r\n")?;
            return Ok(After::Close);
        }
        Reply::Informational { code, count } => {
            let interim = format!("HTTP/1.1 {code} Interim\r\n\r\n");
            for _ in 0..*count {
                out.write_all(interim.as_bytes())?;
                if gate.is_closed() {
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
            out.write_all(&plain_ok())?;
        }
        Reply::GarbageStatusLine => {
            out.write_all(b"\0\xff\x01 this is no status line\r\n\r\n")?;
            return Ok(After::Close);
        }
        Reply::Http2Only => {
            out.write_all(HTTP2_FRAMES)?;
            return Ok(After::Close);
        }
    }
    out.flush()?;
    Ok(After::Open)
}

fn wait(gate: &Gate, time: Duration) -> io::Result<()> {
    match gate.pause(time) {
        true => Ok(()),
        false => Err(io::ErrorKind::Interrupted.into()),
    }
}

fn plain_ok() -> Vec<u8> {
    response(200, &[PROTOBUF], b"")
}

fn head(code: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {code} Scripted\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    (head + "\r\n").into_bytes()
}

fn response(code: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let length = body.len().to_string();
    // 204 and 304 have no body and may not tell a length.
    let mut all: Vec<_> = headers.to_vec();
    if !matches!(code, 204 | 304) {
        all.push(("content-length", &length));
    }
    let mut bytes = head(code, &all);
    bytes.extend_from_slice(body);
    bytes
}

/// A 200 with `len` filler bytes; the maximum means without an end.
fn filler(out: &mut impl Write, gate: &Gate, len: u64, chunked: bool) -> io::Result<After> {
    let length = len.to_string();
    let framing = match chunked {
        true => CHUNKED,
        false => ("content-length", length.as_str()),
    };
    out.write_all(&head(200, &[PROTOBUF, framing]))?;
    let mut left = len;
    while left > 0 {
        if gate.is_closed() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let size = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = FILLER.get(..size).unwrap_or(&FILLER);
        write_piece(out, piece, chunked)?;
        if len != u64::MAX {
            left = left.saturating_sub(piece.len() as u64);
        }
    }
    if chunked {
        out.write_all(b"0\r\n\r\n")?;
    }
    out.flush()?;
    Ok(After::Open)
}

fn write_piece(out: &mut impl Write, piece: &[u8], chunked: bool) -> io::Result<()> {
    match chunked {
        true => {
            write!(out, "{:x}\r\n", piece.len())?;
            out.write_all(piece)?;
            out.write_all(b"\r\n")
        }
        false => out.write_all(piece),
    }
}

/// Zeros, compressed once a megabyte and repeated: a full flush makes a piece that refers to
/// nothing before it, so even a large bomb costs no time to make.
fn gzip_bomb(out: &mut impl Write, gate: &Gate, decoded_len: u64) -> io::Result<()> {
    const UNIT: usize = 1024 * 1024;
    let headers = [PROTOBUF, ("content-encoding", "gzip"), CHUNKED];
    out.write_all(&head(200, &headers))?;
    write_piece(out, b"\x1f\x8b\x08\0\0\0\0\0\0\xff", true)?;
    let whole = vec![0; UNIT];
    let (unit, unit_crc) = flushed(&whole)?;
    let mut crc = Crc::new();
    for _ in 0..decoded_len / UNIT as u64 {
        if gate.is_closed() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        write_piece(out, &unit, true)?;
        crc.combine(&unit_crc);
    }
    let rest = usize::try_from(decoded_len % UNIT as u64).unwrap_or_default();
    let (rest, rest_crc) = flushed(whole.get(..rest).unwrap_or_default())?;
    crc.combine(&rest_crc);
    // The rest, an empty final block, then the checksum and the length modulo 2^32.
    let mut tail = rest;
    tail.extend_from_slice(&[0x03, 0x00]);
    tail.extend_from_slice(&crc.sum().to_le_bytes());
    let [a, b, c, d, ..] = decoded_len.to_le_bytes();
    tail.extend_from_slice(&[a, b, c, d]);
    write_piece(out, &tail, true)?;
    out.write_all(b"0\r\n\r\n")
}

fn flushed(plain: &[u8]) -> io::Result<(Vec<u8>, Crc)> {
    let mut crc = Crc::new();
    crc.update(plain);
    let mut compressed = Vec::with_capacity(plain.len() / 8 + 1024);
    if !plain.is_empty() {
        Compress::new(Compression::best(), false)
            .compress_vec(plain, &mut compressed, FlushCompress::Full)
            .map_err(io::Error::other)?;
    }
    Ok((compressed, crc))
}
