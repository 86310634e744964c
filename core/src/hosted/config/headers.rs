//! The one check of headers that a program sets in code.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::env::{HeaderProblemKind, check_key, check_value};

/// Headers that can be sent, each name once.
pub(super) struct CheckedHeaders {
    /// Names as they were given; values without the blanks around them.
    pub(super) pairs: Vec<(String, String)>,
    /// One sentence for each header that belongs to the protocol and is left out.
    pub(super) notes: Vec<String>,
}

/// A header that cannot be sent.
pub(super) struct BadHeader {
    /// Its position, the first being 1.
    pub(super) number: usize,
    /// Its name, unless the name is what is wrong: it may be a piece of a secret.
    pub(super) name: Option<String>,
    pub(super) problem: HeaderProblemKind,
}

impl CheckedHeaders {
    /// Of names that are equal in any case, the last one counts.
    pub(super) fn new(headers: &[(String, String)]) -> Result<Self, BadHeader> {
        let mut checked = Self {
            pairs: Vec::with_capacity(headers.len()),
            notes: Vec::new(),
        };
        for (number, (name, value)) in (1..).zip(headers) {
            let value = value.trim_matches([' ', '\t']);
            match check_key(name).and_then(|()| check_value(value.bytes())) {
                Ok(()) => {
                    let pairs = &mut checked.pairs;
                    pairs.retain(|(earlier, _)| !earlier.eq_ignore_ascii_case(name));
                    pairs.push((name.clone(), value.to_string()));
                }
                Err(problem @ HeaderProblemKind::Reserved) => checked.notes.push(format!(
                    "headers: member {number} ({name:?}) {problem}; leaving it out"
                )),
                Err(HeaderProblemKind::BadValue) => {
                    return Err(BadHeader {
                        number,
                        name: Some(name.clone()),
                        problem: HeaderProblemKind::BadValue,
                    });
                }
                // An empty name too: in code there is no list with a '=' after it.
                Err(_) => {
                    return Err(BadHeader {
                        number,
                        name: None,
                        problem: HeaderProblemKind::BadKey,
                    });
                }
            }
        }
        Ok(checked)
    }
}
