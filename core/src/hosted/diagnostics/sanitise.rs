//! Text from elsewhere made safe to show.

use core::fmt::{self, Write};
use std::string::String;

/// The most bytes of a report's text.
pub const MAX_TEXT_BYTES: usize = 1024;

/// Escapes everything in `text` that a terminal or a log reader would act upon, and cuts it.
pub(super) fn sanitised(text: fmt::Arguments<'_>) -> String {
    let mut out = Sanitiser(String::new());
    // The only error of ours is "full"; a `Display` that fails ends the text as well.
    let _ = out.write_fmt(text);
    out.0
}

/// Escapes everything in `text` that a terminal or a log reader would act upon, and cuts it at
/// [`MAX_TEXT_BYTES`]. For text of a server that goes elsewhere than to [`report`](super::report),
/// which does it itself.
#[must_use]
pub fn sanitise(text: &str) -> String {
    sanitised(format_args!("{text}"))
}

struct Sanitiser(String);

impl Write for Sanitiser {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        const CUT: &str = "…";
        for c in text.chars() {
            let start = self.0.len();
            if is_dangerous(c) {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
            if self.0.len() > MAX_TEXT_BYTES - CUT.len() {
                self.0.truncate(start);
                self.0.push_str(CUT);
                return Err(fmt::Error);
            }
        }
        Ok(())
    }
}

/// Control characters (C0, DEL, C1), line separators, and characters that reorder the text around
/// them.
fn is_dangerous(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{061c}'
        )
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_steer_a_terminal_and_is_cut() {
        assert_eq!(
            sanitise("a\r\nb\u{1b}[31mc\0\u{202e}d\u{85}é"),
            "a\\r\\nb\\u{1b}[31mc\\u{0}\\u{202e}d\\u{85}é"
        );
        for filler in ["x", "ß", "\u{1b}", "🦀"] {
            let text = sanitise(&filler.repeat(5000));
            assert!(text.len() <= MAX_TEXT_BYTES);
            assert!(text.len() > MAX_TEXT_BYTES - 16);
            assert!(text.ends_with('…'));
        }
        let fits = "x".repeat(MAX_TEXT_BYTES - 3);
        assert_eq!(sanitise(&fits), fits);
    }
}
