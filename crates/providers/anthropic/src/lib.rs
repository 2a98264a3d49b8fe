#![doc = include_str!("../docs.md")]

mod builder;
mod client;
mod config;
mod error;
mod factory;
mod provider;
mod translate;
mod wire;

pub use builder::AnthropicBuilder;
pub use config::{AnthropicConfig, Auth, DEFAULT_BASE_URL, DEFAULT_MAX_TOKENS};
pub use factory::factory;
pub use lmbatch_http::ClientOptions;
pub use provider::Anthropic;
pub use translate::AnthropicCodec;
