//! Settings of a provider's HTTP client that a caller chooses.

use std::fmt;
use std::time::Duration;

use lmbatch_core::{Error, Result};
use reqwest::Proxy;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};

/// Headers that carry a key, or that the client sets itself.
const RESERVED: [&str; 14] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "x-goog-api-key",
    "api-key",
    "cookie",
    "host",
    "user-agent",
    "accept-encoding",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "range",
];

/// Settings of the HTTP client of a provider: timeouts, headers for a gateway, certificates and a proxy. They are checked
/// when the provider is built, and are not part of its account.
///
/// ```
/// # use lmbatch_http as lmbatch;
/// use std::time::Duration;
/// use lmbatch::ClientOptions;
///
/// let options = ClientOptions::new()
///     .connect_timeout(Duration::from_secs(5))
///     .response_timeout(Duration::from_secs(300))
///     .header("x-portkey-config", "pc-team-7")
///     .user_agent_suffix("reviews/1.4");
/// assert!(!format!("{options:?}").contains("pc-team-7"));
/// ```
#[derive(Clone, Default)]
pub struct ClientOptions {
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) response_timeout: Option<Duration>,
    headers: Vec<(String, SecretString)>,
    root_certificates: Vec<Vec<u8>>,
    proxy: ProxyChoice,
    pub(crate) user_agent_suffix: Option<String>,
    pub(crate) allow_http: bool,
}

#[derive(Clone, Default)]
enum ProxyChoice {
    #[default]
    Environment,
    Never,
    Url(SecretString),
}

/// Client options that were checked.
pub(crate) struct Checked {
    pub(crate) headers: HeaderMap,
    /// Values of the headers, which may be keys of a gateway.
    pub(crate) secrets: Vec<SecretString>,
    pub(crate) root_certificates: Vec<CertificateDer<'static>>,
    pub(crate) proxy: CheckedProxy,
}

pub(crate) enum CheckedProxy {
    Environment,
    Never,
    Given(Box<Proxy>),
}

impl fmt::Debug for ClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers = self.headers.iter().map(|(name, _)| name);
        // A proxy's URL may hold a password.
        let proxy = match self.proxy {
            ProxyChoice::Environment => "of the environment",
            ProxyChoice::Never => "none",
            ProxyChoice::Url(_) => "given",
        };
        f.debug_struct("ClientOptions")
            .field("connect_timeout", &self.connect_timeout)
            .field("response_timeout", &self.response_timeout)
            .field("headers", &headers.collect::<Vec<_>>())
            .field("root_certificates", &self.root_certificates.len())
            .field("proxy", &proxy)
            .field("user_agent_suffix", &self.user_agent_suffix)
            .field("allow_http", &self.allow_http)
            .finish()
    }
}

