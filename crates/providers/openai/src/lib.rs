#![doc = include_str!("../docs.md")]

mod builder;
pub mod chat;
mod client;
mod config;
mod error;
mod factory;
mod provider;
mod translate;
mod wire;

pub use builder::OpenAiBuilder;
pub use config::{DEFAULT_BASE_URL, Endpoint, OpenAiConfig};
pub use factory::factory;
pub use lmbatch_http::ClientOptions;
pub use provider::OpenAi;
pub use translate::{OpenAiCodec, codec};
