//! The checked settings.

use core::fmt;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::error::HttpSettingsError;
use super::settings::{HttpSettings, Proxy, TlsFiles};
use crate::env::{DiagnosticKind, Diagnostics, Endpoint, Scheme, is_header_value};
use crate::hosted::config::credential::{InClear, plaintext_credential};
use crate::hosted::config::debug::HeaderNames;
use crate::hosted::config::headers::CheckedHeaders;
use crate::hosted::diagnostics::RedactedUrl;

const USER_AGENT: &str = "user-agent";

/// Where requests go and with which headers: the result of [`HttpSettings::check`], which only has
/// to be translated into a client's types.
///
/// `Debug` shows no header value and no credentials.
#[derive(Clone)]
pub struct HttpTarget {
    url: String,
    is_https: bool,
    host: String,
    port: u16,
    authority: String,
    headers: Vec<(String, String)>,
    user_agent: UserAgent,
    diagnostics: Vec<String>,
}

#[derive(Clone)]
enum UserAgent {
    /// The program's own.
    Given(String),
    /// The transport's, after this prefix.
    Prefixed(Option<String>),
}

impl HttpSettings {
    /// Checks every field. No file is read, no name is resolved and nothing is connected: a
    /// collector that is down is no error at the start.
    ///
    /// # Errors
    ///
    /// The first field with which no request can be sent, or with which a credential would leave
    /// this machine unencrypted although that is to be refused.
    pub fn check(&self) -> Result<HttpTarget, HttpSettingsError> {
        let endpoint = endpoint(&self.url)?;
        let CheckedHeaders {
            mut pairs,
            notes: mut diagnostics,
        } = CheckedHeaders::new(&self.headers).map_err(|bad| HttpSettingsError::Header {
            number: bad.number,
            name: bad.name,
            problem: bad.problem,
        })?;
        let is_https = endpoint.scheme() == Scheme::Https;
        if let Some(name) = plaintext_credential(&endpoint, &pairs) {
            if self.refuse_plaintext_credentials {
                let name = name.into();
                return Err(HttpSettingsError::PlaintextCredentials { name });
            }
            if !self.allow_plaintext_credentials {
                diagnostics.push(format!("headers: {}", InClear(name)));
            }
        }
        check_identity(&self.tls)?;
        check_proxy(&self.proxy)?;
        if self.connect_timeout.is_zero() {
            return Err(HttpSettingsError::ZeroConnectTimeout);
        }
        let prefix = user_agent_prefix(self.user_agent_prefix.as_deref())?;
        let given = pairs
            .iter()
            .position(|(name, _)| name.eq_ignore_ascii_case(USER_AGENT));
        let user_agent = match given {
            Some(at) => UserAgent::Given(pairs.remove(at).1),
            None => UserAgent::Prefixed(prefix),
        };
        let mut url = String::new();
        // Writing to a string cannot fail.
        let _ = endpoint.write_url(&mut url);
        let url = normal(&url);
        Ok(HttpTarget {
            url,
            is_https,
            host: endpoint.host().to_string(),
            port: endpoint.port(),
            authority: authority(&endpoint),
            headers: pairs,
            user_agent,
            diagnostics,
        })
    }
}

/// The rules are the core's own; what its other users only diagnose is an error here, because
/// code wrote the URL.
fn endpoint(url: &str) -> Result<Endpoint<'_>, HttpSettingsError> {
    let mut diagnostics = Diagnostics::new();
    let endpoint =
        Endpoint::parse_exact(url, &mut diagnostics).map_err(|error| HttpSettingsError::Url {
            problem: error.kind(),
            text: error.value().map(Into::into),
        })?;
    for diagnostic in &diagnostics {
        match diagnostic.kind() {
            DiagnosticKind::UserinfoIgnored => return Err(HttpSettingsError::UserInfo),
            DiagnosticKind::FragmentIgnored => return Err(HttpSettingsError::Fragment),
            _ => {}
        }
    }
    Ok(endpoint)
}

/// The URL with what a client may change on its own, done once for all: segments `.` and `..` are
/// resolved and characters that no URI has are escaped, as [RFC 3986] asks for.
///
/// [RFC 3986]: https://www.rfc-editor.org/rfc/rfc3986#section-6.2.2
fn normal(url: &str) -> String {
    let (before, query) = match url.split_once('?') {
        Some((before, query)) => (before, Some(query)),
        None => (url, None),
    };
    let start = before.find("://").map_or(0, |at| at + 3);
    let end = before.get(start..).and_then(|rest| rest.find('/'));
    let (root, path) = before.split_at(end.map_or(before.len(), |at| start + at));
    let mut segments: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in path.split('/').skip(1) {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        is_folder = plain == "." || plain == "..";
        match plain.as_str() {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(segment),
        }
    }
    let mut normal = String::from(root);
    for segment in &segments {
        normal.push('/');
        escape(segment, "\"<>`{}|^\\", &mut normal);
    }
    if is_folder || segments.is_empty() {
        normal.push('/');
    }
    if let Some(query) = query {
        normal.push('?');
        escape(query, "\"<>`{}|^\\'", &mut normal);
    }
    normal
}

