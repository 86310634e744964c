//! Why HTTP settings are refused.

use core::error::Error;
use core::fmt;
use std::string::String;

use crate::env::{EndpointErrorKind, HeaderProblemKind};
use crate::hosted::diagnostics::sanitise;

/// A field of [`HttpSettings`](super::HttpSettings) with which no request can be sent. `Display`
/// names the field, says what is wrong with it and what to do; neither `Display` nor `Debug`
/// shows credentials or the value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HttpSettingsError {
    /// `url` is not an absolute `http` or `https` URL with a host and a usable port.
    Url {
        /// What is wrong with it.
        problem: EndpointErrorKind,
        /// The text, unless it may contain credentials.
        text: Option<String>,
    },
    /// `url` has a user name or a password in it. They belong in an `Authorization` header, which
    /// no log shows.
    UserInfo,
    /// `url` has a part after `#`, which is never sent.
    Fragment,
    /// A member of `headers` cannot be sent.
    Header {
        /// Its position, the first being 1.
        number: usize,
        /// Its name, unless the name is what is wrong: it may be a piece of a secret.
        name: Option<String>,
        /// What is wrong with it.
        problem: HeaderProblemKind,
    },
    /// `user_agent_prefix` cannot be part of a header.
    UserAgentPrefix,
    /// A header that looks like a credential would leave this machine unencrypted, which
    /// `refuse_plaintext_credentials` forbids.
    PlaintextCredentials {
        /// The header's name.
        name: String,
    },
    /// `tls.client_certificate` without `tls.client_key`.
    CertificateWithoutKey,
    /// `tls.client_key` without `tls.client_certificate`.
    KeyWithoutCertificate,
    /// `proxy` is not an `http` or `https` URL.
    Proxy {
        /// What is wrong with it.
        problem: EndpointErrorKind,
    },
    /// `connect_timeout` is zero, so that no connection could ever be made.
    ZeroConnectTimeout,
}

impl fmt::Display for HttpSettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url { problem, text } => {
                match text {
                    Some(text) => write!(f, "url: \"{}\" {problem}", sanitise(text))?,
                    None => write!(f, "url: the text, which may hold credentials, {problem}")?,
                }
                f.write_str("; give an absolute http or https URL")
            }
            Self::UserInfo => f.write_str(
                "url: it has a user name or password; put them in an authorization header",
            ),
            Self::Fragment => f.write_str("url: the part after '#' is never sent; leave it out"),
            Self::Header {
                number,
                name,
                problem,
            } => {
                write!(f, "headers: member {number} ")?;
                if let Some(name) = name {
                    write!(f, "(\"{}\") ", sanitise(name))?;
                }
                write!(f, "{problem}; correct it or leave it out")
            }
            Self::UserAgentPrefix => f.write_str(
                "user_agent_prefix: it has other than visible ASCII characters and spaces; give a \
                 product like MyDist/1.2.3",
            ),
            Self::PlaintextCredentials { name } => write!(
                f,
                "headers: `{}` would be sent unencrypted to another host; use https, or do not set \
                 refuse_plaintext_credentials",
                sanitise(name)
            ),
            Self::CertificateWithoutKey => f.write_str(
                "tls.client_certificate: there is no client_key with it; give the private key of \
                 the certificate, or leave out both",
            ),
            Self::KeyWithoutCertificate => f.write_str(
                "tls.client_key: there is no client_certificate with it; give the certificate of \
                 the key, or leave out both",
            ),
            Self::Proxy { problem } => write!(
                f,
                "proxy: the URL {problem}; give an http or https URL, or Proxy::None"
            ),
            Self::ZeroConnectTimeout => {
                f.write_str("connect_timeout: zero leaves no time to connect; give a few seconds")
            }
        }
    }
}

impl Error for HttpSettingsError {}
