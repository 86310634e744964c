//! What a drawing may use: how wide it is, and whether colours and drawing characters are shown.

use std::io::IsTerminal;
use std::string::String;

/// The width of a drawing that goes into a file or another program.
const PIPED: usize = 100;
/// The width of a terminal that does not know its own.
const TERMINAL: usize = 80;
/// Wider drawings are harder to read, not easier.
const WIDEST: usize = 200;

/// How a drawing looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// The columns of the longest line. A drawing needs 40.
    pub width: usize,
    /// Uses ANSI colours: red for errors, faint for details.
    pub colour: bool,
    /// Uses nothing but ASCII, whatever the spans hold.
    pub ascii: bool,
}

impl Style {
    /// For a file or a test: no colour, and all drawing characters.
    #[must_use]
    pub const fn plain(width: usize) -> Self {
        Self {
            width,
            colour: false,
            ascii: false,
        }
    }

    /// The style that fits this program's standard output, see [`Style::choose`]. `columns` is the
    /// terminal's width, if the program knows it.
    #[must_use]
    pub fn of_stdout(columns: Option<usize>) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self::choose(|name| std::env::var(name).ok(), is_terminal, columns)
    }

    /// The style for an output, from the environment that `variable` looks up, from whether the
    /// output is a terminal, and from the terminal's `columns` if it knows them.
    ///
    /// - **Width:** `COLUMNS`, then the terminal's; 80 for a terminal that does not know, 100 for
    ///   anything else; at most 200.
    /// - **Colour:** never with [`NO_COLOR`](https://no-color.org); always with `CLICOLOR_FORCE`;
    ///   otherwise on a terminal, unless `CLICOLOR` is `0` or `TERM` is `dumb`.
    /// - **ASCII:** if `TERM` is `dumb`, or if the locale (the first of `LC_ALL`, `LC_CTYPE` and
    ///   `LANG` that is set) is not one of UTF-8. Without a locale the output counts as UTF-8, as
    ///   in most containers and on Windows.
    ///
    /// A variable that is empty counts as not set.
    #[must_use]
    pub fn choose(
        variable: impl Fn(&str) -> Option<String>,
        is_terminal: bool,
        columns: Option<usize>,
    ) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        let is = |name, expected| variable(name).is_some_and(|value| value == expected);
        let asked = variable("COLUMNS").and_then(|value| value.trim().parse().ok());
        let unknown = if is_terminal { TERMINAL } else { PIPED };
        let width = [asked, columns.filter(|_| is_terminal)]
            .into_iter()
            .flatten()
            .find(|&columns| columns > 0)
            .unwrap_or(unknown)
            .min(WIDEST);

        let is_dumb = is("TERM", "dumb");
        let colour = if variable("NO_COLOR").is_some() {
            false
        } else if variable("CLICOLOR_FORCE").is_some_and(|value| value != "0") {
            true
        } else {
            is_terminal && !is_dumb && !is("CLICOLOR", "0")
        };
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .find_map(variable);
        Self {
            width,
            colour,
            ascii: is_dumb || locale.is_some_and(|locale| !is_utf8(&locale)),
        }
    }
}

/// Whether a locale such as `de_DE.UTF-8@euro` has text in UTF-8. macOS sets `LC_CTYPE` to
/// `UTF-8` alone.
fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The style in an environment such as `TERM=dumb COLUMNS=60`.
    fn style(environment: &str, is_terminal: bool, columns: Option<usize>) -> Style {
        let variable = |name: &str| {
            let mut pairs = environment
                .split(' ')
                .filter_map(|pair| pair.split_once('='));
            pairs.find(|pair| pair.0 == name).map(|pair| pair.1.into())
        };
        Style::choose(variable, is_terminal, columns)
    }

    #[test]
    fn the_width_is_the_terminal_s_unless_columns_says_otherwise() {
        for (environment, is_terminal, columns, expected) in [
            ("", true, Some(60), 60),
            ("", true, Some(132), 132),
            ("", true, Some(5_000), 200),
            ("", true, Some(0), 80),
            ("", true, None, 80),
            ("", false, None, 100),
            ("", false, Some(60), 100),
            ("COLUMNS=72", true, Some(60), 72),
            ("COLUMNS=72", false, None, 72),
            ("COLUMNS=0", true, Some(60), 60),
            ("COLUMNS=", true, Some(60), 60),
            ("COLUMNS=wide", true, Some(60), 60),
            ("COLUMNS=99999999999", true, None, 200),
        ] {
            let width = style(environment, is_terminal, columns).width;
            assert_eq!(width, expected, "{environment} {is_terminal} {columns:?}");
        }
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        for (environment, on_terminal, piped) in [
            ("", true, false),
            ("TERM=xterm-256color", true, false),
            ("TERM=dumb", false, false),
            ("NO_COLOR=1", false, false),
            ("NO_COLOR=", true, false),
            ("NO_COLOR=1 CLICOLOR_FORCE=1", false, false),
            ("CLICOLOR=0", false, false),
            ("CLICOLOR=1", true, false),
            ("CLICOLOR_FORCE=1", true, true),
            ("CLICOLOR_FORCE=1 TERM=dumb", true, true),
            ("CLICOLOR_FORCE=1 CLICOLOR=0", true, true),
            ("CLICOLOR_FORCE=0", true, false),
        ] {
            let colours = [true, false].map(|terminal| style(environment, terminal, None).colour);
            assert_eq!(colours, [on_terminal, piped], "{environment}");
        }
    }

    #[test]
    fn drawing_characters_need_a_terminal_and_a_locale_that_have_them() {
        for (environment, expected) in [
            ("", false),
            ("LANG=", false),
            ("LANG=en_GB.UTF-8", false),
            ("LANG=de_DE.utf8@euro", false),
            ("LC_CTYPE=UTF-8", false),
            ("LANG=C", true),
            ("LANG=POSIX", true),
            ("LANG=de_DE.ISO-8859-1", true),
            ("LC_ALL=C LANG=en_GB.UTF-8", true),
            ("LC_ALL= LANG=en_GB.UTF-8", false),
            ("LC_ALL=C.UTF-8 LANG=C", false),
            ("LC_CTYPE=C LANG=en_GB.UTF-8", true),
            ("TERM=dumb LANG=en_GB.UTF-8", true),
            ("TERM=xterm LANG=en_GB.UTF-8", false),
        ] {
            for terminal in [true, false] {
                let ascii = style(environment, terminal, None).ascii;
                assert_eq!(ascii, expected, "{environment} {terminal}");
            }
        }
    }
}
