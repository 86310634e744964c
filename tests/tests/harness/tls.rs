//! Each bad certificate, refused by a client that is not ours, for its own reason.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use spandrel_tests::fault_server::{FaultServer, Front, Script};
use spandrel_tests::tls::{Authority, Identity, self_signed};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};

use super::support::{self, PATIENCE, agent_with, sample, status};

#[allow(clippy::unwrap_used, reason = "certificates of our own making")]
fn trusting(authority: &Authority, client: Option<&Identity>) -> TlsConfig {
    let root = Certificate::from_pem(authority.pem().as_bytes()).unwrap();
    let client = client.map(|client| {
        let certificate = Certificate::from_pem(client.cert_pem().as_bytes()).unwrap();
        let key = PrivateKey::from_pem(client.key_pem().as_bytes()).unwrap();
        ClientCert::new_with_certs(&[certificate], key)
    });
    TlsConfig::builder()
        .root_certs(RootCerts::new_with_certs(&[root]))
        .client_cert(client)
        .build()
}

fn secured(config: Arc<ServerConfig>) -> FaultServer {
    FaultServer::start_with(Script::new(), Front::Tls(config))
}

fn status_through(server: &FaultServer, tls: TlsConfig) -> Result<u16, ureq::Error> {
    status(&agent_with(PATIENCE, tls), &server.url(), &sample(1..3))
}

#[test]
fn a_good_certificate_is_accepted_by_name_and_by_address() {
    let authority = Authority::new();
    let identity = authority.server();
    for config in [identity.server_config(), identity.server_config_tls12()] {
        let server = secured(config);
        assert!(server.url().starts_with("https://127.0.0.1:"));
        let agent = agent_with(PATIENCE, trusting(&authority, None));
        let by_name = format!("https://localhost:{}", server.addr().port());
        for url in [server.url(), by_name] {
            assert_eq!(status(&agent, &url, &sample(1..3)).unwrap(), 200);
        }
        assert_eq!(server.requests().len(), 2);
        assert_eq!(server.oracle().acked().len(), 2);
        assert_eq!(server.counters().failed_handshakes, 0);
    }
}

#[test]
fn each_bad_certificate_is_refused_for_its_own_reason() {
    let authority = Authority::new();
    let cases = [
        (authority.server_for(&["example.org"]), "not valid for name"),
        (authority.expired_server(), "expired"),
        (Authority::new().server(), "UnknownIssuer"),
        (self_signed(), "UnknownIssuer"),
    ];
    for (identity, reason) in cases {
        let server = secured(identity.server_config());
        let error = status_through(&server, trusting(&authority, None)).unwrap_err();
        assert!(error.to_string().contains(reason), "{error} for {reason}");
        assert!(support::eventually(
            || server.counters().failed_handshakes == 1
        ));
        assert!(server.last_handshake_failure().is_some());
        assert!(server.requests().is_empty());
    }
}

#[test]
fn a_client_certificate_is_demanded_and_checked() {
    let authority = Authority::new();
    let server = secured(authority.server().server_config_for(&authority));
    let good = authority.client();
    let tls = trusting(&authority, Some(&good));
    assert_eq!(status_through(&server, tls).unwrap(), 200);
    let stranger = Authority::new().client();
    for client in [None, Some(&stranger)] {
        assert!(status_through(&server, trusting(&authority, client)).is_err());
    }
    assert_eq!(server.requests().len(), 1);
    assert!(support::eventually(
        || server.counters().failed_handshakes == 2
    ));
}

#[test]
fn a_stalled_handshake_ends_at_the_clients_deadline() {
    let server = FaultServer::start_with(Script::new(), Front::StalledHandshake);
    let agent = agent_with(Duration::from_millis(200), TlsConfig::default());
    let started = Instant::now();
    let error = status(&agent, &server.url(), &sample(1..2)).unwrap_err();
    assert!(support::timed_out(&error), "{error:?}");
    drop(server);
    assert!(started.elapsed() < PATIENCE);
}

#[test]
fn what_is_no_modern_tls_is_refused_at_once() {
    for (front, reason) in [
        (Front::GarbageHandshake, "corrupt message"),
        (Front::Tls11, "peer is incompatible"),
    ] {
        let server = FaultServer::start_with(Script::new(), front.clone());
        let error = status_through(&server, TlsConfig::default()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(reason), "{front:?}: {text}");
    }
}
