//! Calls over TLS: the command accepts a server for which the system's certificates vouch, and no other.
//!
//! The certificates of `tests/data/tls` are valid until 2126: `authority.pem` vouches for `certificate.pem`, the
//! certificate of 127.0.0.1, whose key is `key.pem`; `another-authority.pem` vouches for nothing.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::Arc;

use lmbatch::adapter::BatchProvider as _;
use lmbatch::openai::OpenAi;
use lmbatch::{ClientOptions, ErrorKind};
use lmbatch_tests::{Emulating, lines, said, write_input};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data/tls")
        .join(name)
}

/// An emulator behind a server that speaks TLS.
struct World {
    emulating: Emulating,
    home: TempDir,
    address: SocketAddr,
    server: Runtime,
}

impl World {
    fn new() -> Self {
        let emulating = Emulating::start();
        let plain = emulating.base_url.trim_start_matches("http://");
        let plain = plain.trim_end_matches("/v1").to_owned();
        let server = Runtime::new().unwrap();
        let address = server.block_on(serve(plain));
        let home = tempfile::tempdir().unwrap();
        write_input(home.path(), [json!({"id": "a", "prompt": "Hi"})]);
        Self {
            emulating,
            home,
            address,
            server,
        }
    }

    /// Runs the input on a system that trusts one authority.
    fn run(&self, authority: &str, output: &str) -> Output {
        let home = self.home.path();
        let mut command = self.emulating.command_at("openai", home);
        command
            .args(["run", "in.jsonl", "-m", "openai/m", "-o", output])
            .args(["--poll-interval", "20ms", "--timeout", "2s", "--base-url"])
            .arg(format!("https://{}/v1", self.address))
            .env("SSL_CERT_FILE", file(authority))
            .env_remove("SSL_CERT_DIR");
        command.output().unwrap()
    }
}

/// Serves TLS on a free port, and passes what it receives on to `plain`.
async fn serve(plain: String) -> SocketAddr {
    let chain = vec![CertificateDer::from_pem_file(file("certificate.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, plain) = (acceptor.clone(), plain.clone());
            tokio::spawn(async move {
                // A client that does not trust the server ends the handshake.
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    let mut upstream = TcpStream::connect(plain).await.unwrap();
                    // Either side may end the connection.
                    let _ = copy_bidirectional(&mut stream, &mut upstream).await;
                }
            });
        }
    });
    address
}

#[test]
fn a_program_can_add_a_root_certificate_to_those_of_the_system() {
    let world = World::new();
    let base = format!("https://{}/v1", world.address);
    let check = |options: ClientOptions| {
        let builder = OpenAi::builder().api_key("sk-1").base_url(base.as_str());
        let openai = builder.client_options(options).build().unwrap();
        world.server.block_on(openai.probe("m"))
    };
    let refused = check(ClientOptions::new()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Connection, "{refused}");
    let pem = std::fs::read(file("authority.pem")).unwrap();
    check(ClientOptions::new().root_certificates(pem)).unwrap();
    let other = std::fs::read(file("another-authority.pem")).unwrap();
    let refused = check(ClientOptions::new().root_certificates(other)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Connection, "{refused}");
}

#[test]
fn a_server_is_called_over_tls_only_if_the_system_trusts_its_certificate() {
    let world = World::new();
    let refused = world.run("another-authority.pem", "refused.jsonl");
    assert_ne!(refused.status.code(), Some(0), "{}", said(&refused));
    assert!(said(&refused).contains("certificate"), "{}", said(&refused));
    assert_eq!(world.emulating.bill()["creates"].as_u64(), Some(0));

    let called = world.run("authority.pem", "called.jsonl");
    assert_eq!(called.status.code(), Some(0), "{}", said(&called));
    let answers = lines(&world.home.path().join("called.jsonl"));
    let [answer] = &answers[..] else {
        panic!("{answers:?}");
    };
    assert!(answer.to_string().contains("echo: Hi"), "{answer}");
}
