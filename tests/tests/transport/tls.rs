//! Faults N17 and N18: encryption that fails.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{FaultServer, Front, Script};
use spandrel_tests::tls::{Authority, Identity, self_signed};

use crate::harness::{AT_ONCE, Rig, complete, ms};

/// A file of this test alone, gone with the value.
pub(crate) struct PemFile(PathBuf);

impl PemFile {
    pub(crate) fn new(name: &str, text: &str) -> Self {
        let file = format!("spandrel-{}-{name}.pem", std::process::id());
        let path = std::env::temp_dir().join(file);
        fs::write(&path, text).expect("a writable temporary folder");
        Self(path)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

impl Drop for PemFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn rig(front: Front, trusted: &PemFile) -> Rig {
    let server = FaultServer::start_with(Script::new(), front);
    let url = server.url();
    Rig::at(server, &url, |config| {
        config.certificate = Some(trusted.path());
    })
}

#[test]
fn n17_a_good_certificate_is_accepted() {
    let authority = Authority::new();
    let trusted = PemFile::new("good", &authority.pem());
    let rig = rig(Front::Tls(authority.server().server_config()), &trusted);
    rig.deliver(3);
    rig.deliver(3);
    let end = rig.close();
    end.is(6, &[]);
    assert_eq!(end.server.counters().accepted, 1);
}

fn refuses(name: &str, authority: &Authority, identity: &Identity) {
    let trusted = PemFile::new(name, &authority.pem());
    let rig = rig(Front::Tls(identity.server_config()), &trusted);
    complete(rig.batch(2));
    let end = rig.close();
    // A fault of the configuration: waiting does not mend it.
    end.is(0, &[(DropReason::Endpoint, 2)]).attempts(1);
    assert!(end.server.requests().is_empty(), "nothing in plain text");
}

#[test]
fn n17_an_expired_certificate_is_refused() {
    let authority = Authority::new();
    refuses("expired", &authority, &authority.expired_server());
}

#[test]
fn n17_a_certificate_for_another_host_is_refused() {
    let authority = Authority::new();
    refuses("host", &authority, &authority.server_for(&["example.org"]));
}

#[test]
fn n17_a_certificate_of_an_unknown_authority_is_refused() {
    refuses("unknown", &Authority::new(), &Authority::new().server());
}

#[test]
fn n17_a_self_signed_certificate_is_refused() {
    refuses("self", &Authority::new(), &self_signed());
}

#[test]
fn n17_bad_certificates_open_the_circuit_and_the_rest_is_kept() {
    let authority = Authority::new();
    let trusted = PemFile::new("many", &authority.pem());
    let identity = authority.expired_server();
    let rig = rig(Front::Tls(identity.server_config()), &trusted);
    for _ in 0..5 {
        complete(rig.batch(1));
    }
    rig.record(1);
    let report = rig.telemetry.force_flush(ms(20));
    assert_eq!((report.exported, report.dropped, report.left), (0, 0, 1));
    rig.close().is(0, &[(DropReason::Endpoint, 6)]).opened(2);
}

#[test]
fn n17_a_server_that_knows_tls_1_1_alone_gets_nothing() {
    stalls(Front::Tls11);
}

#[test]
fn n18_a_handshake_that_stalls_meets_the_timeout() {
    stalls(Front::StalledHandshake);
}

#[test]
fn n18_a_handshake_answered_with_garbage_is_a_failure() {
    stalls(Front::GarbageHandshake);
}

/// Failures that might pass: repeated, until the shutdown gives up.
fn stalls(front: Front) {
    let authority = Authority::new();
    let trusted = PemFile::new(&format!("{front:?}"), &authority.pem());
    let rig = rig(front, &trusted);
    rig.record(2);
    let _ = rig.telemetry.force_flush(ms(10));
    rig.wait_for_attempts(2);
    let started = Instant::now();
    let end = rig.close_within(ms(200));
    assert!(started.elapsed() < AT_ONCE);
    end.is(0, &[(DropReason::Shutdown, 2)])
        .possible_duplicates(0);
    assert!(end.server.requests().is_empty(), "nothing in plain text");
}
