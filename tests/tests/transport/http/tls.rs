//! The sender over TLS: whom it trusts, what it shows, and what it refuses to start with.

use std::fs;
use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::server::{Request, Server};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use spandrel_transport_std::spandrel_core::response::{Outcome, TransportError};
use spandrel_transport_std::{BuildError, HttpSender, HttpSettings, TlsFiles};

/// An authority, and the PEM files it makes, in a folder that goes away with it.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

struct Identity {
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    fn new(test: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let issuer = CertifiedIssuer::self_signed(params, key).unwrap();
        let folder = std::env::temp_dir().join(format!("spandrel-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("ca.pem")
    }

    fn issue(&self, name: &str, host: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let identity = Identity {
            certificate: self.folder.join(format!("{name}.pem")),
            key: self.folder.join(format!("{name}.key")),
        };
        fs::write(&identity.certificate, certificate.pem()).unwrap();
        fs::write(&identity.key, key.serialize_pem()).unwrap();
        identity
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An https server that shows `identity` and, with `clients`, wants certificates of that
/// authority.
fn https(identity: &Identity, clients: Option<&Authority>) -> Server {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.issuer.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_file(&identity.certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let config = Arc::new(builder.with_single_cert(chain, key).unwrap());
    Server::start(move |_, stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while Request::read(&mut stream).is_some() {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
        // A refused handshake's alert must arrive: closing with unread input would reset.
        let _ = stream.flush();
        let _ = stream.sock.shutdown(Shutdown::Write);
        let _ = io::copy(&mut stream.sock, &mut io::sink());
    })
}

fn config(server: &Server, certificate: Option<PathBuf>) -> HttpSettings {
    let url = format!("https://localhost:{}/v1/traces", server.address.port());
    let mut config = HttpSettings::new(url);
    config.tls.certificate = certificate;
    config
}

/// The status of an answer, or a failure with its text.
fn send(config: HttpSettings) -> Result<u16, (TransportError, String)> {
    let mut sender = HttpSender::new(&config).unwrap();
    sender.encode(|_| 0).unwrap();
    let failure = match sender.send(Duration::from_secs(10)) {
        Outcome::Response(response) => return Ok(response.status),
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    };
    Err((failure, sender.last_error().text().to_owned()))
}

fn client(config: &mut HttpSettings, certificate: &Path, key: &Path) {
    config.tls.client_certificate = Some(certificate.to_owned());
    config.tls.client_key = Some(key.to_owned());
}

#[test]
fn only_the_given_authority_is_trusted() {
    let authority = Authority::new("trust");
    let server = https(&authority.issue("server", "localhost"), None);
    assert_eq!(send(config(&server, Some(authority.path()))), Ok(200));
    let other = Authority::new("trust-other");
    for certificate in [None, Some(other.path())] {
        let (failure, text) = send(config(&server, certificate)).unwrap_err();
        assert_eq!(failure, TransportError::Certificate, "{text}");
    }
}

#[test]
fn a_certificate_for_another_host_is_named_as_the_reason() {
    let authority = Authority::new("host");
    let server = https(&authority.issue("server", "elsewhere.example"), None);
    let (failure, text) = send(config(&server, Some(authority.path()))).unwrap_err();
    assert_eq!(failure, TransportError::Certificate);
    assert!(text.contains("not valid for name"), "{text}");
}

#[test]
fn a_server_that_wants_a_certificate_gets_ours() {
    let authority = Authority::new("mutual");
    let server = https(&authority.issue("server", "localhost"), Some(&authority));
    let mine = authority.issue("client", "client");
    let mut with = config(&server, Some(authority.path()));
    client(&mut with, &mine.certificate, &mine.key);
    assert_eq!(send(with), Ok(200));
    let (failure, text) = send(config(&server, Some(authority.path()))).unwrap_err();
    assert_eq!(failure, TransportError::Certificate, "{text}");
}

#[test]
fn plain_http_on_the_port_is_no_reason_to_fall_back() {
    let server = Server::start(|_, mut stream| {
        stream.write_all(b"HTTP/1.1 400 Bad\r\n\r\n").unwrap();
        let _ = io::copy(&mut stream, &mut io::sink());
    });
    let (failure, text) = send(config(&server, None)).unwrap_err();
    assert_eq!(failure, TransportError::Tls, "{text}");
    assert_eq!(server.connections(), 1);
}

#[test]
fn files_that_cannot_work_are_refused_at_the_start() {
    let authority = Authority::new("files");
    let (one, two) = (authority.issue("one", "a"), authority.issue("two", "b"));
    let junk = authority.folder.join("junk.pem");
    fs::write(&junk, "s3cret\n-----BEGIN s3cret").unwrap();
    let fake = authority.folder.join("fake.pem");
    fs::write(
        &fake,
        "-----BEGIN CERTIFICATE-----\nczNjcmV0\n-----END CERTIFICATE-----\n",
    )
    .unwrap();

    let missing = authority.folder.join("missing.pem");
    let build = |certificate: Option<&Path>, client: Option<&Path>, key: Option<&Path>| {
        let mut config = HttpSettings::new("https://localhost");
        let mut files = TlsFiles::default();
        files.certificate = certificate.map(Path::to_owned);
        files.client_certificate = client.map(Path::to_owned);
        files.client_key = key.map(Path::to_owned);
        config.tls = files;
        HttpSender::new(&config)
    };
    let (chain, key) = (Some(one.certificate.as_path()), Some(one.key.as_path()));
    assert!(build(None, chain, key).is_ok());
    for (certificate, client, key) in [
        (Some(missing.as_path()), None, None),
        (Some(junk.as_path()), None, None),
        (Some(fake.as_path()), None, None),
        (Some(one.key.as_path()), None, None),
        (None, chain, None),
        (None, None, key),
        (None, chain, Some(two.key.as_path())),
        (None, chain, Some(junk.as_path())),
        (None, Some(fake.as_path()), key),
    ] {
        let error = build(certificate, client, key).unwrap_err();
        let is_pair = client.is_some() == key.is_some();
        assert!(
            matches!(
                (&error, is_pair),
                (BuildError::TlsFile { .. }, true) | (BuildError::Settings(_), false)
            ),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error}");
    }
}

#[test]
fn files_are_not_looked_at_for_plain_http() {
    let mut config = HttpSettings::new("http://localhost:4318");
    config.tls.certificate = Some("missing.pem".into());
    assert!(HttpSender::new(&config).is_ok());
}
