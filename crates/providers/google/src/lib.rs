#![doc = include_str!("../docs.md")]

mod builder;
mod client;
mod config;
mod error;
mod factory;
mod provider;
mod translate;
mod upload;
mod wire;

pub use builder::GoogleBuilder;
pub use config::{DEFAULT_BASE_URL, GoogleConfig, Route, SafetySetting, SchemaField};
pub use factory::factory;
pub use lmbatch_http::ClientOptions;
pub use provider::Google;
pub use translate::GoogleCodec;
