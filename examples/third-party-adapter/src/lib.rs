//! Batches of Acme, a provider that does not exist: a whole adapter that lives outside of lmbatch. The
//! guide "Write an adapter in an afternoon" (`docs/guide/adapter.md`) goes through it.

mod provider;
mod translate;

use std::sync::Arc;

use lmbatch_core::{BatchCodec, BatchProvider, Connection, ProviderFactory, Result};
use lmbatch_http::{HeaderMap, HeaderName, HttpClient, HttpOptions};

use crate::provider::Acme;
use crate::translate::{AcmeCodec, FILE, INLINE};

const BASE_URL: &str = "https://api.acme.example/v1";

/// Chooses and connects Acme.
pub fn factory() -> impl ProviderFactory {
    Factory
}

#[derive(Debug)]
struct Factory;

impl ProviderFactory for Factory {
    fn id(&self) -> &'static str {
        "acme"
    }
    fn key_variables(&self) -> &'static [&'static str] {
        &["ACME_API_KEY"]
    }
    fn routes(&self) -> &'static [&'static str] {
        &[FILE, INLINE]
    }
    fn docs(&self) -> &'static str {
        "https://acme.example/docs/batches"
    }
    fn codec(&self, route: &str) -> Box<dyn BatchCodec> {
        Box::new(AcmeCodec::new(route))
    }

    fn connect(&self, connection: Connection) -> Result<Arc<dyn BatchProvider>> {
        let base_url = connection.base_url.as_deref().unwrap_or(BASE_URL);
        let options = HttpOptions::new(self.id(), base_url)?;
        let key = (HeaderName::from_static("x-acme-key"), connection.key.into());
        let http = HttpClient::new(options, &[key], HeaderMap::new())?;
        let codec = AcmeCodec::new(connection.route);
        Ok(Arc::new(Acme { codec, http }))
    }
}
