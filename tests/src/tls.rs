//! Certificates, good and bad, and server settings made of them.
//!
//! Problem: a sender must refuse each kind of bad certificate by name and never fall back to plain
//! text (fault N17). Answer: an [`Authority`] made afresh in each test signs the good certificate
//! and the bad ones; nothing secret is committed and nothing expires.
//!
//! | certificate | from |
//! |---|---|
//! | good for `localhost` and `127.0.0.1` | [`Authority::server`] |
//! | wrong host | [`Authority::server_for`] |
//! | named as clients of devices want it | [`Authority::server_named`] |
//! | expired | [`Authority::expired_server`] |
//! | not valid yet | [`Authority::future_server`] |
//! | unknown CA | [`Authority::server`] of an authority that the client does not trust |
//! | self-signed | [`self_signed`] |
//! | an authority's own | [`self_signed_authority`] |
//! | client, also in a server's place | [`Authority::client`], [`Authority::client_as_server`] |
//! | revoked client | [`Identity::server_config_revoking`] |
//!
//! TLS 1.0 and 1.1 do not exist in rustls; [`Front::Tls11`](crate::fault_server::Front::Tls11) plays
//! the one message of it that a client gets to see.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SerialNumber, date_time_ymd,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

/// The names of the good server certificate.
pub const LOOPBACK_NAMES: &[&str] = &["localhost", "127.0.0.1"];

/// A certificate chain with its private key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_pem: String,
    key_pem: String,
    /// Empty for one that no authority signed.
    serial: Vec<u8>,
}

impl Identity {
    /// The certificate in PEM.
    #[must_use]
    pub fn cert_pem(&self) -> &str {
        &self.cert_pem
    }

    /// The private key in PEM (PKCS #8).
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// TLS 1.2 and 1.3 settings of a server with this identity.
    ///
    /// # Panics
    /// If rustls refuses the certificate.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.config(rustls::ALL_VERSIONS, None)
    }

    /// The same for TLS 1.2 alone.
    ///
    /// # Panics
    /// If rustls refuses the certificate.
    #[must_use]
    pub fn server_config_tls12(&self) -> Arc<ServerConfig> {
        self.config(&[&rustls::version::TLS12], None)
    }

    /// Settings of a server that demands a client certificate of `clients`.
    ///
    /// # Panics
    /// If rustls refuses one of the certificates.
    #[must_use]
    pub fn server_config_for(&self, clients: &Authority) -> Arc<ServerConfig> {
        self.config(rustls::ALL_VERSIONS, Some((clients, None)))
    }

    /// The same, for a server that knows that `revoked` was revoked.
    ///
    /// # Panics
    /// If rustls refuses one of the certificates, or the list.
    #[must_use]
    pub fn server_config_revoking(&self, clients: &Authority, revoked: &Self) -> Arc<ServerConfig> {
        self.config(rustls::ALL_VERSIONS, Some((clients, Some(revoked))))
    }

    fn config(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        clients: Option<(&Authority, Option<&Self>)>,
    ) -> Arc<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .expect("versions that the provider has");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some((authority, revoked)) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(authority.issuer.der().clone())
                    .expect("an authority's certificate");
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                        .with_crls(revoked.map(|revoked| authority.revoke(revoked)))
                        .build()
                        .expect("a verifier with one root");
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .expect("a certificate that fits its key");
        Arc::new(config)
    }
}

