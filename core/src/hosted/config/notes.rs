//! What is worth a sentence in the log and is no error.

use std::borrow::ToOwned;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::env::{Diagnostic, DiagnosticKind, Diagnostics};

/// The sentences that become [`Settings::diagnostics`](super::Settings::diagnostics).
#[derive(Default)]
pub(super) struct Notes(Vec<String>);

impl Notes {
    pub(super) fn push(&mut self, sentence: String) {
        self.0.push(sentence);
    }

    pub(super) fn extend(&mut self, sentences: Vec<String>) {
        self.0.extend(sentences);
    }

    pub(super) fn extend_from(&mut self, diagnostics: &Diagnostics<'_>) {
        // Code may set one of endpoint and headers, so that is judged when both are known.
        let judged_later = |it: &&Diagnostic<'_>| it.kind() == DiagnosticKind::HeadersInClear;
        let shown = diagnostics.iter().filter(|it| !judged_later(it));
        self.0.extend(shown.map(ToString::to_string));
        match diagnostics.overflow() {
            0 => {}
            1 => self.push("one more problem with the variables is not shown".to_owned()),
            more => self.push(format!(
                "{more} more problems with the variables are not shown"
            )),
        }
    }

    pub(super) fn into_sentences(self) -> Vec<String> {
        self.0
    }
}
