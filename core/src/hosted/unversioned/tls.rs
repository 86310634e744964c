//! The certificates and keys of a client: read and checked when a sender is built, so that a wrong
//! file is an error of the start and not of the first export.

use core::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::string::ToString;
use std::sync::Arc;
use std::vec::Vec;

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CertificateError, ClientConfig, ConfigBuilder, InvalidMessage, RootCertStore};

use super::client::{BuildError, Failure};
use crate::hosted::config::TlsFiles;
use crate::hosted::diagnostics::sanitise;
use crate::response::TransportError;

/// The largest file that is read: a bundle of all public authorities has a quarter of a MiB, and a
/// path may name a device without an end.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The usable content of [`TlsFiles`].
#[derive(Debug)]
pub struct TlsMaterial {
    /// The authorities to trust instead of the client's own roots.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    /// The client's certificate.
    pub identity: Option<ClientIdentity>,
}

/// A certificate chain and its key, which fit together. `Debug` shows nothing of the key.
pub struct ClientIdentity {
    /// The certificates, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The leaf's private key.
    pub key: PrivateKeyDer<'static>,
    /// The content of the key's file, for clients that parse it themselves.
    pub key_pem: Vec<u8>,
}

impl fmt::Debug for ClientIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIdentity")
            .field("certificates", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// The cryptography of both transports. A client is always given it: a library must neither depend
/// on nor set the process-wide one, and two transports in one program must not compete for it.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl TlsMaterial {
    /// Neither authorities nor an identity.
    pub const NONE: Self = Self {
        authorities: None,
        identity: None,
    };

    /// Reads the files. Each certificate and key is tried out, because clients leave out bad
    /// certificates silently and panic over a key that does not fit its certificate.
    ///
    /// # Errors
    ///
    /// The first file that cannot be used, quoting nothing of it.
    pub fn read(files: &TlsFiles) -> Result<Self, BuildError> {
        let authorities = match &files.certificate {
            Some(path) => Some(authorities(path)?),
            None => None,
        };
        let identity = match (&files.client_certificate, &files.client_key) {
            (Some(certificate), Some(key)) => Some(ClientIdentity::read(certificate, key)?),
            (None, None) => None,
            _ => {
                let reason = "a client certificate and a client key need each other";
                return Err(BuildError::Tls(reason));
            }
        };
        Ok(Self {
            authorities,
            identity,
        })
    }

    /// The configuration of a rustls client, which trusts `roots` unless the files name authorities.
    ///
    /// # Errors
    ///
    /// [`BuildError::Tls`]; not to be expected, because everything was tried out.
    pub fn client_config(self, mut roots: RootCertStore) -> Result<ClientConfig, BuildError> {
        if let Some(authorities) = self.authorities {
            roots = RootCertStore::empty();
            roots.add_parsable_certificates(authorities);
        }
        let builder = builder(roots)?;
        match self.identity {
            Some(ClientIdentity { chain, key, .. }) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|_| BuildError::Tls("the client certificate cannot be used")),
            None => Ok(builder.with_no_client_auth()),
        }
    }
}

impl ClientIdentity {
    fn read(certificate: &Path, key: &Path) -> Result<Self, BuildError> {
        let chain = certificates(certificate)?;
        let pem = read(key)?;
        // The parser's own text may quote the file.
        let private_key = PrivateKeyDer::from_pem_slice(&pem)
            .map_err(|_| unusable(key, "it holds no private key in PEM"))?;
        builder(RootCertStore::empty())?
            .with_client_auth_cert(chain.clone(), private_key.clone_key())
            .map_err(|error| unusable(key, error))?;
        Ok(Self {
            chain,
            key: private_key,
            key_pem: pem,
        })
    }
}

type Builder = ConfigBuilder<ClientConfig, WantsClientCert>;

