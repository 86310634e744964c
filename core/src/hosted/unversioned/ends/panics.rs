//! Panics as exceptions on spans, and the end of a process by one.

use core::fmt::Write as _;
use std::panic::{PanicHookInfo, set_hook, take_hook};
use std::string::String;
use std::sync::{Arc, Once};
use std::thread;

use super::{AtEnd, Pipelines, end_all};
use crate::attribute::KeyValue;
use crate::hosted::active::{ActiveSpan, active_span};
use crate::hosted::current::{self, Context};
use crate::hosted::text::{capped_text, panic_message};
use crate::hosted::trace::Span;
use crate::span::Status;

/// The most bytes of a panic's message.
const MAX_MESSAGE: usize = 4096;

static PIPELINES: Pipelines = Pipelines::new();
static HOOK: Once = Once::new();

/// Records panics from now on, for all pipelines, and ends `pipeline` before a panic ends the process.
/// The hook that is there is called as before. On a thread that panics it only registers the pipeline.
pub fn record_panics(pipeline: &Arc<dyn AtEnd>) {
    PIPELINES.add(pipeline);
    if thread::panicking() {
        return;
    }
    HOOK.call_once(|| {
        let previous = take_hook();
        set_hook(std::boxed::Box::new(move |info| {
            // Our own threads have no span, and an end would wait for them.
            let panicked = (!current::is_suppressed()).then(|| Panicked::of(info));
            if let Some(panicked) = &panicked {
                panicked.record_on_active();
            }
            previous(info);
            if let Some(panicked) = panicked.filter(Panicked::ends_process) {
                panicked.end_pipelines();
            }
        }));
    });
}

/// What is known about a panic.
struct Panicked {
    message: String,
    file: String,
    line: u32,
}

impl Panicked {
    fn of(info: &PanicHookInfo<'_>) -> Self {
        let message = panic_message(info.payload());
        Self {
            message: capped_text(MAX_MESSAGE, format_args!("{message}")),
            file: info.location().map_or("", |it| it.file()).into(),
            line: info.location().map_or(0, |it| it.line()),
        }
    }

    fn attributes(&self) -> [KeyValue<'_>; 4] {
        [
            KeyValue::str("exception.type", "panic"),
            KeyValue::str("exception.message", &self.message),
            KeyValue::str("code.file.path", &self.file),
            KeyValue::new("code.line.number", self.line),
        ]
    }

    fn description(&self) -> String {
        let mut text = String::from("panicked: ");
        let _ = text.write_str(&self.message);
        text
    }

    fn record_on_active(&self) {
        let span: ActiveSpan = active_span();
        if span.is_recording() {
            span.add_event("exception", &self.attributes());
            span.set_status(Status::error(&self.description()));
        }
    }

    /// Returns true if nothing unwinds: the program is built so, or the panic is one that the standard
    /// library raises where no panic may pass.
    fn ends_process(&self) -> bool {
        const LAST: [&str; 2] = [
            "panic in a destructor during cleanup",
            "panic in a function that cannot unwind",
        ];
        cfg!(panic = "abort") || LAST.contains(&self.message.as_str())
    }

    /// Sends a span about the panic, because those that are open will never end, and all that is held.
    fn end_pipelines(self) {
        let pipelines = PIPELINES.live();
        if pipelines.is_empty() {
            return;
        }
        let parent = current::current();
        // This thread may be in the middle of anything.
        let work = move || {
            self.record_alone(&pipelines, parent.as_ref());
            end_all(pipelines);
        };
        let thread = thread::Builder::new().name("spandrel-end".into());
        if let Ok(thread) = thread.spawn(work) {
            let _ = thread.join();
        }
    }

    /// A span below the one that is open, which is lost.
    fn record_alone(&self, pipelines: &[Arc<dyn AtEnd>], parent: Option<&Context>) {
        let provider = pipelines.iter().map(|it| it.provider());
        let Some(provider) = provider.into_iter().find(|it| it.is_enabled()) else {
            return;
        };
        let tracer = provider.tracer("spandrel.panic");
        let mut span: Span = match parent {
            Some(parent) => tracer.span("panic").parent(parent).start(),
            None => tracer.start("panic"),
        };
        span.add_event("exception", &self.attributes());
        span.set_status(Status::error(&self.description()));
        span.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn panics_that_abort_are_known_by_their_words() {
        let panicked = |message: &str| Panicked {
            message: message.into(),
            file: String::new(),
            line: 0,
        };
        assert!(!panicked("index out of bounds").ends_process());
        assert!(panicked("panic in a destructor during cleanup").ends_process());
    }

    #[test]
    fn a_panic_is_recorded_as_the_standard_library_describes_it() {
        let (send, seen) = std::sync::mpsc::channel();
        let previous = take_hook();
        set_hook(std::boxed::Box::new(move |info| {
            let _ = send.send(Panicked::of(info));
        }));
        let caught = std::panic::catch_unwind(|| panic!("no {}", "stock"));
        set_hook(previous);
        assert!(caught.is_err());
        let all: Vec<Panicked> = seen.try_iter().collect();
        let found = all.iter().find(|it| it.message == "no stock").unwrap();
        assert!(found.file.ends_with("panics.rs") && found.line > 0);
        assert_eq!(found.description(), "panicked: no stock");
    }
}
