//! HTTP settings: what is refused, what arrives, and what is never shown.

use super::*;
use spandrel_core::env::{HeaderProblemKind, RESERVED_HEADERS};

fn checked(url: &str, edit: impl Fn(&mut HttpSettings)) -> Result<HttpTarget, HttpSettingsError> {
    let mut settings = HttpSettings::new(url);
    edit(&mut settings);
    settings.check()
}

fn with_headers(headers: &[(&str, &str)]) -> Result<HttpTarget, HttpSettingsError> {
    let pairs = headers.iter().map(|(name, value)| pair(name, value));
    let pairs: Vec<_> = pairs.collect();
    checked("https://h", |settings| settings.headers.clone_from(&pairs))
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.into(), value.into())
}

#[test]
fn a_url_is_absolute_http_with_a_usable_port() {
    for (good, url, authority, port) in [
        (
            "http://localhost:4318/v1/traces",
            "http://localhost:4318/v1/traces",
            "localhost:4318",
            4318,
        ),
        ("https://collector", "https://collector/", "collector", 443),
        (
            "https://collector:443/x?y=1",
            "https://collector:443/x?y=1",
            "collector",
            443,
        ),
        (
            "http://[::1]:4318/",
            "http://[::1]:4318/",
            "[::1]:4318",
            4318,
        ),
        ("HTTP://h/", "http://h/", "h", 80),
        (" http://h: ", "http://h/", "h", 80),
    ] {
        let target = checked(good, |_| {}).unwrap();
        let found = (target.url(), target.authority(), target.port());
        assert_eq!(found, (url, authority, port), "{good}");
        assert_eq!(target.is_https(), url.starts_with("https"));
        assert_eq!(target.diagnostics(), [""; 0]);
    }
    for bad in [
        "",
        "/v1/traces",
        "localhost",
        "localhost:4318",
        "ftp://h",
        "http://",
        "http://:80",
        "http://h:0",
        "http://h:70000",
        "http://h:x",
        "http://u@:80",
        "http://a b/",
        "http://h/a\r\nb: c",
        "http://h/ä",
        "file:///etc/passwd",
        "unix:/run/sock",
    ] {
        let error = checked(bad, |_| {}).unwrap_err();
        assert!(matches!(error, HttpSettingsError::Url { .. }), "{bad}");
    }
    for (bad, expected) in [
        ("https://me:hunter2@h/", HttpSettingsError::UserInfo),
        ("http://localhost@evil.example", HttpSettingsError::UserInfo),
        ("https://h/p#hunter2", HttpSettingsError::Fragment),
    ] {
        assert_eq!(checked(bad, |_| {}).unwrap_err(), expected, "{bad}");
    }
}

#[test]
fn headers_are_trimmed_and_each_is_there_once() {
    let target = with_headers(&[
        ("X-Tenant", "one"),
        ("x-tenant", " two\t"),
        ("a", "b\tc=%20"),
    ]);
    assert_eq!(
        target.unwrap().headers(),
        [pair("x-tenant", "two"), pair("a", "b\tc=%20")]
    );
}

#[test]
fn headers_of_the_protocol_are_left_out_with_a_diagnostic() {
    for name in RESERVED_HEADERS {
        let target = with_headers(&[("a", "1"), (name, "x")]).unwrap();
        assert_eq!(target.headers(), [pair("a", "1")]);
        let sentence =
            format!("headers: member 2 (\"{name}\") is set by the protocol itself; leaving it out");
        assert_eq!(target.diagnostics(), [sentence]);
    }
}

