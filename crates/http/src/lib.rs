//! The HTTP pipes that lmbatch adapters share. One exchange at a time: nothing here retries, waits
//! or follows a redirect by itself.

mod account;
mod body;
mod classify;
mod client;
mod clock;
mod document;
mod habits;
mod lenient;
mod limits;
mod multipart;
mod reply;
mod retry_after;
mod secrets;
mod sending;
mod told;
mod url;

pub use account::Identity;
pub use classify::{delivery_of, kind_of};
pub use client::{Exchange, HttpClient, HttpOptions};
pub use document::{Path, document_rows};
pub use habits::{
    believed, cancelled, check_batch, count, counts, is_about, listed, of_batch, of_file, of_list,
};
pub use lenient::{
    no_error, number, object, page_cursor, paging_flag, text, text_or_empty, whole, whole_member,
};
pub use multipart::Multipart;
pub use reply::{Reply, rows};
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use retry_after::{retry_after, retry_delay};
pub use secrecy::SecretString;
pub use told::{Tell, Told};
pub use url::{base_url, segment};
