//! URLs of inputs and outputs.

use std::path::Path;

/// Store or protocol of a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// Amazon S3, and stores that speak its protocol.
    S3,
    /// Google Cloud Storage.
    Gs,
    /// Azure Blob Storage.
    Az,
    /// A web server.
    Https,
    /// Web server on this machine, without TLS.
    Http,
}

impl Scheme {
    const ALL: [Self; 5] = [Self::S3, Self::Gs, Self::Az, Self::Https, Self::Http];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
            Self::Https => "https",
            Self::Http => "http",
        }
    }

    /// Reports whether objects can be written.
    pub(crate) fn is_store(self) -> bool {
        matches!(self, Self::S3 | Self::Gs | Self::Az)
    }
}

/// URL of an input or an output: a scheme, a bucket, container or host, and a key or path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    text: String,
    pub(crate) scheme: Scheme,
    /// Position of the slash before the key.
    slash: usize,
}

impl Address {
    /// Reads a URL.
    ///
    /// # Errors
    /// The reason why the URL cannot be used, without any part of it that may be a key.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once("://").unwrap_or((text, ""));
        let scheme = Scheme::ALL
            .into_iter()
            .find(|scheme| word.eq_ignore_ascii_case(scheme.as_str()));
        let Some(scheme) = scheme else {
            return Err(match word {
                "file" => "leave out file:// and give the path".to_owned(),
                _ => format!("{word}:// is not s3://, gs://, az:// or https://"),
            });
        };
        let (host, key) = rest.split_once('/').unwrap_or((rest, ""));
        if rest.contains(['?', '#']) || host.contains('@') {
            return Err(
                "a URL with a query, a fragment or a user is not taken, since it may hold a key, and the record of a run keeps the URL"
                    .to_owned(),
            );
        }
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err("the URL names no bucket, container or host".to_owned());
        }
        if key.is_empty() || key.ends_with('/') {
            return Err("the URL names no object".to_owned());
        }
        if scheme == Scheme::Http && !is_loopback(host) {
            return Err("http:// is for this machine only; use https://".to_owned());
        }
        let text = format!("{}://{rest}", scheme.as_str());
        Ok(Self {
            slash: scheme.as_str().len() + "://".len() + host.len(),
            text,
            scheme,
        })
    }

    /// Returns the URL, with its scheme in lower case.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns scheme and bucket, container or host, as a URL without a key.
    #[cfg(any(test, feature = "remote"))]
    pub(crate) fn root(&self) -> &str {
        &self.text[..self.slash]
    }

    /// Returns the key of the object, or the path on the host without its first slash.
    pub(crate) fn key(&self) -> &str {
        &self.text[self.slash + 1..]
    }

    /// Returns the last part of the key.
    pub(crate) fn file_name(&self) -> &str {
        self.key().rsplit('/').next().unwrap_or_default()
    }
}

/// Object that exists at a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) bytes: u64,
    /// SHA-256 in hexadecimal that an upload by lmbatch noted with the object; `None` for any other object.
    pub(crate) sha256: Option<String>,
}

/// Reports whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"].contains(&name)
}

/// Returns the URL that a path is, if it is one.
pub(crate) fn url(path: &Path) -> Option<&str> {
    let text = path.to_str()?;
    let (scheme, _) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some(text)
}

/// Returns a URL as it may be shown: without a user, a query and a fragment, which may hold a key.
pub(crate) fn shown(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, key) = match rest.split_once('/') {
        Some((host, key)) => (host, format!("/{key}")),
        None => (rest, String::new()),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_a_store_and_an_object_or_is_refused_without_its_secrets() {
        for (text, expected) in [
            ("s3://b/x.csv", Ok(("s3://b", "x.csv", "x.csv"))),
            ("S3://b/a b/x.csv", Ok(("s3://b", "a b/x.csv", "x.csv"))),
            ("gs://b/d/x", Ok(("gs://b", "d/x", "x"))),
            ("az://c/x", Ok(("az://c", "x", "x"))),
            ("https://h:8443/x", Ok(("https://h:8443", "x", "x"))),
            ("http://127.0.0.1:9/x", Ok(("http://127.0.0.1:9", "x", "x"))),
            ("http://[::1]:9/x", Ok(("http://[::1]:9", "x", "x"))),
            ("http://example.org/x", Err("use https://")),
            ("http://127.0.0.1.example.org/x", Err("use https://")),
            ("ftp://h/x", Err("ftp:// is not")),
            ("file:///x", Err("leave out file://")),
            ("s3://b", Err("names no object")),
            ("s3://b/d/", Err("names no object")),
            ("s3:///x", Err("names no bucket")),
            ("https://h/x?sig=canary", Err("may hold a key")),
            ("https://h/x#canary", Err("may hold a key")),
            ("s3://canary:canary@b/x", Err("may hold a key")),
        ] {
            match (Address::parse(text), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!((found.root(), found.key(), found.file_name()), expected);
                    assert_eq!(found.as_str(), format!("{}/{}", expected.0, expected.1));
                }
                (Err(why), Err(expected)) => {
                    assert!(why.contains(expected) && !why.contains("canary"), "{why}");
                    assert!(!shown(text).contains("canary"), "{}", shown(text));
                }
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn only_a_text_with_a_scheme_is_a_url() {
        for (path, expected) in [
            ("s3://b/x", true),
            ("ftp://x", true),
            ("a/b", false),
            ("-", false),
            ("://x", false),
            ("a b://x", false),
            ("./s3://x", false),
        ] {
            assert_eq!(url(Path::new(path)).is_some(), expected, "{path}");
        }
    }
}
