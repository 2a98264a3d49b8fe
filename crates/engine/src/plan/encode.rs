//! Draft: every request of the input encoded into the shard where it belongs; what is bad is counted.

use lmbatch_core::{
    BatchClass, BatchCodec, Error, JsonBuf, MAX_DEPTH, Nonce, RequestError, RequestView, WireId,
};
use sha2::{Digest as _, Sha256};

use crate::plan::attachments;
use crate::plan::duplicates::Seen;
use crate::plan::error::{BadInput, BadRequest, PlanError};
use crate::plan::ids::IdChoice;
use crate::plan::shards::{ShardWriter, WrittenShard};
use crate::policy::BatchLimit;
use crate::schema::Schemas;
use crate::source::{Entry, RequestSource, Sourced};
use crate::spool::tables::Echo;
use crate::spool::{Files, spooled};

/// Requests as they lie in the spool, cut into shards.
pub(crate) struct Drafted {
    pub(crate) shards: Vec<WrittenShard>,
    pub(crate) requests: u32,
    /// Of everything that is sent and given back, but for the ids on the wire.
    pub(crate) digest: Box<str>,
    /// What is changed of their schemas, one sentence each.
    pub(crate) schema_notes: Vec<String>,
    /// How declared media types and bytes disagree, where they do.
    pub(crate) warning: Option<String>,
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
    shards: ShardWriter<'a>,
    digest: Sha256,
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
        shards: ShardWriter::new(codec, limit, nonce, files, 0, []),
        digest: Sha256::new(),
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
            Ok((class, wire_id)) => self.append(&entry, &class, &wire_id),
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
        class: &BatchClass,
        wire_id: &WireId,
    ) -> Result<(), Error> {
        self.digest_row(class, wire_id);
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
        self.shards
            .put(class, &self.row, self.requests, &self.record)?;
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
        let shards = self.shards.finish()?;
        let bytes = self.digest.finalize();
        Ok(Drafted {
            shards,
            requests: self.requests,
            digest: bytes
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
                .into(),
            schema_notes: self.schemas.into_notes(),
            warning: self.disagreements.warning(unit),
        })
    }
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
