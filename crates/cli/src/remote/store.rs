//! Objects of stores, and files of web servers. Keys come from the environment, as the crate `object_store` reads them,
//! and are in no message.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, ClientConfigKey, Error, GetOptions, ObjectStore, ObjectStoreExt as _,
    PutMultipartOptions, PutOptions, PutPayload, RetryConfig,
};

use super::address::{Address, Scheme, Stored};
use crate::plain;

/// True in a build that can reach stores and web servers.
pub(super) const IS_BUILT_IN: bool = true;

/// Metadata of an object with the SHA-256 of its bytes. Azure takes only letters, digits and `_` in names.
const DIGEST: &str = "lmbatchsha256";

/// Size in bytes of one part of an upload, unless the object has more than [`PARTS`] of them.
const PART: u64 = 8 << 20;

/// Maximum number of parts. S3 takes 10,000.
const PARTS: u64 = 9_000;

/// Longest time without a byte of a response.
const SILENCE: &str = "120 seconds";

/// Longest time of one request. Downloads of large objects may take hours.
const REQUEST: &str = "24 hours";

/// Longest text of an error that is shown, in characters.
const SHOWN: usize = 300;

/// An object, or the place of one.
struct Object {
    store: Box<dyn ObjectStore>,
    key: Key,
}

impl Object {
    fn open(address: &Address) -> Result<Self, String> {
        hide_keys();
        // The stores' client takes the cryptography of the process, which is that of the providers' clients as well.
        // An error says that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = connect(address)?;
        let key = match address.scheme.is_store() {
            true => Key::parse(address.key()),
            false => Key::from_url_path(address.key()),
        };
        let key = key.map_err(|error| error.to_string())?;
        Ok(Self { store, key })
    }
}

fn connect(address: &Address) -> Result<Box<dyn ObjectStore>, String> {
    let retry = RetryConfig {
        max_retries: 4,
        retry_timeout: Duration::from_secs(60),
        ..RetryConfig::default()
    };
    let (silence, request) = (ClientConfigKey::ReadTimeout, ClientConfigKey::Timeout);
    let root = address.root();
    let unusable = |error: Error| reason(&error);
    Ok(match address.scheme {
        Scheme::S3 => {
            let builder = AmazonS3Builder::from_env().with_url(root).with_retry(retry);
            let builder = builder.with_config(AmazonS3ConfigKey::Client(silence), SILENCE);
            let builder = builder.with_config(AmazonS3ConfigKey::Client(request), REQUEST);
            let allowed = AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp);
            let endpoint = builder.get_config_value(&AmazonS3ConfigKey::Endpoint);
            let allowed = builder.get_config_value(&allowed);
            check_plain(endpoint.as_deref(), allowed.as_deref(), "AWS_ALLOW_HTTP")?;
            Box::new(builder.build().map_err(unusable)?)
        }
        Scheme::Gs => {
            let builder = GoogleCloudStorageBuilder::from_env().with_url(root);
            let builder = builder.with_retry(retry);
            let builder = builder.with_config(GoogleConfigKey::Client(silence), SILENCE);
            let builder = builder.with_config(GoogleConfigKey::Client(request), REQUEST);
            Box::new(builder.build().map_err(unusable)?)
        }
        Scheme::Az => {
            let builder = MicrosoftAzureBuilder::from_env().with_url(root);
            let builder = builder.with_retry(retry);
            let builder = builder.with_config(AzureConfigKey::Client(silence), SILENCE);
            let builder = builder.with_config(AzureConfigKey::Client(request), REQUEST);
            let allowed = AzureConfigKey::Client(ClientConfigKey::AllowHttp);
            let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
            let allowed = builder.get_config_value(&allowed);
            check_plain(endpoint.as_deref(), allowed.as_deref(), "AZURE_ALLOW_HTTP")?;
            Box::new(builder.build().map_err(unusable)?)
        }
        // A redirect from https to http is refused, since only https is allowed then; more than ten are refused.
        Scheme::Https | Scheme::Http => {
            let builder = HttpBuilder::new().with_url(root).with_retry(retry);
            let is_plain = (address.scheme == Scheme::Http).to_string();
            let builder = builder.with_config(ClientConfigKey::AllowHttp, is_plain);
            let builder = builder.with_config(silence, SILENCE);
            Box::new(
                builder
                    .with_config(request, REQUEST)
                    .build()
                    .map_err(unusable)?,
            )
        }
    })
}

