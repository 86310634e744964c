//! URLs without their secrets.

use core::fmt;

/// Displays a URL without its user, password, query and fragment.
#[derive(Clone, Copy)]
pub struct RedactedUrl<'a>(pub &'a str);

impl fmt::Display for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = match self.0.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, self.0),
        };
        if let Some(scheme) = scheme {
            write!(f, "{scheme}://")?;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        let path = tail.split(['?', '#']).next().unwrap_or_default();
        match authority.rsplit_once('@') {
            Some((_, host)) => f.write_str(host)?,
            // An unescaped `/` in a password looks like the start of the path.
            None if tail.contains('@') => return f.write_str("(redacted)"),
            None => f.write_str(authority)?,
        }
        f.write_str(path)
    }
}

impl fmt::Debug for RedactedUrl<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    /// Fault G4.
    #[test]
    fn a_url_is_shown_without_its_secrets() {
        for (url, shown) in [
            ("http://u:p@h:4318/v1?k=s#f", "http://h:4318/v1"),
            ("https://a@b@host/x@y", "https://host/x@y"),
            ("http://u:p/w@host/", "http://(redacted)"),
            ("http://u:p?w@host/", "http://(redacted)"),
            ("u:p@host:4318", "host:4318"),
            ("http://[::1]:4318", "http://[::1]:4318"),
            ("http://host?key=secret", "http://host"),
            ("", ""),
        ] {
            assert_eq!(RedactedUrl(url).to_string(), shown);
        }
    }
}
