//! A minimal stand-in for OpenAI, Anthropic and Google: it stores the ids of the requests, and answers each with a
//! text of about 1.5 kB. For the bench, which also asks for the times of the calls.
//!
//! It prints the address that it listens on. `GET /times` returns the times of the calls since the previous one, and
//! deletes all batches.
#![expect(clippy::print_stdout, reason = "it prints its address")]

mod rows;
mod scan;
mod times;

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use self::rows::Rows;
use self::times::{Phase, Times};

/// The ids of the requests of a file, in its order.
type Ids = Arc<Vec<Box<[u8]>>>;

#[derive(Default)]
struct World {
    files: Vec<Ids>,
    batches: Vec<Batch>,
    times: Times,
}

struct Batch {
    ids: Ids,
    polls: u32,
}

impl World {
    /// Stores a batch, and returns its number.
    fn begin(&mut self, ids: Ids) -> usize {
        self.times.note(Phase::Create);
        self.batches.push(Batch { ids, polls: 0 });
        self.batches.len() - 1
    }

    /// Returns the ids of a batch, and whether it has ended: from the second status call on.
    fn look(&mut self, batch: usize) -> (Ids, bool) {
        self.times.note(Phase::Poll);
        match self.batches.get_mut(batch) {
            Some(batch) => {
                batch.polls += 1;
                (Arc::clone(&batch.ids), batch.polls > 1)
            }
            None => (Ids::default(), true),
        }
    }
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    println!("http://{address}");
    let world = Arc::new(Mutex::new(World::default()));
    for stream in listener.incoming() {
        let (stream, world) = (stream?, Arc::clone(&world));
        std::thread::spawn(move || {
            // A client that disconnects ends its connection.
            let _ = serve(&stream, address, &world);
        });
    }
    Ok(())
}

fn serve(stream: &TcpStream, address: SocketAddr, world: &Mutex<World>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    loop {
        let mut head = String::new();
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
        }
        let mut words = head.split_ascii_whitespace();
        let call = Call {
            method: words.next().unwrap_or_default(),
            path: words.next().unwrap_or_default(),
            length,
            stream,
            address,
            world,
        };
        let mut body = (&mut reader).take(length);
        call.answer(&mut body)?;
        io::copy(&mut body, &mut io::sink())?;
    }
}

struct Call<'a> {
    method: &'a str,
    path: &'a str,
    length: u64,
    stream: &'a TcpStream,
    address: SocketAddr,
    world: &'a Mutex<World>,
}

