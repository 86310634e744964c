//! What comments, documentation and the names of tests cite.

use core::fmt;

use super::super::scanner::{Comment, Token, active_places, group_end, is};

/// Which table an id stands in, and the word before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Spec,
    Fault,
    Invariant,
    Rule,
}

impl Kind {
    const ALL: [(Self, &'static str); 4] = [
        (Self::Spec, "spec"),
        (Self::Fault, "fault"),
        (Self::Invariant, "invariant"),
        (Self::Rule, "rule"),
    ];

    /// The kind that `word` announces, alone or in the plural.
    fn announced_by(word: &str) -> Option<Self> {
        let word = word.to_lowercase();
        let is_it = |name: &str| word == name || word.strip_suffix('s') == Some(name);
        let found = Self::ALL.iter().find(|(_, name)| is_it(name));
        found.map(|(kind, _)| *kind)
    }

    /// Whether ids of this kind look like `id`.
    fn fits(self, id: &str) -> bool {
        let digits =
            |text: &str| (1..=3).contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit());
        let (letter, number) = id.split_at_checked(1).unwrap_or(("", ""));
        match self {
            Self::Spec => is_capital(letter) && number.strip_prefix('-').is_some_and(digits),
            Self::Fault => is_capital(letter) && digits(number),
            Self::Invariant => letter == "I" && digits(number),
            Self::Rule => letter == "R" && digits(number),
        }
    }
}

/// An id that is cited.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Citation {
    pub(crate) kind: Kind,
    pub(crate) id: String,
    pub(crate) line: usize,
}

impl fmt::Display for Citation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Kind::ALL.iter().find(|(kind, _)| *kind == self.kind);
        write!(f, "`{} {}`", name.map_or("", |(_, name)| name), self.id)
    }
}

/// Text that belongs together: comment lines that follow each other are one.
#[derive(Debug, Default)]
pub(crate) struct Text {
    /// Without the marks of comments, one space between words.
    text: String,
    /// Where each line begins in the text, and its number.
    lines: Vec<(usize, usize)>,
}

