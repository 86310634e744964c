//! The body of an answer, taken out of its framing in place.
//!
//! ```text
//!  chunked:  Size ─CR LF─▶ Data ─▶ DataEnd ─▶ Size ─ 0 ─▶ Trailer ─ empty line ─▶ done
//! ```

use super::http::{Framing, Malformed};

/// The longest line between chunks; also bounds trailers and extensions.
const MAX_LINE: u32 = 1024;

/// Where the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Payload, so many bytes of it.
    Data(u64),
    /// Payload to the end of the connection.
    Endless,
    /// The digits of a chunk's size; how many were seen.
    Size(u64, u32),
    /// The rest of the line behind the size.
    Extension(u64, u32),
    /// The line end after a chunk.
    DataEnd,
    /// Lines after the last chunk: bytes of the present one, bytes of all.
    Trailer(u32, u32),
    Done,
}

/// Takes the framing off, piece by piece.
#[derive(Debug)]
pub(super) struct BodyReader {
    state: State,
    is_chunked: bool,
}

impl BodyReader {
    pub(super) const fn new(framing: Framing) -> Self {
        let (state, is_chunked) = match framing {
            Framing::Length(0) => (State::Done, false),
            Framing::Length(len) => (State::Data(len), false),
            Framing::Chunked => (State::Size(0, 0), true),
            Framing::UntilClose => (State::Endless, false),
        };
        Self { state, is_chunked }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Notes the end of the connection: whether the body was whole.
    pub(super) fn close(&mut self) -> bool {
        if self.state == State::Endless {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// Takes in what was read, and moves the payload in it to the front: how many bytes that are,
    /// and how many bytes were taken in, fewer than all only when the body ended before.
    pub(super) fn take(&mut self, bytes: &mut [u8]) -> Result<(usize, usize), Malformed> {
        let (mut read, mut kept) = (0, 0);
        while let Some(&byte) = bytes.get(read) {
            match self.state {
                State::Done => break,
                State::Data(left) => {
                    let here = bytes.len() - read;
                    let some = usize::try_from(left).map_or(here, |left| left.min(here));
                    bytes.copy_within(read..read + some, kept);
                    kept += some;
                    read += some;
                    self.state = match left - some as u64 {
                        0 if self.is_chunked => State::DataEnd,
                        0 => State::Done,
                        left => State::Data(left),
                    };
                    continue;
                }
                State::Endless => {
                    bytes.copy_within(read.., kept);
                    kept += bytes.len() - read;
                    read = bytes.len();
                    continue;
                }
                _ => self.state = self.next(byte)?,
            }
            read += 1;
        }
        Ok((kept, read))
    }

    /// One byte of what is around the chunks. A line feed alone ends a line too.
    fn next(&self, byte: u8) -> Result<State, Malformed> {
        Ok(match (self.state, byte) {
            (State::Size(_, 0), b'\r' | b'\n' | b';') => return Err(Malformed),
            (State::Size(size, _) | State::Extension(size, _), b'\n') => match size {
                0 => State::Trailer(0, 0),
                size => State::Data(size),
            },
            (State::Size(size, digits), b'\r' | b';' | b' ' | b'\t') if digits > 0 => {
                State::Extension(size, 0)
            }
            (State::Size(size, digits), digit) => {
                let digit = char::from(digit).to_digit(16).ok_or(Malformed)?;
                if digits >= 15 {
                    return Err(Malformed);
                }
                State::Size(size * 16 + u64::from(digit), digits + 1)
            }
            (State::Extension(size, len), _) if len < MAX_LINE => State::Extension(size, len + 1),
            (State::DataEnd, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size(0, 0),
            (State::Trailer(0, _), b'\n') => State::Done,
            (State::Trailer(_, all), b'\n') if all < MAX_LINE => State::Trailer(0, all + 1),
            (State::Trailer(len, all), b'\r') if all < MAX_LINE => State::Trailer(len, all + 1),
            (State::Trailer(len, all), _) if all < MAX_LINE => State::Trailer(len + 1, all + 1),
            _ => return Err(Malformed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// Reads `wire` in pieces of `step` bytes: the payload, whether it was whole, what was left.
    fn read(
        framing: Framing,
        wire: &[u8],
        step: usize,
    ) -> Result<(Vec<u8>, bool, usize), Malformed> {
        let mut reader = BodyReader::new(framing);
        let mut body = Vec::new();
        let mut taken = 0;
        for piece in wire.chunks(step) {
            let mut piece = piece.to_vec();
            let (kept, read) = reader.take(&mut piece)?;
            body.extend_from_slice(&piece[..kept]);
            taken += read;
        }
        Ok((body, reader.close(), wire.len() - taken))
    }

    #[test]
    fn framing_comes_off_whatever_the_pieces() {
        let chunked = b"3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\nnext";
        for step in 1..chunked.len() {
            let (body, whole, left) = read(Framing::Chunked, chunked, step).unwrap();
            assert_eq!(body, b"abc0123456789", "{step}");
            assert!(whole && left == 4);
            let (body, whole, left) = read(Framing::Length(5), b"12345next", step).unwrap();
            assert!(body == b"12345" && whole && left == 4, "{step}");
            let (body, whole, left) = read(Framing::UntilClose, b"12345", step).unwrap();
            assert!(body == b"12345" && whole && left == 0);
        }
    }

    #[test]
    fn a_body_that_breaks_off_is_not_whole() {
        assert!(!read(Framing::Length(5), b"1234", 9).unwrap().1);
        let chunked = b"3\r\nabc\r\n0\r\n\r\n";
        for cut in 0..chunked.len() {
            let cut_short = read(Framing::Chunked, &chunked[..cut], 99).unwrap();
            assert!(!cut_short.1, "{cut}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        for wire in [
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "1\r\nabc",
            "ffffffffffffffff\r\n",
            " 1\r\n",
        ] {
            let error = read(Framing::Chunked, wire.as_bytes(), 99);
            assert_eq!(error, Err(Malformed), "{wire:?}");
        }
        let endless = [b"1;".as_slice(), &[b'x'; 5000]].concat();
        assert_eq!(read(Framing::Chunked, &endless, 7), Err(Malformed));
    }
}
