//! How the examples speak to a person: on a terminal, into a pipe that is closed early, and when
//! something fails.

use std::fmt;
use std::io::{ErrorKind, Write};

use spandrel_core::hosted::diagnostics::{Severity, set_handler};

/// The standard library's `print!`, but a reader that has gone away, as `head` does, is no error:
/// the program does its work to the end and prints nothing more.
///
/// Without this macro's `use` an example works the same with the standard library's.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => {
        $crate::output::write_stdout(::std::format_args!($($arguments)*))
    };
}

/// [`print!`](crate::print) with a line feed at the end.
#[macro_export]
macro_rules! println {
    () => {
        $crate::print!("\n")
    };
    ($($arguments:tt)*) => {
        $crate::print!("{}\n", ::std::format_args!($($arguments)*))
    };
}

/// Writes to the standard output, and ignores that nothing reads it.
///
/// Any other failure, such as a full disk, ends the program with exit code 1.
pub fn write_stdout(text: fmt::Arguments<'_>) {
    if let Err(error) = std::io::stdout().lock().write_fmt(text)
        && error.kind() != ErrorKind::BrokenPipe
    {
        write_stderr(format_args!("cannot write to the standard output: {error}"));
        std::process::exit(1);
    }
}

/// The standard output as a writer of lines of logs, which bears a closed pipe as [`write_stdout`] does.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        write_stdout(format_args!("{}", String::from_utf8_lossy(bytes)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Shows what the pipeline says about itself, from warnings up, on the standard error.
pub fn show_warnings() {
    set_handler(Box::new(|report| {
        if report.severity >= Severity::Warn {
            write_stderr(format_args!("spandrel: {report}"));
        }
    }));
}

/// One line. When it cannot be written there is no place left to say so.
fn write_stderr(line: fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Why an example failed, for a person.
///
/// `main` prints the `Debug` of what it returns. This one is the text itself, without quotes.
pub struct Failure(String);

impl Failure {
    /// A failure that `text` describes.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            // Some errors repeat their cause in their own text.
            let cause_text = cause.to_string();
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("no order was placed")
        }
    }

    impl std::error::Error for Outer {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn a_failure_reads_as_text_and_names_its_causes() {
        assert_eq!(format!("{:?}", Failure::new("it broke")), "it broke");
        let failure = Failure::from(Outer(std::io::Error::other("the shop is closed")));
        assert_eq!(
            format!("{failure:?}"),
            "no order was placed: the shop is closed"
        );
    }
}
