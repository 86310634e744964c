//! The one try without compression, for a receiver that does not read gzip.
//!
//! It is made only where nothing of the request was taken: after a 415, which refuses the form of a
//! request, and after a 400 that says that the body could not be read. What the server then takes
//! uncompressed is not a duplicate. If that succeeds, the destination gets no compressed request any
//! more; if it is refused too, compression was not the reason, and it is not tried again.
//!
//! ```
//! use spandrel_core::hosted::unversioned::coding::CodingTrial;
//!
//! let trial = CodingTrial::default();
//! assert!(trial.is_refused(true, 415, ""), "send it again, uncompressed");
//! assert!(trial.is_plain());
//! assert!(!trial.is_refused(false, 200, ""));
//! assert!(trial.is_plain(), "from now on");
//! ```

use core::sync::atomic::{AtomicU8, Ordering};
use std::sync::Arc;

use crate::hosted::diagnostics::{Kind, Severity, report};

/// Nothing is known, or the destination reads gzip and said no once nevertheless.
const UNKNOWN: u8 = 0;
/// A compressed request was accepted.
const READS_GZIP: u8 = 1;
/// Requests go out uncompressed, to find out.
const TRYING: u8 = 2;
/// They go out uncompressed for good.
const PLAIN: u8 = 3;
/// Uncompressed requests were refused, too.
const USELESS: u8 = 4;

/// What is known about a destination and compression. Clones know the same.
#[derive(Clone, Debug, Default)]
pub struct CodingTrial(Arc<AtomicU8>);

impl CodingTrial {
    /// Returns true if the next request must not be compressed.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        matches!(self.state(), TRYING | PLAIN)
    }

    /// Notes an answer. Returns true if it refused the request because it was compressed, so that the
    /// same spans are to be sent uncompressed at once. `said` is the answer's text.
    #[must_use]
    pub fn is_refused(&self, was_gzip: bool, status: u16, said: &str) -> bool {
        let state = self.state();
        let next = match (was_gzip, state, status) {
            (true, UNKNOWN | READS_GZIP | USELESS, 200..=299) => READS_GZIP,
            (true, UNKNOWN | READS_GZIP, 415) => TRYING,
            (true, UNKNOWN, 400) if is_about_reading(said) => TRYING,
            (false, TRYING, 200..=299) => PLAIN,
            // They say nothing about the form of the request.
            (false, TRYING, 408 | 413 | 429 | 500..) => TRYING,
            (false, TRYING, _) => USELESS,
            _ => state,
        };
        self.0.store(next, Ordering::Relaxed);
        if (state, next) == (TRYING, PLAIN) {
            report(
                Kind::Config,
                Severity::Warn,
                format_args!(
                    "the collector does not read gzip; requests are sent uncompressed from now on; \
                     set OTEL_EXPORTER_OTLP_COMPRESSION=none to spare the first try"
                ),
            );
        }
        was_gzip && state != TRYING && next == TRYING
    }

    /// The remedy for a refusal with `status`, as far as compression may be its reason.
    #[must_use]
    pub fn hint(&self, was_gzip: bool, status: u16) -> &'static str {
        match (status, self.state()) {
            (400, USELESS) => {
                "; without gzip it was refused too, so OTEL_EXPORTER_OTLP_COMPRESSION=none would \
                 not help"
            }
            (415, USELESS) => {
                "; without gzip it was refused too, so OTEL_EXPORTER_OTLP_COMPRESSION=none would \
                 not help; is there an OTLP/HTTP receiver at this endpoint?"
            }
            (400 | 415, UNKNOWN | TRYING) if was_gzip => {
                "; the request was compressed: if the receiver does not read gzip, set \
                 OTEL_EXPORTER_OTLP_COMPRESSION=none"
            }
            _ => "",
        }
    }

    fn state(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Returns true if a receiver says that it could not read the request's body. Such a request was
/// not processed.
fn is_about_reading(said: &str) -> bool {
    const WORDS: [&str; 10] = [
        "decod",
        "gzip",
        "encoding",
        "compress",
        "unmarshal",
        "pars",
        "deserial",
        "malformed",
        "protobuf",
        "wire type",
    ];
    let said = said.to_ascii_lowercase();
    WORDS.iter().any(|word| said.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether each request is compressed, and the answers that it gets.
    fn run(answers: &[(u16, &str)]) -> (std::string::String, CodingTrial) {
        let trial = CodingTrial::default();
        let mut sent = std::string::String::new();
        for &(status, said) in answers {
            let was_gzip = !trial.is_plain();
            sent.push(if was_gzip { 'g' } else { 'p' });
            if trial.is_refused(was_gzip, status, said) {
                sent.push('!');
            }
        }
        (sent, trial)
    }

    // fault X45
    #[test]
    fn one_try_without_compression_decides() {
        let reads = "Failed to decode request body";
        for (answers, sent) in [
            (&[(415, ""), (200, ""), (200, ""), (415, "")][..], "g!ppp"),
            (&[(400, reads), (200, ""), (200, "")], "g!pp"),
            (&[(400, ""), (400, "header x is missing"), (200, "")], "ggg"),
            (&[(415, ""), (415, ""), (415, ""), (400, reads)], "g!pgg"),
            (&[(415, ""), (401, ""), (415, "")], "g!pg"),
            (
                &[(415, ""), (503, ""), (429, ""), (413, ""), (200, "")],
                "g!pppp",
            ),
            (&[(200, ""), (400, reads), (400, reads)], "ggg"),
            (&[(200, ""), (415, ""), (200, "")], "gg!p"),
            (&[(415, ""), (415, ""), (200, ""), (415, "")], "g!pgg!"),
        ] {
            assert_eq!(run(answers).0, sent, "{answers:?}");
        }
    }

    #[test]
    fn a_hint_names_the_variable_while_compression_may_be_the_reason() {
        let variable = "OTEL_EXPORTER_OTLP_COMPRESSION=none";
        let (_, trial) = run(&[(400, "")]);
        assert!(trial.hint(true, 400).contains(variable));
        assert_eq!(trial.hint(false, 400), "");
        assert_eq!(trial.hint(true, 404), "");
        let (_, trial) = run(&[(415, ""), (415, "")]);
        assert!(trial.hint(true, 415).contains("would not help"));
        let (_, trial) = run(&[(200, "")]);
        assert_eq!(trial.hint(true, 400), "");
    }
}