impl Call<'_> {
    fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, body: &mut impl Read) -> io::Result<()> {
        if self.path == "/times" {
            let world = std::mem::take(&mut *self.world());
            return self.reply(&world.times.json());
        }
        if self.method == "DELETE" {
            return self.delete();
        }
        if let Some(rest) = self.path.strip_prefix("/v1/messages/batches") {
            return self.anthropic(rest, body);
        }
        match self.path.contains("/v1beta/") {
            true => self.google(body),
            false => self.openai(body),
        }
    }

    /// Confirms a deletion in the format of the provider that owns the file or batch.
    fn delete(&self) -> io::Result<()> {
        let id = self.path.rsplit('/').next().unwrap_or_default();
        match self.path.contains("/v1beta/") {
            true => self.reply("{}"),
            false => self.reply(&format!(r#"{{"id":"{id}","deleted":true}}"#)),
        }
    }

    fn openai(&self, body: &mut impl Read) -> io::Result<()> {
        if self.method == "POST" && self.path == "/v1/files" {
            let ids = self.receive(scan::CUSTOM_ID, body)?;
            let mut world = self.world();
            world.files.push(ids);
            let file = world.files.len() - 1;
            drop(world);
            return self.reply(&format!(r#"{{"id":"file-{file}"}}"#));
        }
        if self.method == "POST" && self.path == "/v1/batches" {
            let mut said = String::new();
            body.read_to_string(&mut said)?;
            let file = scan::number_after(&said, r#""input_file_id":"file-"#);
            let mut world = self.world();
            let ids = world.files.get(file).cloned().unwrap_or_default();
            let batch = world.begin(ids);
            drop(world);
            return self.reply(&format!(
                r#"{{"id":"batch_{batch}","status":"validating"}}"#
            ));
        }
        if let Some(batch) = self.path.strip_prefix("/v1/batches/batch_") {
            let (ids, has_ended) = self.world().look(scan::number(batch));
            let status = if has_ended {
                "completed"
            } else {
                "in_progress"
            };
            let total = ids.len();
            return self.reply(&format!(
                r#"{{"id":"batch_{batch}","status":"{status}","output_file_id":"file-out-{batch}","request_counts":{{"total":{total},"completed":{total},"failed":0}}}}"#
            ));
        }
        if let Some(batch) = self.path.strip_prefix("/v1/files/file-out-") {
            return self.rows(scan::number(batch), &rows::OPENAI);
        }
        if self.path.starts_with("/v1/batches") {
            return self.reply(r#"{"data":[],"has_more":false}"#);
        }
        self.reply(r#"{"id":"m"}"#)
    }

    fn anthropic(&self, rest: &str, body: &mut impl Read) -> io::Result<()> {
        if self.method == "POST" {
            let ids = self.receive(scan::CUSTOM_ID, body)?;
            let batch = self.world().begin(ids);
            return self.anthropic_batch(batch, &Ids::default(), false);
        }
        let Some(name) = rest.strip_prefix("/msgbatch_") else {
            return self.reply(r#"{"data":[],"has_more":false,"first_id":null,"last_id":null}"#);
        };
        let batch = scan::number(name);
        if name.ends_with("/results") {
            return self.rows(batch, &rows::ANTHROPIC);
        }
        let (ids, has_ended) = self.world().look(batch);
        self.anthropic_batch(batch, &ids, has_ended)
    }

    fn anthropic_batch(&self, batch: usize, ids: &Ids, has_ended: bool) -> io::Result<()> {
        let (status, processing, succeeded) = match has_ended {
            true => ("ended", 0, ids.len()),
            false => ("in_progress", ids.len(), 0),
        };
        self.reply(&format!(
            r#"{{"id":"msgbatch_{batch}","type":"message_batch","processing_status":"{status}","request_counts":{{"processing":{processing},"succeeded":{succeeded},"errored":0,"canceled":0,"expired":0}},"results_url":{}}}"#,
            match has_ended {
                true => format!(
                    r#""http://{}/v1/messages/batches/msgbatch_{batch}/results""#,
                    self.address
                ),
                false => "null".to_owned(),
            }
        ))
    }

    fn google(&self, body: &mut impl Read) -> io::Result<()> {
        if let Some(file) = self.path.split("upload_id=").nth(1) {
            let ids = self.receive(scan::KEY, body)?;
            let file = scan::number(file);
            let mut world = self.world();
            if let Some(known) = world.files.get_mut(file) {
                *known = ids;
            }
            drop(world);
            let length = self.length;
            return self.headed(
                "x-goog-upload-status: final\r\n",
                &format!(r#"{{"file":{{"name":"files/{file}","sizeBytes":"{length}"}}}}"#),
            );
        }
        if self.path.starts_with("/upload/") {
            let mut world = self.world();
            world.files.push(Ids::default());
            let file = world.files.len() - 1;
            drop(world);
            let address = self.address;
            return self.headed(
                &format!(
                    "x-goog-upload-status: active\r\nx-goog-upload-url: http://{address}/upload/v1beta/files?upload_id={file}\r\n"
                ),
                "{}",
            );
        }
        if self.path.ends_with(":batchGenerateContent") {
            return self.google_create(body);
        }
        if let Some(name) = self.path.strip_prefix("/v1beta/batches/") {
            return self.google_batch(scan::number(name));
        }
        if let Some(file) = self.path.strip_prefix("/download/v1beta/files/out-") {
            return self.rows(scan::number(file), &rows::GOOGLE);
        }
        match self.path.starts_with("/v1beta/models/") {
            true => self.reply(r#"{"name":"models/m"}"#),
            false => self.reply("{}"),
        }
    }

    fn google_create(&self, body: &mut impl Read) -> io::Result<()> {
        // A create that names a file is short.
        let ids = match self.length < 1024 {
            true => {
                let mut said = String::new();
                body.read_to_string(&mut said)?;
                let file = scan::number_after(&said, r#""fileName":"files/"#);
                let named = self.world().files.get(file).cloned();
                named.unwrap_or_default()
            }
            false => self.receive(scan::KEY, body)?,
        };
        let inline = self.length >= 1024;
        let batch = self.world().begin(ids);
        let prefix = if inline { "i" } else { "" };
        self.reply(&format!(
            r#"{{"name":"batches/{prefix}{batch}","metadata":{{"state":"BATCH_STATE_PENDING"}}}}"#
        ))
    }

    fn google_batch(&self, batch: usize) -> io::Result<()> {
        let inline = self.path.starts_with("/v1beta/batches/i");
        let name = if inline {
            format!("batches/i{batch}")
        } else {
            format!("batches/{batch}")
        };
        let (ids, has_ended) = self.world().look(batch);
        if !has_ended {
            return self.reply(&format!(
                r#"{{"name":"{name}","metadata":{{"state":"BATCH_STATE_RUNNING"}}}}"#
            ));
        }
        let total = ids.len();
        let before = format!(
            r#"{{"name":"{name}","metadata":{{"state":"BATCH_STATE_SUCCEEDED","batchStats":{{"requestCount":"{total}","successfulRequestCount":"{total}"}}}},"done":true,"response":"#
        );
        if inline {
            let before = before + r#"{"inlinedResponses":{"inlinedResponses":["#;
            self.world().times.note(Phase::Download);
            rows::GOOGLE_INLINE.send(self.stream, &before, &ids, "]}}}")?;
            self.world().times.note(Phase::Download);
            return Ok(());
        }
        self.reply(&format!(
            r#"{before}{{"responsesFile":"files/out-{batch}"}}}}"#
        ))
    }

    /// Reads the ids of the requests in a body, and records the time of its arrival.
    fn receive(&self, mark: &[u8], body: &mut impl Read) -> io::Result<Ids> {
        self.world().times.note(Phase::Upload);
        let ids = scan::ids(mark, body)?;
        self.world().times.note(Phase::Upload);
        Ok(Arc::new(ids))
    }

    /// Sends the results of a batch.
    fn rows(&self, batch: usize, rows: &Rows) -> io::Result<()> {
        let ids = self
            .world()
            .batches
            .get(batch)
            .map(|batch| Arc::clone(&batch.ids));
        self.world().times.note(Phase::Download);
        rows.send(self.stream, "", &ids.unwrap_or_default(), "")?;
        self.world().times.note(Phase::Download);
        Ok(())
    }

    fn reply(&self, body: &str) -> io::Result<()> {
        self.headed("", body)
    }

    fn headed(&self, headers: &str, body: &str) -> io::Result<()> {
        let mut stream = self.stream;
        let reply = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(reply.as_bytes())
    }
}
