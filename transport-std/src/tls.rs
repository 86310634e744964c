//! The TLS settings in the client's types.

use rustls::pki_types::CertificateDer;
use spandrel_core::hosted::config::TlsFiles;
use spandrel_core::hosted::unversioned::client::BuildError;
use spandrel_core::hosted::unversioned::tls::{ClientIdentity, TlsMaterial, provider};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

#[cfg(not(feature = "platform-verifier"))]
const DEFAULT_ROOTS: RootCerts = RootCerts::WebPki;
#[cfg(feature = "platform-verifier")]
const DEFAULT_ROOTS: RootCerts = RootCerts::PlatformVerifier;

pub(crate) fn config(files: &TlsFiles) -> Result<TlsConfig, BuildError> {
    let material = TlsMaterial::read(files)?;
    let roots = match &material.authorities {
        Some(authorities) => RootCerts::new_with_certs(&certificates(authorities)),
        None => DEFAULT_ROOTS,
    };
    let identity = match &material.identity {
        Some(ClientIdentity { chain, key_pem, .. }) => {
            let key = PrivateKey::from_pem(key_pem)
                .map_err(|_| BuildError::Tls("the client key cannot be used"))?;
            Some(ClientCert::new_with_certs(&certificates(chain), key))
        }
        None => None,
    };
    Ok(TlsConfig::builder()
        .root_certs(roots)
        .client_cert(identity)
        .unversioned_rustls_crypto_provider(provider())
        .build())
}

fn certificates(chain: &[CertificateDer<'_>]) -> Vec<Certificate<'static>> {
    chain
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect()
}