/// Refuses an endpoint without TLS that is not allowed, of which the client says only that it cannot be used.
fn check_plain(
    endpoint: Option<&str>,
    allowed: Option<&str>,
    variable: &str,
) -> Result<(), String> {
    let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    let is_refused = is_plain && matches!(allowed, None | Some("false"));
    match is_refused {
        true => Err(format!(
            "the endpoint is at http://, which is used only if {variable}=true is set"
        )),
        false => Ok(()),
    }
}

/// Writes the object to a file. Returns its size in bytes.
pub(super) fn download(address: &Address, file: &mut File) -> Result<u64, String> {
    let object = Object::open(address)?;
    wait(async {
        let found = object.store.get(&object.key).await;
        let found = found.map_err(|error| reason(&error))?;
        let expected = found.meta.size;
        let (mut pieces, mut bytes) = (found.into_stream(), 0);
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|error| reason(&error))?;
            file.write_all(&piece).map_err(|error| local(&error))?;
            bytes += piece.len() as u64;
        }
        match bytes == expected {
            true => Ok(bytes),
            false => Err(format!("it has {expected} bytes, and {bytes} arrived")),
        }
    })
}

/// Returns the object, if it exists.
pub(super) fn stored(address: &Address) -> Result<Option<Stored>, String> {
    let object = Object::open(address)?;
    wait(async {
        let options = GetOptions {
            head: true,
            ..GetOptions::default()
        };
        match object.store.get_opts(&object.key, options).await {
            Ok(found) => {
                let digest = found.attributes.get(&Attribute::Metadata(DIGEST.into()));
                Ok(Some(Stored {
                    bytes: found.meta.size,
                    sha256: digest.map(|digest| digest.to_string()),
                }))
            }
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(reason(&error)),
        }
    })
}

/// Begins an upload and abandons it: no object appears.
pub(super) fn probe(address: &Address) -> Result<(), String> {
    let object = Object::open(address)?;
    wait(async {
        let begun = object.store.put_multipart(&object.key).await;
        let mut begun = begun.map_err(|error| unwritten(&error))?;
        if address.scheme == Scheme::Az {
            // Azure learns of an upload by its first block, and keeps blocks that no upload completes for a week at most.
            let sent = begun.put_part(PutPayload::from_static(b"lmbatch")).await;
            sent.map_err(|error| unwritten(&error))?;
        }
        // An account may lack the permission to abandon uploads. An upload without parts holds nothing.
        let _ = begun.abort().await;
        Ok(())
    })
}

/// Uploads a file with its digest. The object appears when its last byte has arrived.
pub(super) fn upload(
    address: &Address,
    path: &Path,
    bytes: u64,
    sha256: &str,
) -> Result<(), String> {
    let object = Object::open(address)?;
    let mut file = File::open(path).map_err(|error| local(&error))?;
    let digest = Attribute::Metadata(DIGEST.into());
    let attributes: Attributes = [(digest, sha256.to_owned())].into_iter().collect();
    wait(async {
        if bytes <= PART {
            let mut whole = Vec::new();
            file.read_to_end(&mut whole)
                .map_err(|error| local(&error))?;
            let options = PutOptions {
                attributes,
                ..PutOptions::default()
            };
            let put = object.store.put_opts(&object.key, whole.into(), options);
            return put.await.map(drop).map_err(|error| unwritten(&error));
        }
        let options = PutMultipartOptions {
            attributes,
            ..PutMultipartOptions::default()
        };
        let begun = object.store.put_multipart_opts(&object.key, options).await;
        let mut begun = begun.map_err(|error| unwritten(&error))?;
        let part = PART.max(bytes.div_ceil(PARTS));
        let sent = async {
            loop {
                let mut piece = Vec::new();
                let read = (&mut file).take(part).read_to_end(&mut piece);
                if read.map_err(|error| local(&error))? == 0 {
                    break;
                }
                let sent = begun.put_part(PutPayload::from(piece)).await;
                sent.map_err(|error| unwritten(&error))?;
            }
            begun.complete().await.map_err(|error| unwritten(&error))
        };
        let sent = sent.await;
        if sent.is_err() {
            // The failure of the upload is the one to report.
            let _ = begun.abort().await;
        }
        sent.map(drop)
    })
}

