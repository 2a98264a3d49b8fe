//! Base URLs and path segments.

use std::net::IpAddr;

use lmbatch_core::Error;
use reqwest::Url;

/// Parses a base URL: https, or http on a loopback address; without query, fragment, user and password. The result
/// ends in a slash.
///
/// # Errors
/// Invalid input, with the reason, for any other URL.
pub fn base_url(text: &str) -> Result<Url, Error> {
    base_url_over(text, false)
}

/// Parses a base URL as [`base_url`] does, and accepts `http://` on other machines if the caller allows it.
pub(crate) fn base_url_over(text: &str, allow_http: bool) -> Result<Url, Error> {
    let bad = |why: &str| Error::invalid_input(format!("the base URL {why}"));
    let mut url = Url::parse(text).map_err(|_| bad("is not a URL such as https://host/v1"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad("must not hold a user or a password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(bad("must not have a query or a fragment"));
    }
    match url.scheme() {
        "https" => {}
        "http" if allow_http || is_loopback(&url) => {}
        "http" => return Err(bad("must be https: the key would be sent unencrypted")),
        _ => return Err(bad("must be https")),
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

/// Returns true for `localhost` and loopback addresses, whose requests must not pass a proxy.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// Encodes an id as one path segment. `.` and `..` would change the path even if they are percent-encoded; they are
/// encoded twice, so that the path names no existing object.
pub fn segment(id: &str) -> String {
    if matches!(id, "." | "..") {
        return id.replace('.', "%252E");
    }
    let mut out = String::with_capacity(id.len());
    for byte in id.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
        if plain {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_https_or_loopback() {
        for (text, expected) in [
            ("https://api.test/v1", Some("https://api.test/v1/")),
            (
                "http://127.0.0.1:8787/v1/",
                Some("http://127.0.0.1:8787/v1/"),
            ),
            ("http://[::1]:1/", Some("http://[::1]:1/")),
            ("http://localhost:1", Some("http://localhost:1/")),
            ("http://api.test/v1", None),
            ("http://127.0.0.1.evil.test/v1", None),
            ("https://user:pass@api.test/v1", None),
            ("https://api.test/v1?key=x", None),
            ("api.test/v1", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(
                base_url(text).ok().as_ref().map(Url::as_str),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn http_to_another_machine_is_accepted_where_the_caller_allows_it() {
        let url = base_url_over("http://gateway.test:4000/v1", true).unwrap();
        assert_eq!(url.as_str(), "http://gateway.test:4000/v1/");
        for text in ["ftp://gateway.test/", "http://user:pass@gateway.test/"] {
            assert!(base_url_over(text, true).is_err(), "{text}");
        }
    }

    #[test]
    fn an_id_cannot_leave_its_segment() {
        for (id, expected) in [
            ("batch_1", "batch_1"),
            ("../x", "..%2Fx"),
            ("..", "%252E%252E"),
            (".", "%252E"),
            ("a?b#c%", "a%3Fb%23c%25"),
            ("ü=", "%C3%BC%3D"),
        ] {
            assert_eq!(segment(id), expected);
            let base = Url::parse("https://api.test/v1/").unwrap();
            let joined = base.join(&format!("batches/{}", segment(id))).unwrap();
            assert_eq!(joined.path(), format!("/v1/batches/{expected}"));
        }
    }
}
