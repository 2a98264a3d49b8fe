//! Draft: every request of the input encoded into the shard where it belongs; what is bad is counted.

use std::collections::BTreeMap;
use std::io::Write as _;

use lmbatch_core::{
    BatchClass, BatchCodec, CreateProof, Error, ErrorKind, Frame, JsonBuf, Limits, MAX_DEPTH,
    Nonce, RequestError, RequestView, WireId,
};
use sha2::{Digest as _, Sha256};

use crate::plan::attachments;
use crate::plan::duplicates::Seen;
use crate::plan::error::{BadInput, BadRequest, PlanError};
use crate::plan::ids::{IdChoice, label};
use crate::policy::BatchLimit;
use crate::schema::Schemas;
use crate::source::{Entry, RequestSource, Sourced};
use crate::spool::layout::body;
use crate::spool::tables::{Echo, Sent, Writer};
use crate::spool::{Files, spooled};

/// Requests as they lie in the spool, cut into shards.
pub(crate) struct Drafted {
    pub(crate) shards: Vec<DraftedShard>,
    pub(crate) requests: u32,
    /// Of everything that is sent and given back, but for the ids on the wire.
    pub(crate) digest: Box<str>,
    /// CRC-32 of the files that belong to all of them.
    pub(crate) checksums: BTreeMap<Box<str>, u32>,
    /// What is changed of their schemas, one sentence each.
    pub(crate) schema_notes: Vec<String>,
    /// How declared media types and bytes disagree, where they do.
    pub(crate) warning: Option<String>,
}

/// One shard of them.
pub(crate) struct DraftedShard {
    pub(crate) number: u32,
    pub(crate) class: BatchClass,
    pub(crate) count: u32,
    pub(crate) bytes: u64,
    pub(crate) checksum: u32,
}

/// A shard that takes more.
struct Open {
    number: u32,
    class: BatchClass,
    limits: Limits,
    frame: Frame,
    body: Writer,
    count: u32,
    tokens: u64,
}

/// Requests whose attachments are not of the media types that were declared, and are sent as what they are.
#[derive(Default)]
struct Disagreements {
    count: u64,
    first: Option<(u64, String)>,
}

impl Disagreements {
    fn note(&mut self, place: u64, disagreement: Option<String>) {
        if let Some(why) = disagreement {
            self.count += 1;
            self.first.get_or_insert((place, why));
        }
    }

    fn warning(self, unit: &str) -> Option<String> {
        let (place, why) = self.first?;
        Some(match self.count {
            1 => format!("{unit} {place}: {why}"),
            count => format!(
                "{count} {unit}s have attachments of other media types than declared; the first is {unit} {place}: {why}"
            ),
        })
    }
}

struct Draft<'a> {
    codec: &'a dyn BatchCodec,
    nonce: &'a Nonce,
    ids: IdChoice,
    files: &'a Files,
    limit: BatchLimit,
    echo: Writer,
    sent: Writer,
    digest: Sha256,
    open: Vec<Open>,
    closed: Vec<DraftedShard>,
    requests: u32,
    bad: BadInput,
    disagreements: Disagreements,
    seen: Seen,
    schemas: Schemas,
    row: Vec<u8>,
    record: Echo,
}

pub(crate) fn draft(
    codec: &dyn BatchCodec,
    mut source: Box<dyn RequestSource>,
    nonce: &Nonce,
    ids: IdChoice,
    files: &Files,
    limit: BatchLimit,
) -> Result<Drafted, PlanError> {
    let mut draft = Draft {
        codec,
        nonce,
        ids,
        files,
        limit,
        echo: files.create("echo")?,
        sent: files.create("sent")?,
        digest: Sha256::new(),
        open: Vec::new(),
        closed: Vec::new(),
        requests: 0,
        bad: BadInput::default(),
        disagreements: Disagreements::default(),
        row: Vec::new(),
        record: Echo::default(),
        seen: Seen::new(files.spool()),
        schemas: Schemas::default(),
    };
    let mut failed = None;
    while source.next(&mut |sourced| {
        if let Err(error) = draft.take(sourced) {
            failed.get_or_insert(error);
        }
    })? {
        if let Some(error) = failed.take() {
            return Err(error.into());
        }
    }
    draft.finish(source.unit())
}