/// Waits for an exchange on a thread of its own. The command's other tasks continue meanwhile, so that a signal ends the command.
fn wait<T: Send>(exchange: impl Future<Output = Result<T, String>> + Send) -> Result<T, String> {
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        let work = || runtime.block_on(exchange);
        let started = std::thread::Builder::new().spawn_scoped(scope, work);
        let thread = started.map_err(|error| format!("no thread can be started: {error}"))?;
        let ended = thread.join();
        ended.unwrap_or_else(|_| Err("a worker thread failed".to_owned()))
    })
}

fn local(error: &io::Error) -> String {
    format!("a local copy failed: {error}")
}

/// Keeps the keys of stores out of everything that is printed from now on.
fn hide_keys() {
    for (name, value) in std::env::vars() {
        let is_of_store = ["AWS_", "AZURE_", "GOOGLE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix));
        let is_key = ["KEY", "SECRET", "TOKEN", "SAS"]
            .iter()
            .any(|word| name.contains(word));
        if is_of_store && is_key {
            plain::hide(&value);
        }
    }
}

/// Returns the reason why an object cannot be written, in one line.
fn unwritten(error: &Error) -> String {
    match error {
        Error::NotFound { .. } => "there is no such bucket or container".to_owned(),
        other => reason(other),
    }
}

/// Returns the reason of an error in one line.
fn reason(error: &Error) -> String {
    match error {
        Error::NotFound { .. } => "there is no such object".to_owned(),
        Error::PermissionDenied { .. } => "the store denies access".to_owned(),
        Error::Unauthenticated { .. } => "the store does not accept the key".to_owned(),
        Error::Generic { source, .. } => readable(&source.to_string()),
        other => readable(&other.to_string()),
    }
}

/// Returns the beginning of an error's text, up to the body of a response, which may repeat what was signed, and
/// without queries of URLs, which may be keys.
fn readable(text: &str) -> String {
    let mut words = Vec::new();
    for word in text.split_whitespace() {
        if word.starts_with(['<', '{']) {
            break;
        }
        match word.contains("://") {
            true => words.push(word.split('?').next().unwrap_or_default()),
            false => words.push(word),
        }
    }
    let text = words.join(" ");
    let text = text.trim_end_matches([':', ' ', '-']);
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_tls_is_refused_with_the_variable_that_allows_it() {
        for (endpoint, allowed, is_used) in [
            (None, None, true),
            (Some("https://h"), Some("false"), true),
            (Some("http://h"), Some("true"), true),
            (Some("http://h"), Some("false"), false),
            (Some("http://h"), None, false),
        ] {
            let found = check_plain(endpoint, allowed, "AWS_ALLOW_HTTP");
            assert_eq!(found.is_ok(), is_used, "{endpoint:?} {allowed:?}");
            let why = found.err().unwrap_or_default();
            assert!(
                is_used || why.ends_with("AWS_ALLOW_HTTP=true is set"),
                "{why}"
            );
        }
    }

    #[test]
    fn the_reason_of_an_error_holds_neither_a_body_nor_a_query() {
        for (text, expected) in [
            (
                "Error performing GET http://h/b/x?sig=canary in 2ms - Server returned non-2xx status code: 500: <?xml canary",
                "Error performing GET http://h/b/x in 2ms - Server returned non-2xx status code: 500",
            ),
            ("Missing \n bucket name", "Missing bucket name"),
            ("status 403: {\"error\": \"canary\"}", "status 403"),
        ] {
            assert_eq!(readable(text), expected);
        }
    }
}
