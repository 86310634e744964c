//! The standard library's collections as carriers. Names match in any ASCII case.

use core::hash::BuildHasher;
use core::ops::ControlFlow;
use std::collections::{BTreeMap, HashMap};
use std::string::String;
use std::vec::Vec;

use crate::propagation::{Getter, Setter};

/// Looks for `key` among `pairs`.
fn get<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, key: &str) -> Option<&'a str> {
    find(pairs, key).next()
}

fn find<'a>(
    pairs: impl Iterator<Item = (&'a str, &'a str)>,
    key: &str,
) -> impl Iterator<Item = &'a str> {
    pairs
        .filter(move |(name, _)| name.eq_ignore_ascii_case(key))
        .map(|(_, value)| value)
}

macro_rules! getter {
    () => {
        fn get(&self, key: &str) -> Option<&str> {
            get(
                self.iter()
                    .map(|(name, value)| (name.as_ref(), value.as_ref())),
                key,
            )
        }

        fn get_all<'a>(&'a self, key: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
            let pairs = self
                .iter()
                .map(|(name, value)| (name.as_ref(), value.as_ref()));
            let _ = find(pairs, key).try_for_each(visit);
        }

        fn keys<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
            self.iter().for_each(|(name, _)| visit(name.as_ref()));
        }
    };
}

/// The fields of a message, such as a job in a queue.
impl<K: AsRef<str>, V: AsRef<str>, S: BuildHasher> Getter for HashMap<K, V, S> {
    getter!();
}

/// As the implementation for hash maps.
impl<K: AsRef<str>, V: AsRef<str>> Getter for BTreeMap<K, V> {
    getter!();
}

/// Like the implementation for slices.
impl<K: AsRef<str>, V: AsRef<str>> Getter for Vec<(K, V)> {
    getter!();
}

impl<S: BuildHasher> Setter for HashMap<String, String, S> {
    fn set(&mut self, key: &str, value: &str) {
        self.retain(|name, _| name == key || !name.eq_ignore_ascii_case(key));
        self.insert(key.into(), value.into());
    }
}

impl Setter for BTreeMap<String, String> {
    fn set(&mut self, key: &str, value: &str) {
        self.retain(|name, _| name == key || !name.eq_ignore_ascii_case(key));
        self.insert(key.into(), value.into());
    }
}

impl Setter for Vec<(String, String)> {
    fn set(&mut self, key: &str, value: &str) {
        self.retain(|(name, _)| !name.eq_ignore_ascii_case(key));
        self.push((key.into(), value.into()));
    }
}