fn builder(roots: RootCertStore) -> Result<Builder, BuildError> {
    Ok(ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|_| BuildError::Tls("no protocol version"))?
        .with_root_certificates(roots))
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let chain = certificates(path)?;
    let mut roots = RootCertStore::empty();
    for certificate in &chain {
        let added = roots.add(certificate.clone());
        added.map_err(|error| unusable(path, error))?;
    }
    Ok(chain)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let chain = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable(path, "it is not well-formed PEM"))?;
    if chain.is_empty() {
        return Err(unusable(path, "it holds no certificate"));
    }
    Ok(chain)
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    let mut text = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text))
        .map_err(|error| unusable(path, error))?;
    match text.len() as u64 > MAX_FILE_BYTES {
        true => Err(unusable(path, "it is larger than 4 MiB")),
        false => Ok(text),
    }
}

fn unusable(path: &Path, reason: impl ToString) -> BuildError {
    BuildError::TlsFile {
        path: path.into(),
        reason: reason.to_string(),
    }
}

/// The error of rustls among the causes of a client's error.
#[must_use]
pub fn find<'e>(error: &'e (dyn core::error::Error + 'static)) -> Option<&'e rustls::Error> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // The source of an I/O error is the source of what it wraps: that itself is skipped.
        next = match cause.downcast_ref::<std::io::Error>() {
            Some(error) => error.get_ref().map(|inner| inner as _),
            None => cause.source(),
        };
    }
    None
}

/// The meaning of an error of rustls, its text, and what to do. Names in a certificate are escaped.
#[must_use]
pub fn failure(error: &rustls::Error) -> Failure {
    let (class, hint) = match error {
        rustls::Error::InvalidCertificate(error) => (TransportError::Certificate, of_theirs(error)),
        rustls::Error::NoCertificatesPresented | rustls::Error::InvalidCertRevocationList(_) => {
            (TransportError::Certificate, "")
        }
        rustls::Error::AlertReceived(alert) => of_alert(*alert),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => (
            TransportError::Tls,
            "; this port does not speak TLS: use its TLS port, or http:// in the endpoint",
        ),
        _ => (TransportError::Tls, ""),
    };
    Failure {
        error: class,
        text: sanitise(&std::format!("TLS: {error}")),
        hint,
    }
}

/// What to do about the server's certificate.
fn of_theirs(error: &CertificateError) -> &'static str {
    use CertificateError as E;
    match error {
        E::Expired | E::ExpiredContext { .. } => {
            "; the collector's certificate has expired: it needs a new one, unless this machine's \
             clock is wrong"
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "; the collector's certificate is not valid yet: check this machine's clock"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "; the collector's certificate is for other names: use one of them in the endpoint, or \
             issue it with this one as a subjectAltName"
        }
        E::Revoked => "; the collector's certificate was revoked: it needs a new one",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "; the collector's certificate is not for servers: issue it with the extended key \
             usage serverAuth"
        }
        E::BadEncoding | E::UnhandledCriticalExtension => {
            "; the collector's certificate cannot be read: issue it again as X.509 version 3"
        }
        // Known by its name only: the verifier's error is a type of another crate.
        E::Other(other) if std::format!("{other:?}").contains("CaUsedAsEndEntity") => {
            "; the collector shows an authority's own certificate (CA:TRUE, as `openssl req -x509` \
             makes it): issue one for the server that the authority signs, or add \
             basicConstraints=CA:FALSE"
        }
        // The class's own: name the authority.
        _ => "",
    }
}