impl ClientOptions {
    /// Creates the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest time to establish a connection; 10 s by default, more than zero.
    pub fn connect_timeout(mut self, time: Duration) -> Self {
        self.connect_timeout = Some(time);
        self
    }
    /// Sets the longest time without progress of a call: no byte of the request is sent, no response begins, or no byte
    /// of the response arrives; 120 s by default, more than zero. A JSON response must also be complete within this
    /// time. The total time of uploads and downloads is not limited.
    ///
    /// A create without a response in this time is not sent again: its batch is searched for.
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.response_timeout = Some(time);
        self
    }
    /// Adds a header to every request, such as one for a gateway. The value is secret: it is not printed, and is removed
    /// from errors as the key is. It is sent to the origin of the base URL only.
    ///
    /// A header that carries the provider's key or that the client sets itself, such as `authorization` or `host`, is
    /// refused when the provider is built.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<SecretString>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
    /// Adds root certificates in PEM, beside those of the system: one certificate, or several in one text. None by
    /// default.
    ///
    /// ```no_run
    /// # use lmbatch_http as lmbatch;
    /// # fn main() -> std::io::Result<()> {
    /// let options = lmbatch::ClientOptions::new().root_certificates(std::fs::read("company-ca.pem")?);
    /// # Ok(())
    /// # }
    /// ```
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }
    /// Sets the proxy of all requests, such as `http://user:password@proxy.internal:3128`, in place of those that
    /// `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` of the environment name. A base URL on this machine is
    /// called without a proxy.
    pub fn proxy(mut self, url: impl Into<SecretString>) -> Self {
        self.proxy = ProxyChoice::Url(url.into());
        self
    }
    /// Uses no proxy, even if the environment names one; by default the environment decides.
    pub fn no_proxy(mut self) -> Self {
        self.proxy = ProxyChoice::Never;
        self
    }
    /// Sets a text that is added to the header `user-agent`, `lmbatch/VERSION` by default.
    pub fn user_agent_suffix(mut self, suffix: impl Into<String>) -> Self {
        self.user_agent_suffix = Some(suffix.into());
        self
    }
    /// Accepts base URLs with `http://` on other machines, such as a gateway in a private network; not accepted by
    /// default. The key, the prompts and the answers are then sent unencrypted.
    pub fn allow_http(mut self, allow: bool) -> Self {
        self.allow_http = allow;
        self
    }

    /// Checks the options. `reserved` are the headers that the provider sets itself.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) with the name of the option, without its
    /// value.
    pub(crate) fn check(&self, reserved: &[&HeaderMap]) -> Result<Checked> {
        for (name, time) in [
            ("connect_timeout", self.connect_timeout),
            ("response_timeout", self.response_timeout),
        ] {
            if time.is_some_and(|time| time.is_zero()) {
                return Err(Error::invalid_input(format!(
                    "{name} must be more than zero"
                )));
            }
        }
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let bad = |why: &str| Error::invalid_input(format!("the header {name:?} {why}"));
            let key: HeaderName = name.parse().map_err(|_| bad("has no valid name"))?;
            if RESERVED.contains(&key.as_str()) || reserved.iter().any(|own| own.contains_key(&key))
            {
                return Err(bad("is set by lmbatch and cannot be added"));
            }
            let mut value = HeaderValue::from_str(value.expose_secret())
                .map_err(|_| bad("has a value with characters that no header can hold"))?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        Ok(Checked {
            headers,
            secrets: self
                .headers
                .iter()
                .map(|(_, value)| value.clone())
                .collect(),
            root_certificates: self.certificates()?,
            proxy: self.checked_proxy()?,
        })
    }

    fn certificates(&self) -> Result<Vec<CertificateDer<'static>>> {
        let mut all = Vec::new();
        for pem in &self.root_certificates {
            let before = all.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let read = certificate.ok().filter(is_certificate);
                all.push(read.ok_or_else(not_certificates)?);
            }
            if all.len() == before {
                return Err(not_certificates());
            }
        }
        Ok(all)
    }

    fn checked_proxy(&self) -> Result<CheckedProxy> {
        Ok(match &self.proxy {
            ProxyChoice::Environment => CheckedProxy::Environment,
            ProxyChoice::Never => CheckedProxy::Never,
            ProxyChoice::Url(url) => {
                // Other schemes, such as SOCKS, are not built in.
                let is_http = |url: &reqwest::Url| matches!(url.scheme(), "http" | "https");
                let url = url.expose_secret().parse().ok().filter(is_http);
                let proxy = url.and_then(|url: reqwest::Url| Proxy::all(url).ok());
                let proxy = proxy.ok_or_else(|| {
                    Error::invalid_input(
                        "the proxy is not a URL such as http://proxy.internal:3128",
                    )
                })?;
                CheckedProxy::Given(Box::new(proxy))
            }
        })
    }
}

/// Returns whether a verifier can take the certificate as a root.
fn is_certificate(certificate: &CertificateDer<'static>) -> bool {
    rustls::RootCertStore::empty()
        .add(certificate.clone())
        .is_ok()
}

fn not_certificates() -> Error {
    Error::invalid_input("the root certificates are not certificates in PEM")
}
