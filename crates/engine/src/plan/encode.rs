//! Draft: encodes every request of the input into the shard to which it belongs, and counts invalid
//! ones.

use lmbatch_core::{
    BatchClass, BatchCodec, Error, JsonBuf, MAX_DEPTH, Nonce, RequestEntry, RequestError,
    RequestSource, RequestView, SourcedRequest, WireId,
};
use memchr::memmem;

use crate::counted;
use crate::plan::attachments;
use crate::plan::blocks::{Block, BlockWriter, Blocks, Encoded};
use crate::plan::duplicates::DuplicateFinder;
use crate::plan::error::{BadInput, BadRequest, PlanError};
use crate::plan::ids::IdChoice;
use crate::plan::planned_request::PlannedRequest;
use crate::plan::shards::{ShardWriter, WrittenShard};
use crate::policy::BatchLimit;
use crate::schema::Schemas;
use crate::spool::{Files, spooled};

/// Encoded requests in the spool, cut into shards.
pub(crate) struct Drafted {
    pub(crate) shards: Vec<WrittenShard>,
    pub(crate) requests: u32,
    /// Digest of everything that is sent and returned, except for the ids on the wire.
    pub(crate) digest: Box<str>,
    /// Changes of the schemas as they are sent, one sentence each.
    pub(crate) schema_notes: Vec<String>,
    /// True if the answer to a request is checked against a schema.
    pub(crate) has_schema: bool,
    /// Warning about declared media types that disagree with the bytes, if there are any.
    pub(crate) warning: Option<String>,
}

/// Requests whose attachments have other media types than declared; they are sent under those of
/// their bytes.
#[derive(Default)]
struct Disagreements {
    count: u64,
    first: Option<(u64, String)>,
}

impl Disagreements {
    fn note(&mut self, position: u64, disagreement: Option<String>) {
        if let Some(why) = disagreement {
            self.count += 1;
            self.first.get_or_insert((position, why));
        }
    }

    fn warning(self, unit: &str) -> Option<String> {
        let (position, why) = self.first?;
        Some(match self.count {
            1 => format!("{unit} {position}: {why}"),
            count => format!(
                "{} have attachments of other media types than declared; the first is {unit} {position}: {why}",
                counted::requests(count)
            ),
        })
    }
}

struct Draft<'scope, 'env> {
    codec: &'env dyn BatchCodec,
    ids: IdChoice,
    /// Searches a row for ids of the run.
    nonce: memmem::Finder<'env>,
    wire_id: WireId,
    blocks: Blocks<'scope, 'env>,
    block: Block,
    /// Classes of the requests so far. `last_class` is the number of the last request's class.
    classes: Vec<KnownClass>,
    last_class: usize,
    requests: u32,
    bad: BadInput,
    /// Invalid requests with their positions and ids, until their source was asked whether to leave them out.
    refused: Vec<(u64, Option<String>, RequestError)>,
    disagreements: Disagreements,
    seen: DuplicateFinder,
    schemas: Schemas,
    has_schema: bool,
    /// Sees each request that is valid, as long as all are.
    visit: &'env mut dyn FnMut(&PlannedRequest<'_>),
}

/// Class of requests, and the most bytes that one of its requests may have.
struct KnownClass {
    class: BatchClass,
    most: u64,
}

