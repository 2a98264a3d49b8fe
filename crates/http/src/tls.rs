//! TLS settings of an HTTP client.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, Error, RootCertStore};
use rustls_platform_verifier::{BuilderVerifierExt as _, Verifier};

/// Certificates that a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust<'a> {
    /// Those that the system's certificates vouch for, as its own verifier sees them, or one of these roots.
    System(&'a [CertificateDer<'static>]),
    /// None, for a client without calls over TLS: reading the system's certificates takes longer than the rest of a
    /// small run.
    Nothing,
}

/// Returns the settings of a client that offers HTTP/1.1 by ALPN: a build without HTTP/2 must not let a server choose
/// it.
///
/// The cryptography is that of the process, where the program has installed a default, and that of `ring` otherwise.
/// None is installed: that choice belongs to the program.
///
/// # Errors
/// The certificates of the system cannot be read, or the process's default cannot speak TLS 1.2 or 1.3.
pub(crate) fn tls_config(trust: Trust<'_>) -> Result<ClientConfig, Error> {
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(ring::default_provider()));
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::System([]) => builder.with_platform_verifier()?,
        Trust::System(roots) => {
            let roots = roots.iter().cloned();
            let verifier = Verifier::new_with_extra_roots(roots, provider)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
        }
        Trust::Nothing => builder.with_root_certificates(RootCertStore::empty()),
    };
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_version_of_http_that_is_built_in_is_offered() {
        let config = tls_config(Trust::Nothing).unwrap();
        assert_eq!(config.alpn_protocols, [b"http/1.1"]);
    }
}