impl Text {
    fn push(&mut self, line: &str, number: usize) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.lines.push((self.text.len(), number));
        let words: Vec<_> = line.split_whitespace().collect();
        self.text.push_str(&words.join(" "));
    }

    fn line(&self, at: usize) -> usize {
        let line = self.lines.iter().rfind(|(start, _)| *start <= at);
        line.map_or(0, |(_, number)| *number)
    }

    /// The words with their places. An id with a hyphen is one word.
    fn words(&self) -> Vec<(usize, &str)> {
        let mut words = Vec::new();
        let mut at = 0;
        while at < self.text.len() {
            let rest = &self.text[at..];
            let mut len = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
            if len == 1 && is_capital(&rest[..1]) && rest[1..].starts_with('-') {
                let digits = rest[2..].find(|c: char| !c.is_ascii_digit());
                let digits = digits.unwrap_or(rest.len() - 2);
                let is_all = !rest[2 + digits..].starts_with(is_word);
                let is_part = self.text[..at].ends_with('-');
                if digits > 0 && is_all && !is_part {
                    len = 2 + digits;
                }
            }
            if len > 0 {
                words.push((at, &rest[..len]));
                at += len;
            } else {
                at += rest.chars().next().map_or(1, char::len_utf8);
            }
        }
        words
    }

    pub(crate) fn citations(&self) -> Vec<Citation> {
        let words = self.words();
        let mut found: Vec<Citation> = Vec::new();
        let mut announced = None;
        for (n, &(at, word)) in words.iter().enumerate() {
            let before = n.checked_sub(1).map_or("", |n| {
                let (start, previous) = words[n];
                &self.text[start + previous.len()..at]
            });
            let kind = announced.filter(|kind: &Kind| kind.fits(word) && goes_on(before));
            // Ids of the specification need no word before them.
            let is_bare =
                Kind::Spec.fits(word) && word.len() == 5 && word.starts_with(|c| c <= 'I');
            let bare = is_bare.then_some(Kind::Spec);
            if let Some(kind) = kind.or(bare) {
                found.push(Citation {
                    kind,
                    id: word.to_owned(),
                    line: self.line(at),
                });
                announced = kind.into();
            } else if !(["and", "or", "to"].contains(&word) && goes_on(before)) {
                announced = Kind::announced_by(word);
            }
        }
        found
    }

    /// The words right behind an opening bracket that look like ids.
    pub(crate) fn ids_in_brackets(&self) -> Vec<(&str, usize)> {
        let is_id = |word: &str| Kind::Fault.fits(word);
        self.words()
            .into_iter()
            .filter(|&(at, word)| self.text[..at].ends_with('(') && is_id(word))
            .map(|(at, word)| (word, self.line(at)))
            .collect()
    }

    /// The lines on which `words` begin, in upper or lower case.
    pub(crate) fn lines_with(&self, words: &str) -> Vec<usize> {
        let text = self.text.to_ascii_lowercase();
        let places = text.match_indices(words);
        places.map(|(at, _)| self.line(at)).collect()
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_capital(text: &str) -> bool {
    text.len() == 1 && text.chars().all(|c| c.is_ascii_uppercase())
}

/// What may stand between the parts of a list or range.
fn goes_on(between: &str) -> bool {
    matches!(
        between.trim(),
        "" | "," | "-" | "–" | ".." | "/" | "`, `" | "`" | "`-`" | "`..`"
    )
}

/// The comments of a file, those that belong together joined.
fn texts(comments: &[Comment], is_wanted: impl Fn(&Comment) -> bool) -> Vec<Text> {
    let mut texts: Vec<Text> = Vec::new();
    let mut previous: Option<&Comment> = None;
    for comment in comments.iter().filter(|comment| is_wanted(comment)) {
        let goes_on = previous.is_some_and(|it| {
            it.line + 1 == comment.line
                && it.token == comment.token
                && mark(&it.text) == mark(&comment.text)
        });
        if !goes_on {
            texts.push(Text::default());
        }
        previous = Some(comment);
        let body = &comment.text[mark(&comment.text).len()..];
        let body = body.strip_suffix("*/").unwrap_or(body);
        if let Some(text) = texts.last_mut() {
            for (number, line) in (comment.line..).zip(body.lines()) {
                text.push(line.trim_start().trim_start_matches("* "), number);
            }
        }
    }
    texts
}

/// What a comment begins with.
fn mark(comment: &str) -> &str {
    let marks = [
        "////", "///", "//!", "//", "/***", "/**/", "/**", "/*!", "/*",
    ];
    let mark = marks.into_iter().find(|mark| comment.starts_with(mark));
    &comment[..mark.map_or(0, str::len)]
}

fn is_documentation(comment: &Comment) -> bool {
    matches!(mark(&comment.text), "///" | "//!" | "/**" | "/*!")
}

/// What comments cite.
pub(crate) fn citations(comments: &[Comment]) -> Vec<Citation> {
    let texts = texts(comments, |_| true);
    texts.iter().flat_map(Text::citations).collect()
}

/// The documentation in a file, as comments or attributes, without that of tests.
pub(crate) fn documentation(tokens: &[Token], comments: &[Comment]) -> Vec<Text> {
    let mut is_active = vec![false; tokens.len()];
    let without_tests = |name: &str| (name == "test").then_some(false);
    for at in active_places(tokens, &without_tests) {
        is_active[at] = true;
    }
    // A comment belongs to what follows it; at the end of a file, to what precedes it.
    let belongs = |comment: &Comment| {
        let last = is_active.last().copied().unwrap_or(true);
        is_active.get(comment.token).copied().unwrap_or(last)
    };
    let mut found = texts(comments, |it| is_documentation(it) && belongs(it));
    for at in 0..tokens.len() {
        let in_an_attribute = at > 0 && ["[", "(", ","].contains(&tokens[at - 1].text.as_str());
        if !is_active[at] || !in_an_attribute || !is(tokens, at, "doc") || !is(tokens, at + 1, "=")
        {
            continue;
        }
        let mut next = at + 2;
        while next < tokens.len() && !["]", ")", ","].contains(&tokens[next].text.as_str()) {
            let end = match tokens[next].text.as_str() {
                "(" | "[" | "{" => group_end(tokens, next),
                _ => next + 1,
            };
            for token in &tokens[next..end] {
                if let Some(text) = token.text.strip_prefix('"') {
                    let mut found_text = Text::default();
                    found_text.push(text, token.line);
                    found.push(found_text);
                }
            }
            next = end;
        }
    }
    found
}

/// The test functions of a file, with their lines.
pub(crate) fn tests(tokens: &[Token]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut is_test = false;
    let mut at = 0;
    while at < tokens.len() {
        if is(tokens, at, "#") && is(tokens, at + 1, "[") {
            let end = group_end(tokens, at + 1);
            let path = tokens[at + 2..end]
                .iter()
                .take_while(|token| !["(", "]", "="].contains(&token.text.as_str()));
            is_test |= path.last().is_some_and(|token| token.text == "test");
            at = end;
            continue;
        }
        match tokens[at].text.as_str() {
            "fn" if is_test => {
                if let Some(name) = tokens.get(at + 1) {
                    found.push((name.text.clone(), name.line));
                }
                is_test = false;
            }
            "{" | "}" | ";" => is_test = false,
            _ => {}
        }
        at += 1;
    }
    found
}

/// The ids at the beginning of a test's name: of `s16_s17_answers`, S16 and S17; of
/// `b_002_c_002_empty`, B-002 and C-002.
pub(crate) fn ids_of_name(name: &str) -> Vec<String> {
    let parts: Vec<_> = name.split('_').collect();
    let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let is_letter = |text: &str| text.len() == 1 && text.chars().all(|c| c.is_ascii_lowercase());
    let mut found: Vec<String> = Vec::new();
    let mut at = 0;
    while at < parts.len() {
        let part = parts[at];
        let number = parts.get(at + 1).filter(|it| it.len() == 3 && digits(it));
        // In `s1_a_429`, the `a` is a word.
        let may_be_spec = found.iter().all(|id| id.contains('-'));
        if is_letter(part) && number.is_some() && may_be_spec {
            found.push(format!("{}-{}", part.to_uppercase(), parts[at + 1]));
            at += 2;
        } else if part.get(..1).is_some_and(is_letter) && digits(&part[1..]) {
            found.push(part.to_uppercase());
            at += 1;
        } else if part == "to" && !found.is_empty() {
            at += 1;
        } else {
            break;
        }
    }
    found
}

/// The names of Markdown documents anywhere in a file, with their lines. Links to other places
/// are none.
pub(crate) fn documents_named(source: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (number, line) in (1..).zip(source.lines()) {
        for (at, _) in line.match_indices(".md") {
            if line[at + 3..].starts_with(is_word) {
                continue;
            }
            let is_part = |c: char| is_word(c) || "./-".contains(c);
            let start = line[..at].rfind(|c| !is_part(c));
            let start = start.map_or(0, |at| {
                at + line[at..].chars().next().map_or(1, char::len_utf8)
            });
            let path = &line[start..at + 3];
            let is_link = path.starts_with("//") && line[..start].ends_with(':');
            let parts: Vec<_> = path
                .split('/')
                .filter(|part| !["", ".", ".."].contains(part))
                .collect();
            if !is_link && parts.last().is_some_and(|name| *name != ".md") {
                found.push((parts.join("/"), number));
            }
        }
    }
    found
}