/// The server's view of our certificate, or of the handshake.
const fn of_alert(alert: rustls::AlertDescription) -> (TransportError, &'static str) {
    use rustls::AlertDescription as Alert;
    match alert {
        Alert::CertificateRequired => (
            TransportError::Certificate,
            "; the collector asks for a client's certificate: set `client_certificate` and \
             `client_key`",
        ),
        Alert::CertificateExpired => (
            TransportError::Certificate,
            "; the certificate in `client_certificate` has expired",
        ),
        Alert::CertificateRevoked => (
            TransportError::Certificate,
            "; the certificate in `client_certificate` was revoked: it needs a new one",
        ),
        Alert::BadCertificate
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::UnknownCA
        | Alert::AccessDenied => (
            TransportError::Certificate,
            "; the collector refuses our certificate: check `client_certificate`, and that the \
             collector trusts its authority",
        ),
        Alert::UnrecognisedName => (
            TransportError::Tls,
            "; the server knows no host of this name: check the endpoint",
        ),
        Alert::HandshakeFailure | Alert::ProtocolVersion | Alert::InsufficientSecurity => (
            TransportError::Tls,
            "; the server has no version or cipher of TLS 1.2 or 1.3 in common with us",
        ),
        _ => (TransportError::Tls, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, OtherError};

    #[derive(Debug)]
    struct CaUsedAsEndEntity;
    impl fmt::Display for CaUsedAsEndEntity {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("CaUsedAsEndEntity")
        }
    }
    impl core::error::Error for CaUsedAsEndEntity {}

    // fault X46
    #[test]
    fn every_refusal_of_a_certificate_says_what_to_do() {
        let theirs = rustls::Error::InvalidCertificate;
        let other = OtherError(Arc::new(CaUsedAsEndEntity));
        let alert = rustls::Error::AlertReceived;
        for (error, class, text, hint) in [
            (
                theirs(CertificateError::Expired),
                TransportError::Certificate,
                "Expired",
                "has expired",
            ),
            (
                theirs(CertificateError::NotValidYet),
                TransportError::Certificate,
                "NotValidYet",
                "clock",
            ),
            (
                theirs(CertificateError::NotValidForName),
                TransportError::Certificate,
                "NotValidForName",
                "subjectAltName",
            ),
            (
                theirs(CertificateError::Revoked),
                TransportError::Certificate,
                "Revoked",
                "revoked",
            ),
            (
                theirs(CertificateError::InvalidPurpose),
                TransportError::Certificate,
                "InvalidPurpose",
                "serverAuth",
            ),
            (
                theirs(CertificateError::Other(other)),
                TransportError::Certificate,
                "CaUsedAsEndEntity",
                "CA:FALSE",
            ),
            (
                theirs(CertificateError::UnknownIssuer),
                TransportError::Certificate,
                "UnknownIssuer",
                "",
            ),
            (
                alert(AlertDescription::UnknownCA),
                TransportError::Certificate,
                "UnknownCA",
                "client_certificate",
            ),
            (
                alert(AlertDescription::CertificateRequired),
                TransportError::Certificate,
                "CertificateRequired",
                "client_key",
            ),
            (
                alert(AlertDescription::HandshakeFailure),
                TransportError::Tls,
                "HandshakeFailure",
                "in common",
            ),
            (
                rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType),
                TransportError::Tls,
                "InvalidContentType",
                "http://",
            ),
            (rustls::Error::DecryptError, TransportError::Tls, "", ""),
        ] {
            let failure = failure(&error);
            assert_eq!(failure.error, class, "{error}");
            assert!(failure.text.contains(text), "{}", failure.text);
            assert_eq!(hint.is_empty(), failure.hint.is_empty(), "{error}");
            assert!(failure.hint.contains(hint), "{error}: {}", failure.hint);
        }
    }

    #[test]
    fn the_reason_is_found_however_deep_it_lies() {
        let wrap = |inner: std::boxed::Box<dyn core::error::Error + Send + Sync>| {
            std::io::Error::new(std::io::ErrorKind::InvalidData, inner)
        };
        let deep = wrap(wrap(rustls::Error::DecryptError.into()).into());
        assert_eq!(find(&deep), Some(&rustls::Error::DecryptError));
        assert_eq!(
            find(&std::io::Error::from(std::io::ErrorKind::BrokenPipe)),
            None
        );
    }
}