impl Draft<'_> {
    fn take(&mut self, sourced: Sourced<'_>) -> Result<(), Error> {
        let place = sourced.place;
        let mut entry = match sourced.entry {
            Ok(entry) => entry,
            Err(error) => {
                self.refuse(place, None, &error);
                return Ok(());
            }
        };
        let id = entry.id.decode().into_owned();
        self.seen.add(&id, place).map_err(spooled)?;
        match self.encode(&mut entry, &id, place) {
            // What is bad already will not be sent: nothing more is written.
            Ok(_) if self.bad.count > 0 => Ok(()),
            Ok((class, wire_id)) => self.append(&entry, class, &wire_id),
            Err(error) => {
                self.refuse(place, Some(id), &error);
                Ok(())
            }
        }
    }

    fn encode(
        &mut self,
        entry: &mut Entry<'_>,
        id: &str,
        place: u64,
    ) -> Result<(BatchClass, WireId), RequestError> {
        let disagreement = attachments::load(&mut entry.request, entry.folder, self.codec)?;
        self.disagreements.note(place, disagreement);
        check_depth(&entry.request)?;
        if let Some(schema) = entry.schema {
            self.schemas.check(schema)?;
        }
        let class = self.codec.class(&entry.request)?;
        if let RequestView::Generate(generate) = &entry.request
            && let Some(schema) = generate.schema
        {
            self.schemas.note(self.codec, &class, schema)?;
        }
        let wire_id = match self.ids {
            IdChoice::Ours => WireId::ordinal(self.nonce, self.requests),
            IdChoice::Callers => WireId::verbatim(id),
        };
        self.row.clear();
        self.codec
            .encode(&class, &wire_id, &entry.request, &mut self.row)?;
        let most = self.codec.limits(&class).max_request_bytes;
        if self.row.len() as u64 > most {
            return Err(RequestError::invalid_input(format!(
                "it is {} bytes as sent; the provider takes {most}",
                self.row.len()
            )));
        }
        Ok((class, wire_id))
    }

    fn append(
        &mut self,
        entry: &Entry<'_>,
        class: BatchClass,
        wire_id: &WireId,
    ) -> Result<(), Error> {
        self.digest_row(&class, wire_id);
        let at = self.room(class)?;
        let open = &mut self.open[at];
        if open.count > 0 {
            open.body
                .write_all(&open.frame.separator)
                .map_err(spooled)?;
        }
        let sent = Sent {
            shard: open.number,
            place: open.count,
            length: self.row.len() as u32,
            offset: open.body.written,
        };
        open.body.write_all(&self.row).map_err(spooled)?;
        open.count += 1;
        open.tokens += estimated_tokens(self.row.len());
        sent.write(&mut self.sent).map_err(spooled)?;
        self.record.clear();
        entry.id.write_json(&mut self.record.id);
        if let Some(metadata) = entry.metadata {
            metadata.write(&mut self.record.metadata);
        }
        if let Some(schema) = entry.schema {
            self.record
                .schema
                .extend_from_slice(schema.schema.as_str().as_bytes());
        }
        for field in [&self.record.id, &self.record.metadata, &self.record.schema] {
            self.digest.update((field.len() as u64).to_le_bytes());
            self.digest.update(field);
        }
        self.record.write(&mut self.echo).map_err(spooled)?;
        self.requests = self
            .requests
            .checked_add(1)
            .ok_or_else(|| Error::invalid_input("there are more than 4,294,967,295 requests"))?;
        Ok(())
    }

    /// The row as it would be under any id: a second reading of the same input has the same digest.
    fn digest_row(&mut self, class: &BatchClass, wire_id: &WireId) {
        let class = serde_json::to_vec(class).unwrap_or_default();
        self.digest.update(&class);
        let id = wire_id.as_str().as_bytes();
        let at = match self.ids {
            IdChoice::Ours => memchr::memmem::find(&self.row, id),
            IdChoice::Callers => None,
        };
        let (before, after) = match at {
            Some(at) => (&self.row[..at], &self.row[at + id.len()..]),
            None => (&self.row[..], &[][..]),
        };
        self.digest.update((self.row.len() as u64).to_le_bytes());
        self.digest.update(before);
        self.digest.update(after);
    }

    /// The open shard of the class with room for the row; one that is full is closed.
    fn room(&mut self, class: BatchClass) -> Result<usize, Error> {
        let found = self.open.iter().position(|open| open.class == class);
        if let Some(at) = found {
            if self.has_room(&self.open[at]) {
                return Ok(at);
            }
            let full = self.open.remove(at);
            self.close(full)?;
        }
        let number = (self.closed.len() + self.open.len()) as u32;
        let mut limits = self.limit.apply(self.codec.limits(&class));
        // Where a lost create is known by its number of requests only, no two shards have the same.
        if self.codec.capabilities().create == CreateProof::CountAndTime {
            limits.max_requests = limits.max_requests.saturating_sub(number).max(1);
        }
        self.open.push(Open {
            number,
            frame: self.codec.frame(&class, &label(self.nonce, number)),
            limits,
            class,
            body: self.files.create(&body(number))?,
            count: 0,
            tokens: 0,
        });
        Ok(self.open.len() - 1)
    }

    fn has_room(&self, open: &Open) -> bool {
        let frame = &open.frame;
        let around = frame.prefix.len() + frame.separator.len() + frame.suffix.len();
        let bytes = open.body.written + (around + self.row.len()) as u64;
        let tokens = open.tokens + estimated_tokens(self.row.len());
        let most = open.limits.enqueued_tokens;
        open.count < open.limits.max_requests
            && bytes <= open.limits.max_bytes
            && most.is_none_or(|most| tokens <= most)
    }

    fn close(&mut self, mut open: Open) -> Result<(), Error> {
        if open.count < open.limits.min_requests {
            let message = format!(
                "{} requests are fewer than a batch of {} needs ({})",
                open.count,
                self.codec.id(),
                open.limits.min_requests
            );
            return Err(Error::new(ErrorKind::InvalidInput).with_message(message));
        }
        open.body.sync().map_err(spooled)?;
        self.closed.push(DraftedShard {
            number: open.number,
            class: open.class,
            count: open.count,
            bytes: open.body.written,
            checksum: open.body.checksum(),
        });
        Ok(())
    }

    fn refuse(&mut self, place: u64, id: Option<String>, error: &RequestError) {
        let reason = error
            .message()
            .map_or_else(|| error.to_string(), str::to_owned);
        self.bad.note(BadRequest { place, id, reason });
    }

    fn finish(mut self, unit: &str) -> Result<Drafted, PlanError> {
        let bad = &mut self.bad;
        let duplicates = self.seen.duplicates(|first, place| {
            let reason = format!("the id is the same as that of {unit} {first}");
            let id = None;
            bad.note(BadRequest { place, id, reason });
        });
        duplicates.map_err(spooled)?;
        if self.bad.count > 0 {
            self.bad.trim();
            return Err(PlanError::Input(self.bad));
        }
        for open in std::mem::take(&mut self.open) {
            self.close(open)?;
        }
        self.closed.sort_by_key(|shard| shard.number);
        self.echo.sync().map_err(spooled)?;
        self.sent.sync().map_err(spooled)?;
        let bytes = self.digest.finalize();
        Ok(Drafted {
            shards: self.closed,
            requests: self.requests,
            digest: bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
                .into(),
            checksums: [
                ("echo".into(), self.echo.checksum()),
                ("sent".into(), self.sent.checksum()),
            ]
            .into(),
            schema_notes: self.schemas.into_notes(),
            warning: self.disagreements.warning(unit),
        })
    }
}

/// A request's tokens, guessed from its bytes as sent: text has some four to a token, so that three leave
/// a margin for languages that have fewer.
pub(crate) fn estimated_tokens(bytes: usize) -> u64 {
    (bytes as u64).div_ceil(3)
}

/// Values of the caller's that were rendered unchecked: a provider would refuse a whole batch for one.
fn check_depth(request: &RequestView<'_>) -> Result<(), RequestError> {
    let RequestView::Generate(generate) = request else {
        return Ok(());
    };
    let tools = generate.tools.iter().map(|tool| &tool.parameters);
    let schema = generate.schema.map(|schema| &schema.schema);
    let extra = &generate.hyperparameters.extra;
    let extra_is = |value: &serde_json::Value| JsonBuf::from_value(value).is_too_deep();
    if tools.chain(schema).any(JsonBuf::is_too_deep) || extra.values().any(extra_is) {
        return Err(RequestError::invalid_input(format!(
            "a schema or parameter is nested more than {MAX_DEPTH} deep"
        )));
    }
    Ok(())
}
