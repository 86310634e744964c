//! The certificates and keys of a client: read and checked when a sender is built, so that a wrong
//! file is an error of the start and not of the first export.

use core::fmt;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::string::{String, ToString};
use std::sync::Arc;
use std::vec::Vec;

use rustls::client::WantsClientCert;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::client::BuildError;
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

/// The meaning of an error of rustls, and its text. Names in a certificate are escaped.
#[must_use]
pub fn failure(error: &rustls::Error) -> (TransportError, String) {
    use rustls::AlertDescription as Alert;
    let failure = match error {
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::InvalidCertRevocationList(_)
        // The server's view of our certificate.
        | rustls::Error::AlertReceived(
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::CertificateRequired
            | Alert::UnknownCA
            | Alert::AccessDenied,
        ) => TransportError::Certificate,
        _ => TransportError::Tls,
    };
    (failure, sanitise(&std::format!("TLS: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_told_from_other_failures() {
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        let (class, text) = failure(&expired);
        assert_eq!(class, TransportError::Certificate);
        assert!(text.contains("Expired"), "{text}");
        let refused = rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA);
        assert_eq!(failure(&refused).0, TransportError::Certificate);
        assert_eq!(failure(&rustls::Error::DecryptError).0, TransportError::Tls);
    }
}
