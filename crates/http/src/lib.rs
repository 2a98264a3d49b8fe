//! HTTP client and response helpers shared by the lmbatch adapters.
//!
//! Each call sends one request. This crate never retries and never waits between calls; redirects are
//! followed only by [`Exchange::send_following`] and [`Exchange::send_following_ok`].

mod account;
mod api_error;
mod body;
mod classify;
mod client;
mod clock;
mod document;
mod lenient;
mod limits;
mod multipart;
mod reply;
mod responses;
mod retry_after;
mod secrets;
mod sending;
mod tls;
mod url;

pub use account::Identity;
pub use api_error::{ApiError, ErrorClassifier};
pub use classify::{delivery_of, kind_of};
pub use client::{Exchange, HttpClient, HttpOptions};
pub use document::{Path, document_rows};
pub use lenient::{
    no_error, number, object, page_cursor, paging_flag, text, text_or_empty, whole, whole_member,
};
pub use multipart::Multipart;
pub use reply::{Response, rows};
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use responses::{
    batch_error, cancelled, check_batch, count, counts, file_error, is_about, list_error,
    probe_result, required_list,
};
pub use retry_after::{retry_after, retry_delay};
pub use secrecy::SecretString;
pub use url::{base_url, segment};
