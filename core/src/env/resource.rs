//! [`OTEL_RESOURCE_ATTRIBUTES`]: keys and values percent-encoded, all or nothing.
//!
//! One malformed pair makes the whole variable unusable, as the specification asks.
//!
//! [`OTEL_RESOURCE_ATTRIBUTES`]: https://opentelemetry.io/docs/specs/otel/resource/sdk/#specifying-resource-information-via-an-environment-variable
//!
//! ```
//! use spandrel_core::env::ResourceAttributes;
//!
//! let attributes = ResourceAttributes::parse("a%3Db=c%2Cd, region = eu ,")?;
//! let read: Vec<_> = attributes.iter().map(|(k, v)| format!("{k} is {v}")).collect();
//! assert_eq!(read, ["a=b is c,d", "region is eu"]);
//! assert!(ResourceAttributes::parse("a=1,b").is_err());
//! # Ok::<(), spandrel_core::env::ResourceProblem>(())
//! ```

use core::fmt;

use super::percent::PercentDecoded;

/// Checked resource attributes, decoded while they are read. All values are text.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ResourceAttributes<'a> {
    text: &'a str,
    hides_service_name: bool,
}

impl<'a> ResourceAttributes<'a> {
    /// Checks all of `text`; white space around the parts and one trailing comma are ignored.
    ///
    /// # Errors
    ///
    /// The first problem. None of the text may be used then.
    pub fn parse(text: &'a str) -> Result<Self, ResourceProblem> {
        let text = text.trim_ascii();
        let text = text.strip_suffix(',').unwrap_or(text);
        for pair in pairs(text) {
            parse_pair(pair)?;
        }
        Ok(Self {
            text,
            hides_service_name: false,
        })
    }

    /// Returns the same attributes without `service.name`, for when a stronger source provides it.
    #[must_use]
    pub const fn without_service_name(self) -> Self {
        Self {
            hides_service_name: true,
            ..self
        }
    }

    /// Returns the decoded attributes in order. A key may repeat; its last value wins.
    #[must_use]
    pub const fn iter(&self) -> ResourceAttributeIter<'a> {
        ResourceAttributeIter {
            rest: Some(self.text),
            hides_service_name: self.hides_service_name,
        }
    }
}

impl<'a> IntoIterator for ResourceAttributes<'a> {
    type Item = (PercentDecoded<'a>, PercentDecoded<'a>);
    type IntoIter = ResourceAttributeIter<'a>;

    fn into_iter(self) -> ResourceAttributeIter<'a> {
        self.iter()
    }
}

impl fmt::Debug for ResourceAttributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (key, value) in self.iter() {
            map.entry(&format_args!("{key}"), &format_args!("{value}"));
        }
        map.finish()
    }
}

/// The attributes of a [`ResourceAttributes`].
#[derive(Clone, Debug)]
pub struct ResourceAttributeIter<'a> {
    rest: Option<&'a str>,
    hides_service_name: bool,
}

impl<'a> Iterator for ResourceAttributeIter<'a> {
    type Item = (PercentDecoded<'a>, PercentDecoded<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let text = self.rest.filter(|text| !text.is_empty())?;
            let (pair, rest) = match text.split_once(',') {
                Some((pair, rest)) => (pair, Some(rest)),
                None => (text, None),
            };
            self.rest = rest;
            let (key, value) = parse_pair(pair).ok()?;
            if !(self.hides_service_name && key == "service.name") {
                return Some((key, value));
            }
        }
    }
}

/// The reason why none of the text is used. `Display` gives a phrase to follow the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ResourceProblem {
    /// A pair has no `=`.
    NoEqualsSign,
    /// Nothing is before an `=`.
    EmptyKey,
    /// A `%` is not followed by two hexadecimal digits.
    BadPercent,
}

impl fmt::Display for ResourceProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoEqualsSign => "has a pair without '='",
            Self::EmptyKey => "has a pair without a key before its '='",
            Self::BadPercent => "has a '%' without two hexadecimal digits, write %25 for '%'",
        })
    }
}

impl core::error::Error for ResourceProblem {}

/// The pairs of a text; an empty text has none.
fn pairs(text: &str) -> impl Iterator<Item = &str> {
    let pairs = (!text.is_empty()).then(|| text.split(','));
    pairs.into_iter().flatten()
}

fn parse_pair(pair: &str) -> Result<(PercentDecoded<'_>, PercentDecoded<'_>), ResourceProblem> {
    let (key, value) = pair.split_once('=').ok_or(ResourceProblem::NoEqualsSign)?;
    let (key, value) = (key.trim_ascii(), value.trim_ascii());
    if key.is_empty() {
        return Err(ResourceProblem::EmptyKey);
    }
    let decode = |text| PercentDecoded::new(text).ok_or(ResourceProblem::BadPercent);
    Ok((decode(key)?, decode(value)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn one_trailing_comma_is_ignored_and_no_other_empty_pair() {
        assert_eq!(ResourceAttributes::parse("a=1,").unwrap().iter().count(), 1);
        assert_eq!(ResourceAttributes::parse(",").unwrap().iter().count(), 0);
        for text in ["a=1,,", "a=1,,b=2", ",a=1", "a=1, ,"] {
            assert_eq!(
                ResourceAttributes::parse(text),
                Err(ResourceProblem::NoEqualsSign),
                "{text}"
            );
        }
    }

    #[test]
    fn the_service_name_is_hidden_however_it_is_spelt() {
        let attributes = ResourceAttributes::parse("service%2Ename=x,service.name=y,a=1").unwrap();
        assert_eq!(attributes.iter().count(), 3);
        let hidden = attributes.without_service_name();
        assert_eq!(format!("{hidden:?}"), "{a: 1}");
    }
}
