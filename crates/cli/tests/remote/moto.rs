//! The same store protocol as another program speaks it: moto, if `LMBATCH_MOTO` names its program `moto_server`.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use lmbatch_tests::assert_says;

use super::{KEYS, World};

/// Server that ends with the test.
struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    /// Starts a server with a bucket `data`; `None` where no program is named.
    fn start() -> Option<Self> {
        let program = std::env::var_os("LMBATCH_MOTO")?;
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut command = Command::new(program);
        command
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let moto = Self {
            child: command.spawn().unwrap(),
            address: address.to_string(),
        };
        let mut waited = 0;
        while TcpStream::connect(&moto.address).is_err() {
            pause();
            waited += 1;
            assert!(waited < 600, "moto does not listen");
        }
        moto.call("PUT", "/data", b"");
        Some(moto)
    }

    /// Returns the body of a response.
    fn call(&self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // The signature is not checked, and the key is that of the commands, so that both own the same objects.
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nauthorization: AWS4-HMAC-SHA256 Credential={}/20261127/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0\r\ncontent-length: {}\r\n\r\n",
            self.address,
            KEYS[0].1,
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body).unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).unwrap();
        let end = response.windows(4).position(|four| four == b"\r\n\r\n");
        let body = response.split_off(end.unwrap() + 4);
        assert!(response.starts_with(b"HTTP/1.1 200"), "{method} {path}");
        body
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // The server may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[expect(clippy::disallowed_methods, reason = "a test waits for a real program")]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}

#[test]
fn a_store_of_another_maker_gives_inputs_and_takes_outputs_whole_and_in_parts() {
    let Some(moto) = Moto::start() else {
        return;
    };
    let world = World::at_store(format!("http://{}", moto.address));
    moto.call("PUT", "/data/in.csv", b"id,prompt\na,Hi\nb,\"x, y\"\n");
    let (input, output) = ("s3://data/in.csv", ["-o", "s3://data/out/a.jsonl"]);
    assert_says(&world.run(input, &output), 0, &["downloading", "uploading"]);
    let lines = String::from_utf8(moto.call("GET", "/data/out/a.jsonl", b"")).unwrap();
    assert_eq!(lines.lines().count(), 2, "{lines}");
    let again = world.run(input, &output);
    assert_says(&again, 0, &["0 requests sent", "is complete and unchanged"]);
    moto.call("PUT", "/data/out/a.jsonl", b"mine");
    assert_says(&world.run(input, &output), 2, &["already exists"]);
    // More than one part.
    let text = "many words ".repeat(400);
    let rows = (0..2_500).map(|id| format!("{{\"id\":{id},\"prompt\":\"{text}\"}}\n"));
    moto.call("PUT", "/data/in.jsonl", rows.collect::<String>().as_bytes());
    let output = ["-o", "s3://data/large.jsonl", "-q"];
    assert_says(&world.run("s3://data/in.jsonl", &output), 0, &[]);
    let lines = moto.call("GET", "/data/large.jsonl", b"");
    assert!(lines.len() > 8 << 20, "{} B", lines.len());
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 2_500);
    assert_says(&world.run("s3://data/in.jsonl", &output), 0, &[]);
    let open = moto.call("GET", "/data?uploads", b"");
    let open = String::from_utf8_lossy(&open).into_owned();
    assert!(!open.contains("<UploadId>"), "{open}");
    for (input, output, words) in [
        ("s3://data/none.csv", "o.jsonl", "there is no such object"),
        ("s3://none/in.csv", "o.jsonl", "there is no such object"),
        (
            input,
            "s3://none/o.jsonl",
            "output s3://none/o.jsonl cannot be written: there is no such bucket or container",
        ),
    ] {
        assert_says(&world.run(input, &["-o", output]), 2, &[words]);
    }
}
