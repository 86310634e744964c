//! The settings of a sender.

use std::fmt;
use std::time::Duration;

use spandrel_core::hosted::diagnostics::RedactedUrl;
use spandrel_core::hosted::unversioned::credential::is_loopback_host;
use ureq::http::Uri;

use crate::error::BuildError;
use crate::tls::TlsFiles;

/// Which proxy requests go through.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// None, whatever the environment says: a variable meant for another program must not lead
    /// telemetry astray (fault catalogue N19).
    #[default]
    None,
    /// What `ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say.
    Environment,
    /// This one: an `http` or `https` URL.
    Url(String),
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Environment => f.write_str("Environment"),
            Self::Url(url) => f.debug_tuple("Url").field(&RedactedUrl(url)).finish(),
        }
    }
}

/// The settings of a [`HttpSender`](crate::HttpSender): start from [`SenderConfig::new`] and
/// change what is needed. `Debug` shows no header value and no credentials.
#[derive(Clone)]
#[non_exhaustive]
pub struct SenderConfig {
    /// The full URL to post to, path included. `http` or `https` decides about encryption.
    pub endpoint: String,
    /// Headers to send with every request (checklist A-028). Names that belong to the protocol
    /// (`Content-Type`, `Content-Length`, `Content-Encoding`, `Host`, ..) are ignored with a
    /// warning; `User-Agent` replaces ours (checklist A-029).
    pub headers: Vec<(String, String)>,
    /// A product name to put before our own, as in `MyDist/1.2.3` (checklist A-027).
    pub user_agent_prefix: Option<String>,
    /// The most time for resolving, and again for connecting with TLS (fault catalogue N2).
    /// Default 3 s. The deadline of a request bounds it too.
    pub connect_timeout: Duration,
    /// The most bytes of an answer's body (checklist A-021). Default 4 MiB.
    pub max_response_bytes: usize,
    /// How long an idle connection may be reused, and an address be remembered. It must be
    /// shorter than the server's patience. Default 15 s.
    pub max_idle_age: Duration,
    /// The way out. Default: directly.
    pub proxy: Proxy,
    /// Certificates and keys; looked at for `https` only.
    pub tls: TlsFiles,
    /// Permits headers that look like credentials over plain `http` to another host than this
    /// one (fault catalogue G2). Default false.
    pub allow_plaintext_credentials: bool,
}

impl SenderConfig {
    /// The defaults, for the collector at `endpoint`.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: Vec::new(),
            user_agent_prefix: None,
            connect_timeout: Duration::from_secs(3),
            max_response_bytes: 4 * 1024 * 1024,
            max_idle_age: Duration::from_secs(15),
            proxy: Proxy::None,
            tls: TlsFiles::default(),
            allow_plaintext_credentials: false,
        }
    }
}

impl fmt::Debug for SenderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| name).collect();
        f.debug_struct("SenderConfig")
            .field("endpoint", &RedactedUrl(&self.endpoint))
            .field("headers", &names)
            .field("user_agent_prefix", &self.user_agent_prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_response_bytes", &self.max_response_bytes)
            .field("max_idle_age", &self.max_idle_age)
            .field("proxy", &self.proxy)
            .field("tls", &self.tls)
            .field(
                "allow_plaintext_credentials",
                &self.allow_plaintext_credentials,
            )
            .finish()
    }
}

/// A checked endpoint.
pub(crate) struct Endpoint {
    pub(crate) uri: Uri,
    /// Whether requests are encrypted.
    pub(crate) is_https: bool,
    /// Whether the URL carries a user or a password, which become an `Authorization` header.
    pub(crate) has_userinfo: bool,
}

impl Endpoint {
    pub(crate) fn parse(text: &str) -> Result<Self, BuildError> {
        let uri: Uri = text
            .parse()
            .map_err(|_| BuildError::Endpoint("not a URL"))?;
        let is_https = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            Some(_) => return Err(BuildError::Endpoint("the scheme is not http or https")),
            None => return Err(BuildError::Endpoint("the scheme is missing")),
        };
        let authority = uri.authority().map_or("", |a| a.as_str());
        let has_userinfo = authority.contains('@');
        let host_and_port = authority.rsplit('@').next().unwrap_or_default();
        if uri.host().is_none_or(str::is_empty) || host_and_port.starts_with(':') {
            return Err(BuildError::Endpoint("the host is missing"));
        }
        let port_text = host_and_port
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'));
        let bad_port =
            uri.port_u16() == Some(0) || (port_text.is_some() && uri.port_u16().is_none());
        if bad_port {
            return Err(BuildError::Endpoint("the port is not between 1 and 65535"));
        }
        Ok(Self {
            uri,
            is_https,
            has_userinfo,
        })
    }

    /// Whether what is sent there does not leave this host. See
    /// [`is_loopback_host`].
    pub(crate) fn is_loopback(&self) -> bool {
        is_loopback_host(self.uri.host().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_absolute_http_url_with_a_usable_port() {
        for good in [
            "http://localhost:4318/v1/traces",
            "https://collector",
            "http://[::1]:4318/",
            "http://[::1]",
            "http://u:p@h:1",
            "HTTP://h/",
        ] {
            assert!(Endpoint::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "/v1/traces",
            "localhost",
            "localhost:4318",
            "ftp://h",
            "http://",
            "http://:80",
            "http://h:0",
            "http://h:70000",
            "http://h:x",
            "http://h:",
            "file:///etc/passwd",
            "unix:/run/sock",
            "http://u@:80",
            "http://a b/",
        ] {
            assert!(Endpoint::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for (url, expected) in [
            ("http://localhost:4318", true),
            ("http://LOCALHOST", true),
            ("http://a.localhost", true),
            ("http://127.8.9.1", true),
            ("http://[::1]:4318", true),
            ("http://[::ffff:127.0.0.1]", true),
            ("http://localhost.example.com", false),
            ("http://10.0.0.1", false),
            ("http://collector:4318", false),
            ("http://localhost@evil.example", false),
        ] {
            assert_eq!(
                Endpoint::parse(url).unwrap().is_loopback(),
                expected,
                "{url}"
            );
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let mut config = SenderConfig::new("https://user:hunter2@h/p?token=hunter2");
        config.headers = vec![("authorization".into(), "Bearer hunter2".into())];
        config.proxy = Proxy::Url("http://me:hunter2@proxy".into());
        let text = format!("{config:?}");
        assert!(text.contains("authorization") && text.contains("https://h/p"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
