//! Every address of a host gets its turn, whatever kept from the one before.
//!
//! The client goes on to the next address after some errors of a connection and gives up after others:
//! a firewall that prohibits IPv6 would keep it from a collector that answers over IPv4.

use std::io::ErrorKind;
use std::time::Instant;

use ureq::Error;
use ureq::unversioned::transport::time::Duration;
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout};

/// Has `C` try one address after the other, within the time for all of them.
#[derive(Debug)]
pub(crate) struct EachAddress<C>(pub(crate) C);

impl<C: Connector<()>> Connector<()> for EachAddress<C> {
    type Out = C::Out;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<Self::Out>, Error> {
        // A proxy's own addresses come by as a connection of their own.
        let proxy = details.config.proxy();
        let is_proxied = proxy.is_some_and(|proxy| !proxy.is_no_proxy(details.uri));
        if is_proxied || details.addrs.len() < 2 {
            return self.0.connect(details, chained);
        }
        self.connect_in_turn(details)
    }
}

impl<C: Connector<()>> EachAddress<C> {
    fn connect_in_turn(&self, details: &ConnectionDetails<'_>) -> Result<Option<C::Out>, Error> {
        let started = Instant::now();
        let mut to_come = details.addrs.len();
        let mut telling: Option<Error> = None;
        for &address in &details.addrs {
            to_come -= 1;
            let left = details.timeout.after.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Err(Error::Timeout(details.timeout.reason));
            }
            // Half of what is left, so that an address that swallows everything leaves some to others.
            let share = if to_come == 0 { left } else { left / 2 };
            let mut addrs = details.resolver.empty();
            addrs.push(address);
            let details = ConnectionDetails {
                uri: details.uri,
                addrs,
                config: details.config,
                request_level: details.request_level,
                resolver: details.resolver,
                now: (details.current_time)(),
                timeout: NextTimeout {
                    after: Duration::Exact(share),
                    ..details.timeout
                },
                current_time: details.current_time.clone(),
                run_connector: details.run_connector.clone(),
                register_shutdown: details.register_shutdown.clone(),
            };
            match self.0.connect(&details, None) {
                Err(error @ (Error::Io(_) | Error::Timeout(_))) => {
                    if telling
                        .as_ref()
                        .is_none_or(|telling| says(telling) <= says(&error))
                    {
                        telling = Some(error);
                    }
                }
                // Connected; or it is no matter of addresses, such as the end of the client.
                other => return other,
            }
        }
        Err(telling.unwrap_or(Error::ConnectionFailed))
    }
}

/// How much an error says about the host: that it refuses more than that it is silent, and this more
/// than that there is no way to it.
fn says(error: &Error) -> u8 {
    let Error::Io(error) = error else {
        return 2;
    };
    match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => 3,
        ErrorKind::NetworkUnreachable
        | ErrorKind::HostUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;
    use std::sync::{Arc, Mutex};

    use ureq::Timeout;
    use ureq::config::Config;
    use ureq::http::Uri;
    use ureq::unversioned::resolver::{DefaultResolver, Resolver};

    /// Fails as it is told, one address after the other, and then connects.
    #[derive(Debug)]
    struct Failing {
        errors: Mutex<Vec<Error>>,
        tried: Arc<Mutex<Vec<(SocketAddr, std::time::Duration)>>>,
    }

    impl Connector<()> for Failing {
        type Out = ();

        fn connect(
            &self,
            details: &ConnectionDetails<'_>,
            _: Option<()>,
        ) -> Result<Option<()>, Error> {
            let addresses = details.addrs.iter();
            let tried = addresses.map(|&address| (address, *details.timeout.after));
            self.tried.lock().unwrap().extend(tried);
            self.errors.lock().unwrap().pop().map_or(Ok(Some(())), Err)
        }
    }

    /// The outcome of connecting to three addresses whose first ones fail, and what was tried.
    fn connect(
        errors: impl IntoIterator<Item = Error>,
    ) -> (Result<(), Error>, Vec<(SocketAddr, std::time::Duration)>) {
        let mut errors: Vec<_> = errors.into_iter().collect();
        errors.reverse();
        let tried = Arc::default();
        let connector = EachAddress(Failing {
            errors: Mutex::new(errors),
            tried: Arc::clone(&tried),
        });
        let resolver = DefaultResolver::default();
        let mut addrs = resolver.empty();
        for address in ["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1"] {
            addrs.push(address.parse().unwrap());
        }
        let details = ConnectionDetails {
            uri: &Uri::from_static("http://collector:1"),
            addrs,
            config: &Config::default(),
            request_level: true,
            resolver: &resolver,
            now: ureq::unversioned::transport::time::Instant::now(),
            timeout: NextTimeout {
                after: Duration::from_secs(80),
                reason: Timeout::Connect,
                ..NextTimeout::default()
            },
            current_time: Arc::new(ureq::unversioned::transport::time::Instant::now),
            run_connector: Arc::new(|_| Err(Error::ConnectionFailed)),
            register_shutdown: Arc::new(|_| Ok(())),
        };
        let connected = connector.connect(&details, None).map(|_| ());
        let tried = tried.lock().unwrap().clone();
        (connected, tried)
    }

    fn io(kind: ErrorKind) -> Error {
        Error::Io(kind.into())
    }

    // fault X123
    #[test]
    fn after_any_error_of_an_address_the_next_one_is_tried() {
        for kind in [
            ErrorKind::PermissionDenied,
            ErrorKind::ConnectionRefused,
            ErrorKind::NetworkUnreachable,
            ErrorKind::ConnectionReset,
            ErrorKind::InvalidInput,
        ] {
            let (connected, tried) = connect([io(kind), Error::Timeout(Timeout::Connect)]);
            assert!(connected.is_ok(), "{kind}: {connected:?}");
            assert_eq!(tried.len(), 3, "{kind}");
        }
    }

    #[test]
    fn the_addresses_share_the_time_and_the_last_one_gets_what_is_left() {
        let (_, tried) = connect([io(ErrorKind::PermissionDenied), io(ErrorKind::TimedOut)]);
        let seconds: Vec<_> = tried
            .iter()
            .map(|(_, time)| time.as_secs_f64().round())
            .collect();
        assert_eq!(seconds, [40.0, 40.0, 80.0]);
    }

    #[test]
    fn the_error_that_says_most_about_the_host_is_reported() {
        let (refused, unreachable) = (
            || io(ErrorKind::ConnectionRefused),
            || io(ErrorKind::NetworkUnreachable),
        );
        for errors in [
            [refused(), unreachable(), unreachable()],
            [unreachable(), refused(), Error::Timeout(Timeout::Connect)],
            [io(ErrorKind::PermissionDenied), unreachable(), refused()],
        ] {
            let (failed, _) = connect(errors);
            let Err(Error::Io(error)) = failed else {
                panic!("{failed:?}");
            };
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
    }

    #[test]
    fn what_is_no_matter_of_addresses_ends_the_attempt() {
        let (failed, tried) = connect([Error::Other("the client was shut down".into())]);
        assert!(matches!(failed, Err(Error::Other(_))), "{failed:?}");
        assert_eq!(tried.len(), 1);
    }
}