pub(crate) fn draft(
    codec: &dyn BatchCodec,
    mut source: Box<dyn RequestSource>,
    nonce: &Nonce,
    ids: IdChoice,
    files: &Files,
    limit: BatchLimit,
    visit: &mut dyn FnMut(&PlannedRequest<'_>),
) -> Result<Drafted, PlanError> {
    let shards = ShardWriter::new(codec, limit, nonce, files, 0, []);
    std::thread::scope(|scope| {
        let mut draft = Draft {
            codec,
            ids,
            nonce: memmem::Finder::new(nonce.as_str()),
            wire_id: WireId::ordinal(nonce, 0),
            blocks: Blocks::new(scope, BlockWriter::new(shards)),
            block: Block::default(),
            classes: Vec::new(),
            last_class: 0,
            requests: 0,
            bad: BadInput::default(),
            refused: Vec::new(),
            disagreements: Disagreements::default(),
            seen: DuplicateFinder::new(files.spool()),
            schemas: Schemas::default(),
            has_schema: false,
            visit,
        };
        let read = draft.read(&mut *source);
        draft.finish(read, source.unit())
    })
}

impl Draft<'_, '_> {
    fn read(&mut self, source: &mut dyn RequestSource) -> Result<(), Error> {
        let mut failed = None;
        while source.next(&mut |sourced| {
            if let Err(error) = self.take(sourced) {
                failed.get_or_insert(error);
            }
        })? {
            if let Some(error) = failed.take() {
                return Err(error);
            }
            for (position, id, error) in std::mem::take(&mut self.refused) {
                if !source.leave_out(position, &error)? {
                    self.refuse(position, id, &error)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, sourced: SourcedRequest<'_>) -> Result<(), Error> {
        let position = sourced.position;
        let mut entry = match sourced.entry {
            Ok(entry) => entry,
            Err(error) => {
                self.refused.push((position, None, error));
                return Ok(());
            }
        };
        let entry_id = entry.id;
        let id = entry_id.decode();
        let start = self.block.bytes().len();
        let encoded = self.encode(&mut entry, &id, position);
        match encoded {
            Ok(class) => {
                self.seen.add(&id, position).map_err(spooled)?;
                if self.bad.count == 0 {
                    (self.visit)(&PlannedRequest {
                        position,
                        id: &id,
                        request: &entry.request,
                        endpoint: &self.classes[class].class.endpoint,
                        row: &self.block.bytes()[start..],
                    });
                    return self.append(&entry, class, start);
                }
                // An invalid input is not sent: nothing more is written.
            }
            Err(error) => self.refused.push((position, Some(id.into_owned()), error)),
        }
        self.block.bytes().truncate(start);
        Ok(())
    }

    /// Appends the row to the block and returns the number of its class.
    fn encode(
        &mut self,
        entry: &mut RequestEntry<'_>,
        id: &str,
        position: u64,
    ) -> Result<usize, RequestError> {
        let disagreement = attachments::load(&mut entry.request, entry.folder, self.codec)?;
        self.disagreements.note(position, disagreement);
        check_depth(&entry.request)?;
        if let Some(schema) = entry.schema {
            self.schemas.check(schema)?;
            self.has_schema = true;
        }
        let number = self.class_of(&entry.request)?;
        let KnownClass { class, most } = &self.classes[number];
        if let RequestView::Generate(generate) = &entry.request
            && let Some(schema) = generate.schema
        {
            self.schemas.note(self.codec, class, schema)?;
        }
        match self.ids {
            IdChoice::Ordinal => self.wire_id.set_ordinal(self.requests),
            IdChoice::Callers => self.wire_id = WireId::verbatim(id),
        }
        let out = self.block.bytes();
        let start = out.len();
        self.codec
            .encode(class, &self.wire_id, &entry.request, out)?;
        let bytes = out.len() - start;
        if bytes as u64 > *most {
            return Err(RequestError::invalid_input(format!(
                "it is {bytes} bytes as sent; the provider accepts {most}"
            )));
        }
        Ok(number)
    }

    /// Returns the number of the class of a request.
    fn class_of(&mut self, request: &RequestView<'_>) -> Result<usize, RequestError> {
        if let Some(known) = self.classes.get(self.last_class)
            && self.codec.is_in_class(&known.class, request)
        {
            return Ok(self.last_class);
        }
        let class = self.codec.class(request)?;
        let mut known = self.classes.iter();
        self.last_class = match known.position(|known| known.class == class) {
            Some(number) => number,
            None => {
                self.block.push_class(class.clone());
                let most = self.codec.limits(&class).max_request_bytes;
                self.classes.push(KnownClass { class, most });
                self.classes.len() - 1
            }
        };
        Ok(self.last_class)
    }

    /// Appends the echo, which is returned with the outcome, to the row that begins at `start`.
    fn append(
        &mut self,
        entry: &RequestEntry<'_>,
        class: usize,
        start: usize,
    ) -> Result<(), Error> {
        let out = self.block.bytes();
        let row = &out[start..];
        let bytes = row.len();
        let id = self.wire_id.as_str().as_bytes();
        let id = match self.ids {
            IdChoice::Ordinal => {
                let mut places = self.nonce.find_iter(row);
                places.find(|at| row[*at..].starts_with(id))
            }
            IdChoice::Callers => None,
        };
        let mut end = out.len();
        let mut field_ends = |out: &Vec<u8>| {
            let begin = std::mem::replace(&mut end, out.len());
            end - begin
        };
        entry.id.write_json(out);
        let id_bytes = field_ends(out);
        if let Some(metadata) = entry.metadata {
            metadata.write(out);
        }
        let metadata_bytes = field_ends(out);
        if let Some(schema) = entry.schema {
            out.extend_from_slice(schema.schema.as_str().as_bytes());
        }
        let schema_bytes = field_ends(out);
        self.block.push(Encoded {
            ordinal: self.requests,
            class,
            row: bytes,
            id: id.map(|at| at..at + self.wire_id.as_str().len()),
            echo: [id_bytes, metadata_bytes, schema_bytes],
        });
        if self.block.is_full() {
            self.blocks.hand_over(&mut self.block)?;
        }
        self.requests = self
            .requests
            .checked_add(1)
            .ok_or_else(|| Error::invalid_input("there are more than 4,294,967,295 requests"))?;
        Ok(())
    }

    /// Counts an invalid request, whose id is still taken.
    fn refuse(
        &mut self,
        position: u64,
        id: Option<String>,
        error: &RequestError,
    ) -> Result<(), Error> {
        if let Some(id) = &id {
            self.seen.add(id, position).map_err(spooled)?;
        }
        let reason = error
            .message()
            .map_or_else(|| error.to_string(), str::to_owned);
        self.bad.note(BadRequest {
            position,
            id,
            reason,
        });
        Ok(())
    }

    /// Ends the draft of an input that was read to its end or to an error.
    fn finish(mut self, read: Result<(), Error>, unit: &str) -> Result<Drafted, PlanError> {
        // An error of the writer is about earlier requests than an error of the reader.
        let writer = self.blocks.finish(self.block)?;
        read?;
        let bad = &mut self.bad;
        let duplicates = self.seen.duplicates(|first, position| {
            let reason = format!("the id is the same as that of {unit} {first}");
            let id = None;
            bad.note(BadRequest {
                position,
                id,
                reason,
            });
        });
        duplicates.map_err(spooled)?;
        if self.bad.count > 0 {
            self.bad.trim();
            return Err(PlanError::Input(self.bad));
        }
        let (shards, digest) = writer.finish()?;
        Ok(Drafted {
            shards,
            requests: self.requests,
            digest,
            schema_notes: self.schemas.into_notes(),
            has_schema: self.has_schema,
            warning: self.disagreements.warning(unit),
        })
    }
}

/// Checks the nesting of values that the caller rendered: a provider would refuse a whole batch for
/// one of them.
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
            "a schema or parameter is nested more than {MAX_DEPTH} levels deep"
        )));
    }
    Ok(())
}
