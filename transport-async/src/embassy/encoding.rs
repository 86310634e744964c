//! The coding of bodies on devices: none, or gzip without a heap.
//!
//! A compressed request announces its length like any other, because not everything between a
//! device and its collector takes chunked requests: some gateways answer 411, some buffer them, some
//! drop the body. So a body is compressed once for its length. When the result fits into the
//! sender's memory behind the head, it leaves from there; else the body is read and compressed
//! again while it is sent, to the same bytes, as [`gzip`](spandrel_core::gzip) promises.
//!
//! ```text
//!   body ─▶ compress ─┬─ not smaller ────────▶ sent as it is
//!                     ├─ fits the memory ────▶ sent from there
//!                     └─ smaller, but longer ▶ compressed again, piece by piece
//! ```
//!
//! A request is therefore never larger than the plain one, and every retry of it sends the same
//! bytes. What that costs is time, about 70 instructions for each byte and pass; between the pieces
//! of the first pass the executor's other tasks run.

use core::convert::Infallible;
use core::fmt;
use core::future::poll_fn;
use core::task::Poll;

use spandrel_core::gzip::{self, GzipError};

use crate::Body;

/// The name of the only coding that there is.
pub(crate) const GZIP: &str = "gzip";

/// The coding of bodies: [`Identity`] or [`Gzip`].
///
/// A type and not a value, so that a firmware image holds the code of only those that it names.
pub trait Encoding: sealed::MakeEncoder {}

pub(crate) mod sealed {
    /// Makes the encoders of bodies.
    pub trait MakeEncoder {
        /// Uninhabited where nothing is compressed: then no code for it is linked.
        type Encoder<'a>: EncodeBody
        where
            Self: 'a;

        /// An encoder for one body, if it is to be compressed.
        fn encoder(&mut self) -> Option<Self::Encoder<'_>>;
    }

    /// See [`spandrel_core::gzip::GzipEncoder`].
    pub trait EncodeBody {
        fn read(&mut self, out: &mut [u8], source: impl FnMut(&mut [u8]) -> usize) -> usize;
        fn is_done(&self) -> bool;
    }
}

impl sealed::EncodeBody for gzip::GzipEncoder<'_> {
    fn read(&mut self, out: &mut [u8], source: impl FnMut(&mut [u8]) -> usize) -> usize {
        self.read(out, source)
    }

    fn is_done(&self) -> bool {
        self.is_done()
    }
}

impl sealed::EncodeBody for Infallible {
    fn read(&mut self, _: &mut [u8], _: impl FnMut(&mut [u8]) -> usize) -> usize {
        match *self {}
    }

    fn is_done(&self) -> bool {
        match *self {}
    }
}

/// Bodies as they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Identity;

impl sealed::MakeEncoder for Identity {
    type Encoder<'a> = Infallible;

    fn encoder(&mut self) -> Option<Infallible> {
        None
    }
}

impl Encoding for Identity {}

/// Bodies in gzip, in the caller's memory; one that would not get smaller is sent as it is.
///
/// A request announces its length, because not everything on the way takes chunked ones. So a body
/// is compressed a second time while it is sent, unless the first result fits into the sender's
/// memory: about 70 instructions for each byte and pass. Retries send the same bytes.
pub struct Gzip<'a> {
    window: &'a mut [u8],
    table: &'a mut [u16],
}

impl<'a> Gzip<'a> {
    /// Compresses through `window`, with `table` to find matches; their content does not matter.
    ///
    /// 1,024 bytes and 512 entries are a good start for a device, 2 KiB together. The table of
    /// figures in [`gzip`](spandrel_core::gzip) shows what more of either brings. Where interrupts
    /// record too, they are off while a window is filled.
    ///
    /// # Errors
    ///
    /// When one of them has a length that [`gzip::GzipEncoder::new`] does not allow.
    pub fn new(window: &'a mut [u8], table: &'a mut [u16]) -> Result<Self, GzipError> {
        gzip::GzipEncoder::new(window, table)?;
        Ok(Self { window, table })
    }
}

impl<'m> sealed::MakeEncoder for Gzip<'m> {
    type Encoder<'a>
        = gzip::GzipEncoder<'a>
    where
        'm: 'a;

    fn encoder(&mut self) -> Option<gzip::GzipEncoder<'_>> {
        // `new` has tried the lengths.
        gzip::GzipEncoder::new(self.window, self.table).ok()
    }
}

impl Encoding for Gzip<'_> {}

impl fmt::Debug for Gzip<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gzip")
            .field("window_bytes", &self.window.len())
            .field("table_entries", &self.table.len())
            .finish()
    }
}

