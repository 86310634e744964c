//! TLS settings: read and checked at the start, so that a wrong file is an error of the start and
//! not of the first export (checklist B-015..B-017).

use std::borrow::ToOwned;
use std::fs;
use std::path::Path;
use std::string::ToString;
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use spandrel_core::hosted::config::Settings;

use super::error::BuildError;

/// The client's TLS settings. The provider is always named: a library must not depend on, nor
/// set, the process-wide one, and two transports in one program must not dispute about it.
pub(super) fn config(settings: &Settings) -> Result<ClientConfig, BuildError> {
    let mut roots = RootCertStore::empty();
    match &settings.certificate {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|e| unusable(path, e))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| BuildError::Tls("no protocol version"))?
        .with_root_certificates(roots);
    let mut config = match (&settings.client_certificate, &settings.client_key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(certificate)?;
            let pem = fs::read(key).map_err(|e| unusable(key, e))?;
            // The parser's own text may quote the file.
            let parsed = PrivateKeyDer::from_pem_slice(&pem)
                .map_err(|_| unusable(key, "it holds no private key in PEM"))?;
            builder
                .with_client_auth_cert(chain, parsed)
                .map_err(|e| unusable(key, e))?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            let reason = "a client certificate and a client key need each other";
            return Err(BuildError::Tls(reason));
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BuildError> {
    let pem = fs::read(path).map_err(|e| unusable(path, e))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| unusable(path, "it is not well-formed PEM"))?;
    if chain.is_empty() {
        return Err(unusable(path, "it holds no certificate"));
    }
    Ok(chain)
}

fn unusable(path: &Path, reason: impl ToString) -> BuildError {
    BuildError::TlsFile {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}