/// Appends `text`, with the characters in `set`, which are ASCII, as `%xx`.
fn escape(text: &str, set: &str, target: &mut String) {
    for c in text.chars() {
        if set.contains(c) {
            target.push_str(&format!("%{:02X}", u32::from(c)));
        } else {
            target.push(c);
        }
    }
}

/// A server may compare this with its own name, so the scheme's port is never in it.
fn authority(endpoint: &Endpoint<'_>) -> String {
    let (host, port) = (endpoint.host(), endpoint.port());
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_string(),
    };
    match port == endpoint.scheme().default_port() {
        true => host,
        false => format!("{host}:{port}"),
    }
}

fn check_identity(tls: &TlsFiles) -> Result<(), HttpSettingsError> {
    match (&tls.client_certificate, &tls.client_key) {
        (Some(_), None) => Err(HttpSettingsError::CertificateWithoutKey),
        (None, Some(_)) => Err(HttpSettingsError::KeyWithoutCertificate),
        _ => Ok(()),
    }
}

/// A proxy may need a user name and a password, so those are allowed here.
fn check_proxy(proxy: &Proxy) -> Result<(), HttpSettingsError> {
    let Proxy::Url(url) = proxy else {
        return Ok(());
    };
    match Endpoint::parse_exact(url, &mut Diagnostics::new()) {
        Ok(_) => Ok(()),
        Err(error) => Err(HttpSettingsError::Proxy {
            problem: error.kind(),
        }),
    }
}

fn user_agent_prefix(prefix: Option<&str>) -> Result<Option<String>, HttpSettingsError> {
    let prefix = prefix.map(str::trim).filter(|prefix| !prefix.is_empty());
    match prefix {
        Some(prefix) if !is_header_value(prefix.as_bytes()) => {
            Err(HttpSettingsError::UserAgentPrefix)
        }
        prefix => Ok(prefix.map(ToString::to_string)),
    }
}

impl HttpTarget {
    /// The URL to post to, in visible ASCII, with its query and without user info and fragment.
    /// For requests only: the query may be a secret.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns true if requests are encrypted.
    #[must_use]
    pub const fn is_https(&self) -> bool {
        self.is_https
    }

    /// The host name or address; an IPv6 address has no brackets here.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port: as written, else 80 or 443.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The value of the `Host` header: the host, and the port unless it is the scheme's. An IPv6
    /// address is in brackets.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The headers of every request, without `User-Agent`. Each name is there once and is none
    /// that the protocol sets; names are tokens and values are visible ASCII, spaces and tabs.
    #[must_use]
    pub fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The value of the `User-Agent` header: a configured one, else `product` after a configured
    /// prefix. `product` is the transport's own, like `Example/1.0`.
    #[must_use]
    pub fn user_agent(&self, product: &str) -> String {
        match &self.user_agent {
            UserAgent::Given(user_agent) => user_agent.clone(),
            UserAgent::Prefixed(Some(prefix)) => format!("{prefix} {product}"),
            UserAgent::Prefixed(None) => product.into(),
        }
    }

    /// What was left out, one sentence each, for the log. Without secrets.
    #[must_use]
    pub fn diagnostics(&self) -> &[String] {
        &self.diagnostics
    }
}

impl fmt::Debug for HttpTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpTarget")
            .field("url", &RedactedUrl(&self.url))
            .field("headers", &HeaderNames(&self.headers))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // fault X48
    #[test]
    fn a_url_has_one_form_for_all_clients() {
        for (url, expected) in [
            ("http://h:1", "http://h:1/"),
            ("http://h:1/v1/traces", "http://h:1/v1/traces"),
            ("http://h:1//a//", "http://h:1//a//"),
            ("http://h:1/a/../b/./c", "http://h:1/b/c"),
            ("http://h:1/../../a/..", "http://h:1/"),
            ("http://h:1/a/b/..", "http://h:1/a/"),
            ("http://h:1/a/%2E%2e/b", "http://h:1/b"),
            ("http://h:1/a/.../b..", "http://h:1/a/.../b.."),
            ("http://[::1]:1/a{b}|c'", "http://[::1]:1/a%7Bb%7D%7Cc'"),
            (
                "http://h/?q='{../}'&r=%2F?",
                "http://h/?q=%27%7B../%7D%27&r=%2F?",
            ),
        ] {
            let normal = HttpSettings::new(url).check().unwrap();
            assert_eq!(normal.url(), expected, "{url}");
        }
    }
}
