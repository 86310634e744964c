//! The proxy that the environment names, read once for all transports: their clients read the
//! variables in different ways.

use core::net::IpAddr;
use std::format;
use std::string::String;

use super::settings::{HttpSettings, Proxy};
use super::target::HttpTarget;
use crate::env::{Diagnostics, Endpoint};

/// The way to a collector.
#[derive(Debug, PartialEq, Eq)]
enum Route {
    Direct,
    /// Through the proxy with this URL.
    Through(String),
    /// The variable of this name has no `http` or `https` URL, so the way is direct.
    Unusable(&'static str),
}

impl HttpSettings {
    /// The proxy's URL for requests to `target`, or `None` for a direct way. `lookup` gives the value
    /// of a variable; it is asked for [`Proxy::Environment`] only, which has the rules.
    ///
    /// # Errors
    ///
    /// The name of the variable that names a proxy and is no `http` or `https` URL. Without one the
    /// way is direct.
    pub fn proxy_for(
        &self,
        target: &HttpTarget,
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, &'static str> {
        match &self.proxy {
            Proxy::None => Ok(None),
            Proxy::Url(url) => Ok(Some(url.clone())),
            Proxy::Environment => {
                match route(target.is_https(), target.host(), target.port(), lookup) {
                    Route::Direct => Ok(None),
                    Route::Through(url) => Ok(Some(url)),
                    Route::Unusable(name) => Err(name),
                }
            }
        }
    }
}

fn route(is_https: bool, host: &str, port: u16, lookup: impl Fn(&str) -> Option<String>) -> Route {
    let value = |name: &str| {
        let value = lookup(name)?;
        let value = value.trim();
        (!value.is_empty()).then(|| String::from(value))
    };
    let first = |names: &[&'static str]| {
        names
            .iter()
            .find_map(|&name| value(name).map(|value| (name, value)))
    };
    let own: &[&str] = match is_https {
        true => &["https_proxy", "HTTPS_PROXY"],
        // In a CGI program a client of the server sets the variable in capitals: as its header
        // `Proxy`.
        false if value("REQUEST_METHOD").is_some() => &["http_proxy"],
        false => &["http_proxy", "HTTP_PROXY"],
    };
    let Some((name, url)) = first(own).or_else(|| first(&["all_proxy", "ALL_PROXY"])) else {
        return Route::Direct;
    };
    if let Some((_, list)) = first(&["no_proxy", "NO_PROXY"]) {
        if excludes(&list, host, port) {
            return Route::Direct;
        }
    }
    let url = match url.contains("://") {
        true => url,
        false => format!("http://{url}"),
    };
    let is_usable = Endpoint::parse_exact(&url, &mut Diagnostics::new()).is_ok();
    match is_usable {
        true => Route::Through(url),
        false => Route::Unusable(name),
    }
}

/// Returns true if the list of `NO_PROXY` has this host and port.
fn excludes(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let address = address(&host);
    list.split(|c: char| c == ',' || c == ';' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .any(|entry| is_excluded(&entry.to_ascii_lowercase(), &host, address, port))
}

fn is_excluded(entry: &str, host: &str, of_host: Option<IpAddr>, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        return of_host.is_some_and(|host| is_within(host, network, bits));
    }
    let (entry, wanted) = split_port(entry);
    match wanted {
        Some(wanted) if wanted.parse() != Ok(port) => return false,
        _ => {}
    }
    if entry == "*" {
        return true;
    }
    if let (Some(listed), Some(of_host)) = (address(entry), of_host) {
        return listed == of_host;
    }
    let domain = entry.strip_prefix('*').unwrap_or(entry);
    let domain = domain.trim_start_matches('.').trim_end_matches('.');
    if domain.is_empty() || of_host.is_some() {
        return false;
    }
    host.strip_suffix(domain)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// `host:port` and `[address]:port` in two; a bare IPv6 address has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    if let Some((inside, after)) = entry.strip_prefix('[').and_then(|e| e.split_once(']')) {
        return (inside, after.strip_prefix(':'));
    }
    match entry.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

/// An address literal, in the one form that all its spellings have.
fn address(text: &str) -> Option<IpAddr> {
    let text = text
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .unwrap_or(text);
    text.parse()
        .ok()
        .map(|address: IpAddr| address.to_canonical())
}

/// Returns true if `host` is in the network, as in `10.0.0.0/8`.
fn is_within(host: IpAddr, network: &str, bits: &str) -> bool {
    let (Some(network), Ok(bits)) = (address(network), bits.parse::<u32>()) else {
        return false;
    };
    let (host, network, width) = match (host, network) {
        (IpAddr::V4(host), IpAddr::V4(network)) => {
            (host.to_bits().into(), network.to_bits().into(), 32)
        }
        (IpAddr::V6(host), IpAddr::V6(network)) => (host.to_bits(), network.to_bits(), 128),
        _ => return false,
    };
    bits <= width && {
        let differing: u128 = host ^ network;
        differing.checked_shr(width - bits).unwrap_or(0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)], is_https: bool, host: &str) -> Route {
        route(is_https, host, 4318, |name| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).into())
        })
    }

    // fault X47
    #[test]
    fn every_spelling_of_an_exception_is_understood() {
        for (list, host, excluded) in [
            ("foo.example, 127.0.0.1 ", "127.0.0.1", true),
            ("foo.example\t127.0.0.1", "127.0.0.1", true),
            ("foo.example;127.0.0.1", "127.0.0.1", true),
            ("*", "127.0.0.1", true),
            ("a, *", "collector", true),
            ("*:4318", "collector", true),
            ("*:80", "collector", false),
            ("127.0.0.0/8", "127.1.2.3", true),
            ("127.0.0.0/8", "128.0.0.1", false),
            ("0.0.0.0/0", "9.9.9.9", true),
            ("10.0.0.1/32", "10.0.0.1", true),
            ("10.0.0.0/33", "10.0.0.0", false),
            ("10.0.0.0/x", "10.0.0.0", false),
            ("10.0.0.0/8", "collector", false),
            ("2001:db8::/32", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("::/0", "2001:db9::1", true),
            ("::/0", "10.0.0.1", false),
            ("[::1]", "::1", true),
            ("::1", "::1", true),
            ("[::1]:4318", "::1", true),
            ("[::1]:80", "::1", false),
            ("0:0:0:0:0:0:0:1", "::1", true),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("127.0.0.1:4318", "127.0.0.1", true),
            ("127.0.0.1:80", "127.0.0.1", false),
            ("127.0.0.1:x", "127.0.0.1", false),
            ("27.0.0.1", "127.0.0.1", false),
            (".0.0.1", "127.0.0.1", false),
            ("example", "collector.example", true),
            (".example", "collector.example", true),
            ("*.example", "collector.example", true),
            (".example", "example", true),
            ("EXAMPLE.", "Collector.Example", true),
            ("example", "collector.example.", true),
            ("example", "myexample", false),
            ("collector.example:4318", "collector.example", true),
            ("collector.example:80", "collector.example", false),
            ("localhost", "localhost", true),
            ("localhost", "127.0.0.1", false),
            ("", "localhost", false),
            (" , ,", "localhost", false),
            (".", "localhost", false),
        ] {
            assert_eq!(excludes(list, host, 4318), excluded, "{list:?} {host}");
        }
    }

    // fault X47
    #[test]
    fn the_scheme_chooses_the_variable_and_lower_case_comes_first() {
        let through = |url: &str| Route::Through(url.into());
        let all = ("ALL_PROXY", "http://all:1");
        for (variables, is_https, route) in [
            (&[][..], false, Route::Direct),
            (&[("http_proxy", "")], false, Route::Direct),
            (
                &[("HTTP_PROXY", "http://p:3128")],
                false,
                through("http://p:3128"),
            ),
            (&[("HTTP_PROXY", "http://p:3128")], true, Route::Direct),
            (&[("https_proxy", "http://p:3128")], false, Route::Direct),
            (
                &[("HTTPS_PROXY", "https://u:p@p")],
                true,
                through("https://u:p@p"),
            ),
            (
                &[("HTTP_PROXY", "up"), ("http_proxy", " low:1 ")],
                false,
                through("http://low:1"),
            ),
            (&[all], false, through("http://all:1")),
            (
                &[all, ("https_proxy", "own:1")],
                true,
                through("http://own:1"),
            ),
            (
                &[all, ("REQUEST_METHOD", "GET"), ("HTTP_PROXY", "evil")],
                false,
                through("http://all:1"),
            ),
            (&[all, ("no_proxy", "collector")], true, Route::Direct),
            (
                &[all, ("no_proxy", "other"), ("NO_PROXY", "*")],
                true,
                through("http://all:1"),
            ),
            (
                &[all, ("no_proxy", ""), ("NO_PROXY", "*")],
                true,
                Route::Direct,
            ),
            (
                &[("all_proxy", "socks5://p:1")],
                true,
                Route::Unusable("all_proxy"),
            ),
            (
                &[("http_proxy", "http://")],
                false,
                Route::Unusable("http_proxy"),
            ),
        ] {
            assert_eq!(of(variables, is_https, "collector"), route, "{variables:?}");
        }
    }
}
