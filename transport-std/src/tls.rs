//! TLS settings: read and checked when the sender is built, so that a wrong file is an error of
//! the start and not of the first export (checklist B-015..B-017).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use crate::error::BuildError;

/// The PEM files of the TLS settings. None = trust the built-in roots (Mozilla's; with the
/// feature `platform-verifier`, those of the operating system) and show no certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// Authorities to trust *instead of* the built-in ones
    /// (`OTEL_EXPORTER_OTLP_CERTIFICATE`).
    pub certificate: Option<PathBuf>,
    /// Our certificate chain, leaf first (`OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE`).
    pub client_certificate: Option<PathBuf>,
    /// The private key of our certificate (`OTEL_EXPORTER_OTLP_CLIENT_KEY`).
    pub client_key: Option<PathBuf>,
}

/// The client's TLS settings. The provider is always named: a library must not depend on, nor
/// set, the process-wide one.
pub(crate) fn config(files: &TlsFiles) -> Result<TlsConfig, BuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = match &files.certificate {
        Some(path) => trusted(path)?,
        None => default_roots(),
    };
    let client = match (&files.client_certificate, &files.client_key) {
        (Some(certificate), Some(key)) => Some(client_cert(certificate, key, &provider)?),
        (None, None) => None,
        _ => {
            let reason = "a client certificate and a client key need each other";
            return Err(BuildError::Tls(reason));
        }
    };
    Ok(TlsConfig::builder()
        .root_certs(roots)
        .client_cert(client)
        .unversioned_rustls_crypto_provider(provider)
        .build())
}

#[cfg(not(feature = "platform-verifier"))]
fn default_roots() -> RootCerts {
    RootCerts::WebPki
}

#[cfg(feature = "platform-verifier")]
fn default_roots() -> RootCerts {
    RootCerts::PlatformVerifier
}

/// Every certificate of the file must be usable: the client would leave out bad ones silently.
fn trusted(path: &Path) -> Result<RootCerts, BuildError> {
    let chain = certificates(path)?;
    let mut store = RootCertStore::empty();
    for certificate in &chain {
        store
            .add(certificate.clone())
            .map_err(|e| unusable(path, e))?;
    }
    Ok(RootCerts::new_with_certs(&owned(&chain)))
}

/// The client panics over a key that does not fit its certificate, so it is tried out here.
fn client_cert(
    certificate: &Path,
    key: &Path,
    provider: &Arc<CryptoProvider>,
) -> Result<ClientCert, BuildError> {
    let chain = certificates(certificate)?;
    let pem = read(key)?;
    // The parser's own text may quote the file.
    let not_a_key = "it holds no private key in PEM";
    let checked_key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| unusable(key, not_a_key))?;
    let client_key = PrivateKey::from_pem(&pem).map_err(|_| unusable(key, not_a_key))?;
    let client_chain = owned(&chain);
    ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|_| BuildError::Tls("no protocol version"))?
        .with_root_certificates(RootCertStore::empty())
        .with_client_auth_cert(chain, checked_key)
        .map_err(|e| unusable(key, e))?;
    Ok(ClientCert::new_with_certs(&client_chain, client_key))
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

fn owned(chain: &[CertificateDer<'_>]) -> Vec<Certificate<'static>> {
    chain
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect()
}

fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(|e| unusable(path, e))
}

fn unusable(path: &Path, reason: impl ToString) -> BuildError {
    BuildError::TlsFile {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
