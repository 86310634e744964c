//! Text that is formatted no further than it can be stored, and the text of panics.

use core::any::Any;
use core::fmt::{self, Write as _};
use std::string::String;

/// The text of `value`, up to a few bytes more than `most`.
pub(super) fn capped_text(most: usize, value: fmt::Arguments<'_>) -> String {
    let mut text = String::new();
    // A text ends where it fails to format or gets too long.
    let _ = Capped::new(&mut text, most).write_fmt(value);
    text
}

/// Takes text until it is longer than anything that can be stored. Then it ends the formatting.
pub(super) struct Capped<'a> {
    text: &'a mut String,
    left: usize,
}

impl<'a> Capped<'a> {
    /// Fills `text` up to one byte more than `most`, but for the end of a character.
    pub(super) fn new(text: &'a mut String, most: usize) -> Self {
        Self {
            left: most.saturating_add(1).saturating_sub(text.len()),
            text,
        }
    }
}

impl fmt::Write for Capped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.len() <= self.left {
            self.left -= text.len();
            self.text.push_str(text);
            return Ok(());
        }
        let mut end = self.left;
        while !text.is_char_boundary(end) {
            end += 1;
        }
        self.left = 0;
        self.text.push_str(text.get(..end).unwrap_or_default());
        Err(fmt::Error)
    }
}

/// The message of a caught panic.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&'static str>() {
        return text;
    }
    panic
        .downcast_ref::<String>()
        .map_or("without a message", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Never comes to an end by itself.
    struct Endless;

    impl fmt::Display for Endless {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            loop {
                f.write_str("a\u{fc}")?;
            }
        }
    }

    #[test]
    fn an_endless_text_ends_at_its_bound() {
        for most in 0..9 {
            let text = capped_text(most, format_args!("{Endless}"));
            assert!((most + 1..most + 3).contains(&text.len()), "{text}");
        }
        assert_eq!(capped_text(3, format_args!("abc")), "abc");
    }
}
