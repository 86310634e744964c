//! The settings as a program gives them.

use core::fmt;
use core::time::Duration;
use std::path::PathBuf;
use std::string::String;
use std::vec::Vec;

use crate::hosted::config::debug::{HeaderNames, debug_struct};
use crate::hosted::config::settings::{Settings, Target};
use crate::hosted::diagnostics::RedactedUrl;

/// How to reach a collector by HTTP: the input of a transport's sender.
///
/// [`Settings::http`] makes it from a resolved configuration. To use a sender by itself, start
/// from [`HttpSettings::new`] and change what is needed. [`check`](Self::check) validates it;
/// senders call it. New fields may come in any minor version. `Debug` shows no header value and
/// no credentials.
///
/// ```
/// use spandrel_core::hosted::config::{HttpSettings, HttpSettingsError};
///
/// let mut settings = HttpSettings::new("http://collector.example:4318/v1/traces");
/// settings.headers = vec![("x-api-key".into(), "s3cret".into())];
/// settings.refuse_plaintext_credentials = true;
/// let refused = settings.check().expect_err("the key would cross the network in clear text");
/// assert_eq!(refused, HttpSettingsError::PlaintextCredentials { name: "x-api-key".into() });
///
/// settings.url = "https://collector.example:4318/v1/traces".into();
/// let target = settings.check()?;
/// assert_eq!(target.headers(), [("x-api-key".into(), "s3cret".into())]);
/// assert_eq!((target.authority(), target.is_https()), ("collector.example:4318", true));
/// # Ok::<(), HttpSettingsError>(())
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct HttpSettings {
    /// The complete URL to post to, path included: nothing is appended. `http` or `https` decides
    /// about encryption. User info and a fragment are refused.
    pub url: String,
    /// Headers of every request. Blanks around a value are removed; of a repeated name the last
    /// one counts. A name that belongs to the protocol
    /// ([`RESERVED_HEADERS`](crate::env::RESERVED_HEADERS)) is left out with a diagnostic;
    /// `User-Agent` replaces the transport's own.
    pub headers: Vec<(String, String)>,
    /// A product to put before the transport's own in `User-Agent`, like `MyDist/1.2.3`. Not used
    /// if `headers` has a `User-Agent`.
    pub user_agent_prefix: Option<String>,
    /// Certificates and keys; the files are read for `https` only.
    pub tls: TlsFiles,
    /// The way to the collector. Default: direct.
    pub proxy: Proxy,
    /// The most time for connecting, above zero; what it covers besides (the look-up of the name,
    /// the TLS handshake) is up to the transport. Default 3 s. The deadline of a request limits it
    /// too.
    pub connect_timeout: Duration,
    /// How long an idle connection may be reused; zero = never. It should be shorter than the
    /// server's idle time-out. Default 15 s.
    pub max_idle_age: Duration,
    /// The most bytes of an answer's body; a larger answer fails. Default 4 MiB.
    pub max_response_bytes: usize,
    /// Silences the diagnostic about headers that look like credentials and go over plain `http` to
    /// another machine. Default false.
    pub allow_plaintext_credentials: bool,
    /// Makes such headers an error, whatever `allow_plaintext_credentials` says. Default false: they
    /// are sent as they were given, with a diagnostic.
    pub refuse_plaintext_credentials: bool,
}

impl HttpSettings {
    /// The defaults for the collector at `url`. The text is checked by [`check`](Self::check).
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            headers: Vec::new(),
            user_agent_prefix: None,
            tls: TlsFiles::default(),
            proxy: Proxy::None,
            connect_timeout: Duration::from_secs(3),
            max_idle_age: Duration::from_secs(15),
            max_response_bytes: 4 << 20,
            allow_plaintext_credentials: false,
            refuse_plaintext_credentials: false,
        }
    }
}

debug_struct!(HttpSettings {
    url => RedactedUrl(url),
    headers => HeaderNames(headers),
    user_agent_prefix,
    tls,
    proxy,
    connect_timeout,
    max_idle_age,
    max_response_bytes,
    allow_plaintext_credentials,
    refuse_plaintext_credentials,
});

impl Settings {
    /// Returns how to reach the collector, or `None` if spans do not go to one.
    #[must_use]
    pub fn http(&self) -> Option<HttpSettings> {
        let Target::Otlp { url, .. } = &self.target else {
            return None;
        };
        Some(HttpSettings {
            headers: self.headers.clone(),
            user_agent_prefix: self.user_agent_prefix.clone(),
            tls: TlsFiles {
                certificate: self.certificate.clone(),
                client_certificate: self.client_certificate.clone(),
                client_key: self.client_key.clone(),
            },
            proxy: match self.use_environment_proxy {
                true => Proxy::Environment,
                false => Proxy::None,
            },
            // The settings have their own sentence about it, which names the variable.
            allow_plaintext_credentials: true,
            refuse_plaintext_credentials: self.refuse_plaintext_credentials,
            ..HttpSettings::new(url)
        })
    }
}

/// The PEM files of the TLS settings. The default trusts the transport's built-in roots and shows
/// no client certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// Authorities to trust *instead of* the built-in ones
    /// (`OTEL_EXPORTER_OTLP_CERTIFICATE`).
    pub certificate: Option<PathBuf>,
    /// Our certificate chain, leaf first (`OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`); needs
    /// `client_key`.
    pub client_certificate: Option<PathBuf>,
    /// The private key of our certificate (`OTEL_EXPORTER_OTLP_CLIENT_KEY`); needs
    /// `client_certificate`.
    pub client_key: Option<PathBuf>,
}

/// The proxy that requests go through.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proxy {
    /// None, whatever the environment says: a variable meant for another program must not lead
    /// telemetry astray.
    #[default]
    None,
    /// The one that the environment names, read when a sender is built:
    ///
    /// - `https_proxy` for an `https` endpoint, `http_proxy` for an `http` one, `all_proxy` for either;
    ///   each also in capitals, which count if the lower-case one is unset or empty. In a CGI program
    ///   (with `REQUEST_METHOD`) `HTTP_PROXY` is not read: there it is a header of a request.
    /// - The value is an `http` or `https` URL; without a scheme it is taken for `http`. Another one is
    ///   reported, and the way is direct.
    /// - `no_proxy` lists the hosts that are reached directly, separated by commas, semicolons or
    ///   blanks: `*` for all; a domain for itself and for what is below it, with or without a leading
    ///   `.` or `*.`; an address; a network such as `10.0.0.0/8` or `fd00::/8`; each but a network
    ///   also with a port (`[::1]:4318`). Case does not matter, and no name is resolved.
    Environment,
    /// This one: an `http` or `https` URL, which may have a user name and a password in it.
    Url(String),
}

/// Shows no credentials.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Environment => f.write_str("Environment"),
            Self::Url(url) => f.debug_tuple("Url").field(&RedactedUrl(url)).finish(),
        }
    }
}