#[test]
fn a_header_that_cannot_be_sent_is_refused_without_showing_its_value() {
    for value in [
        "s3cret\r\nX-Evil: 1",
        "s3cret\n",
        "s3cret\0",
        "s3crét",
        "s3cret\u{7f}",
    ] {
        let error = with_headers(&[("x-api-key", value)]).unwrap_err();
        assert_eq!(
            error,
            HttpSettingsError::Header {
                number: 1,
                name: Some("x-api-key".into()),
                problem: HeaderProblemKind::BadValue,
            }
        );
    }
    for name in ["", "a b", "a:b", "ä", "a\r\nb"] {
        let error = with_headers(&[("good", "1"), (name, "v")]).unwrap_err();
        assert!(
            matches!(
                error,
                HttpSettingsError::Header {
                    number: 2,
                    name: None,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[test]
fn credentials_stay_off_plain_text_to_other_machines() {
    let with_key = |url: &str, refuse: bool, allow: bool| {
        checked(url, |settings| {
            settings.headers = vec![pair("Authorization", "Bearer s3cret")];
            settings.refuse_plaintext_credentials = refuse;
            settings.allow_plaintext_credentials = allow;
        })
    };
    for (url, is_safe) in [
        ("https://collector:4318", true),
        ("http://localhost:4318", true),
        ("http://LOCALHOST", true),
        ("http://a.localhost", true),
        ("http://127.8.9.1", true),
        ("http://[::1]:4318", true),
        ("http://[::ffff:127.0.0.1]", true),
        ("http://localhost.example.com", false),
        ("http://10.0.0.1", false),
        ("http://collector:4318/v1/traces", false),
    ] {
        let refused = HttpSettingsError::PlaintextCredentials {
            name: "Authorization".into(),
        };
        let expected = if is_safe { None } else { Some(refused) };
        for allow in [false, true] {
            assert_eq!(with_key(url, true, allow).err(), expected, "{url}");
        }
        let said = |allow| with_key(url, false, allow).unwrap().diagnostics().len();
        assert_eq!(
            (said(false), said(true)),
            (usize::from(!is_safe), 0),
            "{url}"
        );
    }
    let harmless = |settings: &mut HttpSettings| {
        settings.headers = vec![pair("x-scope-orgid", "1")];
    };
    assert!(checked("http://collector", harmless).is_ok());
}

#[test]
fn a_user_agent_is_the_programs_or_the_transports_after_a_prefix() {
    let target = |prefix: Option<&str>, own: Option<&str>| {
        checked("https://h", |settings| {
            settings.user_agent_prefix = prefix.map(Into::into);
            settings.headers = own.map(|own| pair("User-Agent", own)).into_iter().collect();
        })
    };
    for (prefix, own, expected) in [
        (None, None, "Ours/1"),
        (Some(" "), None, "Ours/1"),
        (Some(" MyDist/1.2.3 "), None, "MyDist/1.2.3 Ours/1"),
        (Some("MyDist/1.2.3"), Some("mine/1"), "mine/1"),
    ] {
        let target = target(prefix, own).unwrap();
        assert_eq!(target.user_agent("Ours/1"), expected);
        assert_eq!(target.headers(), []);
    }
    for prefix in ["a\nb", "ä"] {
        let error = target(Some(prefix), None).unwrap_err();
        assert_eq!(error, HttpSettingsError::UserAgentPrefix);
    }
}

#[test]
fn the_other_fields_are_checked_too() {
    type Edit = fn(&mut HttpSettings);
    let cases: [(Edit, HttpSettingsError); 3] = [
        (
            |s| s.tls.client_certificate = Some("c".into()),
            HttpSettingsError::CertificateWithoutKey,
        ),
        (
            |s| s.tls.client_key = Some("k".into()),
            HttpSettingsError::KeyWithoutCertificate,
        ),
        (
            |s| s.connect_timeout = Duration::ZERO,
            HttpSettingsError::ZeroConnectTimeout,
        ),
    ];
    for (edit, expected) in cases {
        assert_eq!(checked("http://localhost", edit).unwrap_err(), expected);
    }
    for (url, is_good) in [
        ("http://me:hunter2@proxy:3128", true),
        ("https://proxy", true),
        ("socks5://localhost", false),
        ("localhost:3128", false),
        ("", false),
    ] {
        let found = checked("https://h", |s| s.proxy = Proxy::Url(url.into()));
        assert_eq!(found.is_ok(), is_good, "{url}");
    }
}

#[test]
fn the_settings_of_a_pipeline_arrive() {
    let config = Config {
        use_environment_proxy: true,
        refuse_plaintext_credentials: true,
        ..full()
    };
    let http = alone(&config).http().unwrap();
    assert_eq!(http.url, "https://code.example/v1/traces");
    assert_eq!(http.headers, [pair("x-code", "1")]);
    assert_eq!(http.tls.certificate, Some("code-ca.pem".into()));
    assert_eq!(http.tls.client_certificate, Some("code.pem".into()));
    assert_eq!(http.tls.client_key, Some("code.key".into()));
    assert_eq!(http.proxy, Proxy::Environment);
    assert!(http.refuse_plaintext_credentials);
    assert!(http.check().unwrap().is_https());
    let plain = alone(&Config::production("x", "localhost")).http().unwrap();
    assert_eq!((plain.proxy, plain.tls), (Proxy::None, TlsFiles::default()));
    assert!(!plain.refuse_plaintext_credentials);
    assert!(alone(&Config::development("x")).http().is_none());
}

#[test]
fn neither_output_nor_errors_show_a_secret() {
    let settings = |url: &str| {
        let mut settings = HttpSettings::new(url);
        settings.headers = vec![pair("authorization", "Bearer hunter2")];
        settings.proxy = Proxy::Url("http://me:hunter2@proxy".into());
        settings.refuse_plaintext_credentials = true;
        settings
    };
    let good = settings("https://h/p?token=hunter2");
    let target = good.check().unwrap();
    for text in [format!("{good:?}"), format!("{target:?}")] {
        assert!(text.contains("authorization") && text.contains("https://h/p"));
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert!(target.url().ends_with("hunter2"));
    assert!(format!("{good:?}").contains("http://proxy"));
    for refused in [
        settings("https://me:hunter2@h"),
        settings("ftp://me:hunter2@h"),
        settings("https://me:hun/ter2@x:0?hunter2"),
        settings("http://h"),
    ] {
        let error = refused.check().unwrap_err();
        let text = format!("{error} {error:?} {refused:?}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn every_refusal_names_the_field_and_what_to_do() {
    let url = checked("ftp://x", |_| {}).unwrap_err();
    assert_eq!(
        url.to_string(),
        "url: \"ftp://x\" has a scheme other than http and https; give an absolute http or https \
         URL"
    );
    let header = with_headers(&[("x-key", "a\r\nb: c")]).unwrap_err();
    assert_eq!(
        header.to_string(),
        "headers: member 1 (\"x-key\") has a value with other than visible ASCII characters, \
         spaces and tabs; correct it or leave it out"
    );
    let credential = HttpSettingsError::PlaintextCredentials {
        name: "authorization".into(),
    };
    assert_eq!(
        credential.to_string(),
        "headers: `authorization` would be sent unencrypted to another host; use https, or do \
         not set refuse_plaintext_credentials"
    );
}
