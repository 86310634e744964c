//! Plain requests through a proxy: it is asked to forward them, not to connect.
//!
//! The client knows only `CONNECT`, which many proxies refuse for other ports than 443. So it is left
//! without a proxy: the resolver gives it the proxy's addresses, and the head gets the whole URL in its
//! first line.
//!
//! ```text
//! POST /v1/traces HTTP/1.1   ──▶   POST http://collector:4318/v1/traces HTTP/1.1
//! ```

use ureq::Proxy;
use ureq::http::{HeaderValue, Uri};

/// A proxy that forwards.
#[derive(Clone, Debug)]
pub(crate) struct Forward {
    pub(crate) proxy: Uri,
    /// What stands before the path in the first line.
    pub(crate) origin: String,
    pub(crate) authorization: Option<HeaderValue>,
}

impl Forward {
    /// `None` for a proxy that is reached by TLS, or a target that is: they take a tunnel.
    pub(crate) fn new(proxy: &str, target: &Uri) -> Option<Self> {
        let parsed = Proxy::new(proxy).ok()?;
        let is_plain = proxy
            .get(..7)
            .is_some_and(|start| start.eq_ignore_ascii_case("http://"));
        if !is_plain || target.scheme_str() != Some("http") {
            return None;
        }
        let authorization = match (parsed.username(), parsed.password()) {
            (None, None) => None,
            (user, password) => {
                let (user, password) = (user.unwrap_or_default(), password.unwrap_or_default());
                let text = base64(format!("{user}:{password}").as_bytes());
                let mut value = HeaderValue::from_str(&format!("Basic {text}")).ok()?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        Some(Self {
            proxy: parsed.uri().clone(),
            origin: format!("http://{}", target.authority()?),
            authorization,
        })
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let [a, b, c] = [0, 1, 2].map(|i| u32::from(chunk.get(i).copied().unwrap_or(0)));
        let bits = a << 16 | b << 8 | c;
        for place in 0..4 {
            let digit = DIGITS.get((bits >> (18 - 6 * place) & 63) as usize);
            let digit = digit.filter(|_| place <= chunk.len());
            text.push(digit.map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(proxy: &str, target: &str) -> Option<Forward> {
        Forward::new(proxy, &target.parse().unwrap())
    }

    // fault X48
    #[test]
    fn only_plain_requests_through_plain_proxies_are_forwarded() {
        let plain = forward("http://proxy:3128", "http://[::1]:4318/v1/traces").unwrap();
        assert_eq!(plain.origin, "http://[::1]:4318");
        assert_eq!(plain.proxy.port_u16(), Some(3128));
        assert_eq!(plain.authorization, None);
        assert!(forward("http://proxy:3128", "https://collector/v1/traces").is_none());
        assert!(forward("https://proxy:3128", "http://collector/v1/traces").is_none());
    }

    #[test]
    fn credentials_become_a_header_of_the_proxy() {
        for (user, expected) in [
            ("a:b", "Basic YTpi"),
            ("me:p%40ss", "Basic bWU6cEBzcw=="),
            ("me", "Basic bWU6"),
        ] {
            let forward = forward(&format!("http://{user}@proxy"), "http://c/").unwrap();
            assert_eq!(forward.authorization.unwrap(), expected);
        }
    }
}
