//! HTTP client of these tests, which speak no TLS.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use reqwest::{Client, ClientBuilder};

/// Returns the builder of a client. A build of the whole workspace gives reqwest TLS without cryptography, and a client
/// cannot be built without a default of the process.
pub(crate) fn client_builder() -> ClientBuilder {
    // Only the first test of the process installs it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
}

/// Returns a client with the defaults of reqwest.
pub(crate) fn client() -> Client {
    client_builder().build().unwrap()
}