/// A certificate authority made for one test.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority with a new key.
    ///
    /// # Panics
    /// If no key can be made.
    #[must_use]
    pub fn new() -> Self {
        let key = new_key();
        // Named after its key: two authorities of one name would make a stranger's certificate
        // look forged where it is only unknown.
        let named: String = key.public_key_raw().iter().rev().take(8).map(hex).collect();
        let mut params = params(&[], &format!("Spandrel test authority {named}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a self-signed root");
        Self { issuer }
    }

    /// The root certificate in PEM, for clients that shall trust this authority.
    #[must_use]
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The root certificate in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.issuer.der()
    }

    /// A good certificate for [`LOOPBACK_NAMES`].
    #[must_use]
    pub fn server(&self) -> Identity {
        self.server_for(LOOPBACK_NAMES)
    }

    /// A certificate for these DNS names and IP addresses, whether or not they are the server's.
    ///
    /// # Panics
    /// If a name cannot stand in a certificate.
    #[must_use]
    pub fn server_for(&self, names: &[&str]) -> Identity {
        self.sign(server_params(names))
    }

    /// A certificate for one name, which is its common name too: some clients of devices look
    /// nowhere else.
    ///
    /// # Panics
    /// If the name cannot stand in a certificate.
    #[must_use]
    pub fn server_named(&self, name: &str) -> Identity {
        let mut params = server_params(&[name]);
        params.distinguished_name.push(DnType::CommonName, name);
        self.sign(params)
    }

    /// A certificate for [`LOOPBACK_NAMES`] that ended in 2001.
    #[must_use]
    pub fn expired_server(&self) -> Identity {
        let mut params = server_params(LOOPBACK_NAMES);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2001, 1, 1);
        self.sign(params)
    }

    /// A certificate for [`LOOPBACK_NAMES`] that begins in 2200.
    #[must_use]
    pub fn future_server(&self) -> Identity {
        let mut params = server_params(LOOPBACK_NAMES);
        params.not_before = date_time_ymd(2200, 1, 1);
        params.not_after = date_time_ymd(2201, 1, 1);
        self.sign(params)
    }

    /// A client's certificate.
    #[must_use]
    pub fn client(&self) -> Identity {
        let mut params = params(&["client.example"], "Spandrel test client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A client's certificate with the names of the server that uses it.
    #[must_use]
    pub fn client_as_server(&self) -> Identity {
        let mut params = server_params(LOOPBACK_NAMES);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// A list of this authority in which `revoked` stands alone.
    fn revoke(&self, revoked: &Identity) -> CertificateRevocationListDer<'static> {
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2200, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from_slice(&revoked.serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer)
            .expect("a list of our own")
            .into()
    }

    fn sign(&self, mut params: CertificateParams) -> Identity {
        let key = new_key();
        let serial = key.public_key_raw().iter().rev().take(8);
        let serial: Vec<u8> = [0x40].into_iter().chain(serial.copied()).collect();
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity {
            serial,
            ..identity(&certificate, &key)
        }
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

/// A certificate for [`LOOPBACK_NAMES`] that nobody but itself vouches for.
///
/// # Panics
/// If no key can be made.
#[must_use]
pub fn self_signed() -> Identity {
    let key = new_key();
    let certificate = server_params(LOOPBACK_NAMES)
        .self_signed(&key)
        .expect("a certificate");
    identity(&certificate, &key)
}

/// What `openssl req -x509` makes: a certificate for [`LOOPBACK_NAMES`] that is an authority as well.
///
/// # Panics
/// If no key can be made.
#[must_use]
pub fn self_signed_authority() -> Identity {
    let key = new_key();
    let mut params = server_params(LOOPBACK_NAMES);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).expect("a certificate");
    identity(&certificate, &key)
}

fn server_params(names: &[&str]) -> CertificateParams {
    let mut params = params(names, "Spandrel test server");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

fn params(names: &[&str], common_name: &str) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names fit for a certificate");
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params
}

fn hex(byte: &u8) -> String {
    format!("{byte:02x}")
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a new key")
}

fn identity(certificate: &rcgen::Certificate, key: &KeyPair) -> Identity {
    Identity {
        chain: vec![certificate.der().clone()],
        key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        cert_pem: certificate.pem(),
        key_pem: key.serialize_pem(),
        serial: Vec::new(),
    }
}

/// Named, so that no process-wide default has to be installed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