/// A body that gets smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    /// Its bytes once it is compressed.
    pub(crate) len: usize,
    /// Where they begin in the memory, if all of them lie there.
    pub(crate) at: Option<usize>,
    /// The body had as many bytes as it announced.
    pub(crate) is_whole: bool,
}

/// Compresses `body` into `memory`, whose first `reserved` bytes stay free for a head; what does not
/// fit is only counted. `None` when that would not take fewer than `limit` bytes.
pub(crate) async fn pack<B: Body>(
    mut encoder: impl sealed::EncodeBody,
    body: &mut B,
    memory: &mut [u8],
    reserved: usize,
    limit: usize,
) -> Option<Packed> {
    let (mut len, mut at) = (0, Some(reserved));
    let mut left = Some(body.content_length());
    loop {
        let room = memory.get_mut(at.unwrap_or(0)..).unwrap_or_default();
        len += encoder.read(room, |target| {
            let count = body.read(target);
            left = left.and_then(|left| left.checked_sub(count));
            count
        });
        if len >= limit {
            return None;
        }
        if encoder.is_done() || left.is_none() {
            let is_whole = left == Some(0);
            return Some(Packed { len, at, is_whole });
        }
        at = None;
        yield_now().await;
    }
}

/// Lets other tasks run.
async fn yield_now() {
    let mut is_first = true;
    poll_fn(|context| {
        if core::mem::take(&mut is_first) {
            context.waker().wake_by_ref();
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
}

#[cfg(test)]
mod tests {
    use core::pin::pin;
    use core::task::{Context, Waker};

    use spandrel_core::time::Instant;

    use super::*;

    /// Bytes that repeat every sixteen.
    struct Repeating {
        len: usize,
        at: usize,
    }

    impl Body for Repeating {
        fn content_length(&self) -> usize {
            self.len
        }

        fn read(&mut self, target: &mut [u8]) -> usize {
            let count = target.len().min(self.len - self.at);
            for (byte, number) in target.iter_mut().zip(self.at..self.at + count) {
                *byte = (number % 16) as u8;
            }
            self.at += count;
            count
        }

        fn is_read(&self) -> bool {
            self.at == self.len
        }

        fn rewind(&mut self) {
            self.at = 0;
        }

        fn deadline(&self) -> Instant {
            Instant::MAX
        }
    }

    /// `pack`'s result, and the number of polls that it took.
    fn packed(memory: &mut [u8], reserved: usize, limit: usize) -> (Option<Packed>, usize) {
        let (mut window, mut table) = ([0; 1024], [0; 256]);
        let encoder = gzip::GzipEncoder::new(&mut window, &mut table).unwrap();
        let mut body = Repeating { len: 4000, at: 0 };
        let mut packing = pin!(pack(encoder, &mut body, memory, reserved, limit));
        let mut context = Context::from_waker(Waker::noop());
        let mut polls = 0;
        loop {
            polls += 1;
            if let Poll::Ready(packed) = packing.as_mut().poll(&mut context) {
                return (packed, polls);
            }
        }
    }

    #[test]
    fn what_fits_lies_behind_the_reserved_part() {
        let mut memory = [0xee; 400];
        let (Some(packed), 1) = packed(&mut memory, 100, 4000) else {
            panic!("one pass is enough");
        };
        let len = packed.len;
        assert!(packed.is_whole && packed.at == Some(100), "{packed:?}");
        assert!(memory[..100].iter().all(|&byte| byte == 0xee));
        assert_eq!(memory[100..103], [0x1f, 0x8b, 8]);
        assert!(memory[100 + len..].iter().all(|&byte| byte == 0xee));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_other_tasks_run_meanwhile() {
        let (whole, _) = packed(&mut [0; 400], 0, 4000);
        let len = whole.unwrap().len;
        for reserved in [0, 1, 10, 20] {
            let (found, polls) = packed(&mut [0; 20], reserved, 4000);
            let counted = Packed {
                len,
                at: None,
                is_whole: true,
            };
            assert_eq!(found, Some(counted), "{reserved}");
            assert!(polls > len / 20, "{polls} polls for {len} bytes");
        }
        // Just enough, and one byte less.
        assert_eq!(packed(&mut [0; 400][..len], 0, 4000).0, whole);
        assert_eq!(packed(&mut [0; 400][1..len], 0, 4000).0.unwrap().at, None);
    }

    #[test]
    fn what_does_not_get_smaller_than_the_limit_is_given_up() {
        let len = packed(&mut [0; 400], 0, 4000).0.unwrap().len;
        for memory in [20, 400] {
            let memory = &mut [0; 400][..memory];
            assert!(packed(memory, 0, len + 1).0.is_some());
            assert_eq!(packed(memory, 0, len).0, None);
        }
    }
}
