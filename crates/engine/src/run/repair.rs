//! Repair: answers that do not fit their schemas are sent back, with the place and the reason, to be corrected.
//!
//! A repair is a shard like any other: its body is written first, then its record, and then its batch is created.
//! Each row is the row that the answer belongs to with two turns at the end of its conversation. The number of
//! repairs of a request is the number of recorded repair shards that hold it, so that a process that dies at any
//! point repairs nothing twice.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use lmbatch_core::{
    AnswerView, BatchClass, BatchProvider, Error, ErrorKind, FinishReason, FollowUp, IdRule, Nonce,
    OutcomeView, OutputView, RequestError, Result, ResultPart, RowReader, SchemaError, Segment,
    ShardRecord, SpoolFile, Verdict, WireId,
};

use crate::blocking::blocking;
use crate::context::Context;
use crate::counted;
use crate::plan::Plan;
use crate::plan::ids::request_id;
use crate::plan::planned::{PlannedShard, planned};
use crate::plan::rows::Bodies;
use crate::plan::shards::ShardWriter;
use crate::policy::BatchLimit;
use crate::results::collect::Collected;
use crate::results::merge::Merged;
use crate::results::rows::StoredRows;
use crate::results::structured::Checker;
use crate::run::job::Job;
use crate::run::repair_message::{SentSchemas, message};
use crate::spool::tables::{Echo, RowLocation};
use crate::spool::{Files, spooled};

impl Context {
    /// Checks that an answer may need a repair, and that the conversations of a plan can be continued, with an empty
    /// body.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where no request has a schema; [`ErrorKind::Unsupported`] where no class of the plan
    /// can be continued.
    pub(crate) fn check_repairs(&self, plan: &Plan) -> Result<()> {
        if plan.has_schema == Some(false) {
            return Err(Error::invalid_input(
                "answers that do not fit their schemas are to be repaired, but no request has a schema; nothing was sent",
            ));
        }
        let codec = self.provider.codec();
        let empty = OutputView::from_items(Vec::new(), FinishReason::Stop);
        let mut refused = None;
        for planned in &plan.shards {
            let turns = FollowUp::new(&empty, "");
            match codec.follow_up(&planned.shard.class, "{}", &turns, &mut Vec::new()) {
                Err(error) if error.kind() == ErrorKind::Unsupported => refused = Some(error),
                _ => return Ok(()),
            }
        }
        let Some(why) = refused else {
            return Ok(());
        };
        let why = why.message().unwrap_or_default().to_owned();
        Err(Error::new(ErrorKind::Unsupported).with_message(format!(
            "answers that do not fit their schemas cannot be repaired: {why}; nothing was sent"
        )))
    }
}

impl Job<'_> {
    /// Sends answers that do not fit their schemas back, each at most `most` times. Returns whether there were any.
    pub(crate) async fn repair(&mut self, most: u32) -> Result<bool> {
        if most == 0 {
            return Ok(false);
        }
        let sent = match self.repaired(None, most).await {
            Ok(new) => self.send(new).await,
            Err(error) => Err(error),
        };
        match sent {
            // Existing outcomes are returned nevertheless. The repairs may be too few for a batch or,
            // under a cost limit that was set later, a request may have no bound.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                let message =
                    format!("the answers that do not fit their schemas are not repaired: {error}");
                self.context.warn(self.subject(), &message);
                Ok(false)
            }
            sent => sent.map(|requests| requests > 0),
        }
    }

    /// Sends those of the chosen answers back that do not fit their schemas, and returns how many they are.
    pub(crate) async fn repair_again(&mut self, chosen: &HashSet<u32>) -> Result<u64> {
        self.run.requested_attempt = self.run.attempt + 1;
        let new = self.repaired(Some(chosen.clone()), 1).await?;
        self.send(new).await
    }

    /// Returns the number of attempts since the caller's last explicit requeue that were repairs.
    pub(crate) fn repairs_made(&self) -> u32 {
        let repairs = self.works.iter().map(|work| &work.record);
        let repairs =
            repairs.filter(|record| record.repair && record.attempt >= self.run.requested_attempt);
        let attempts: BTreeSet<u32> = repairs.map(|record| record.attempt).collect();
        attempts.len() as u32
    }

    /// Writes new shards with the continued conversations.
    async fn repaired(
        &mut self,
        chosen: Option<HashSet<u32>>,
        most: u32,
    ) -> Result<Vec<PlannedShard>> {
        let collected = self.collect().await?;
        let repair = Repair {
            provider: Arc::clone(&self.context.provider),
            limit: self.context.batch_limit,
            nonce: self.plan.nonce.clone(),
            ids: self.plan.ids.clone(),
            files: Arc::clone(&self.plan.files),
            attempt: self.run.attempt + 1,
            asked: self.run.requested_attempt,
            most,
            chosen: match chosen {
                Some(chosen) => Some(chosen),
                None => self.wanted().await?,
            },
            records: self.records(),
            shards: self.plan.shards.clone(),
        };
        let (new, left) = blocking(move || repair.write(&collected)).await??;
        if !left.has_schema {
            self.context.warn(
                self.subject(),
                "no answer is repaired, since no request of the run has a schema",
            );
        }
        if left.count > self.unrepaired {
            self.unrepaired = left.count;
            let message = left.message();
            self.context.warn(self.subject(), &message);
        }
        Ok(new)
    }
}

/// Answers that do not fit their schemas and cannot be repaired.
#[derive(Debug, Default)]
struct Unrepaired {
    count: u64,
    /// Reason for the first of them.
    reason: Option<String>,
    /// True if the answer to a request of the run is checked against a schema.
    has_schema: bool,
}

impl Unrepaired {
    fn note(&mut self, error: &RequestError) {
        self.count += 1;
        let reason = || error.message().unwrap_or_default().to_owned();
        self.reason.get_or_insert_with(reason);
    }

    fn message(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or_default();
        let answers = counted::counted(
            self.count,
            "answer that does not fit its schema is left as it is",
            "answers that do not fit their schemas are left as they are",
        );
        format!("{answers}: {reason}")
    }
}

/// Parts that are needed to continue conversations in new bodies.
struct Repair {
    provider: Arc<dyn BatchProvider>,
    limit: BatchLimit,
    nonce: Nonce,
    ids: IdRule,
    files: Arc<Files>,
    attempt: u32,
    /// Attempt for which the caller last chose requests. Requests that it did not choose stay as they are.
    asked: u32,
    /// Maximum number of repairs of a request.
    most: u32,
    /// Ordinals that may be repaired; `None` for all.
    chosen: Option<HashSet<u32>>,
    records: Vec<ShardRecord>,
    shards: Vec<PlannedShard>,
}

impl Repair {
    fn write(self, collected: &Collected) -> Result<(Vec<PlannedShard>, Unrepaired)> {
        let codec = self.provider.codec();
        let (files, next) = (&self.files, self.shards.len() as u32);
        let mut writer =
            ShardWriter::new(codec, self.limit, &self.nonce, files, next, &self.records);
        let mut bodies = Bodies::new(files, &self.shards);
        let mut answers = Answers::new(&self, collected);
        let mut merge = collected.merge().counting_repairs_from(self.asked);
        let (mut echo, mut row, mut left) = (Echo::default(), Vec::new(), Unrepaired::default());
        let mut sent_schemas = SentSchemas::default();
        while let Some(merged) = merge.next()? {
            merge.echo(&mut echo)?;
            left.has_schema |= schema(&echo).is_some();
            if !self.may_repair(&merged) {
                continue;
            }
            // The conversation is that of the answer: a later request of it may have failed.
            let Some((layer, _)) = merged.outcome_of else {
                continue;
            };
            let of = &self.shards[collected.layers.all[layer].shard as usize];
            let sent = bodies.read(of.number, &merged.outcome_row)?;
            let id = self.wire_id(merged.ordinal, &echo);
            let class = &of.shard.class;
            let continued = answers.continued(merged.outcome, &echo, |output, error| {
                let unsent =
                    schema(&echo).filter(|schema| sent_schemas.is_unsent(codec, class, schema));
                let message = message(error, unsent);
                let turns = FollowUp::new(output, &message);
                self.encode(class, &id, sent, &turns, &mut row)
            })?;
            match continued {
                None => {}
                Some(Ok(())) => writer.put(class, &row, merged.ordinal, echo.fields())?,
                Some(Err(error)) => left.note(&error),
            }
        }
        let written = writer.finish()?.into_iter();
        let shards = written.map(|one| {
            let planned = planned(codec, files, &self.nonce, one, self.attempt)?;
            Ok(PlannedShard {
                repair: true,
                ..planned
            })
        });
        Ok((shards.collect::<Result<_>>()?, left))
    }

    /// Returns whether a request has an answer, and has been repaired less often than allowed.
    fn may_repair(&self, merged: &Merged) -> bool {
        let is_chosen = |chosen: &HashSet<u32>| chosen.contains(&merged.ordinal);
        let attempt = self.shards.get(merged.shard as usize);
        let attempt = attempt.map_or(0, |planned| planned.attempt);
        // The caller's last requeue did not choose this request, unless it is chosen by this one.
        let is_asked = attempt >= self.asked || self.asked == self.attempt;
        merged.outcome.verdict() == Verdict::Succeeded as u8
            && merged.repairs < self.most
            && is_asked
            && self.chosen.as_ref().is_none_or(is_chosen)
    }

    fn wire_id(&self, ordinal: u32, echo: &Echo) -> WireId {
        match &self.ids {
            IdRule::Ordinal(nonce) | IdRule::Part { nonce, .. } => WireId::ordinal(nonce, ordinal),
            IdRule::Verbatim => WireId::verbatim(request_id(&echo.id).as_str()),
        }
    }

    /// Encodes a row again with the answer and what is wrong with it.
    fn encode(
        &self,
        class: &BatchClass,
        id: &WireId,
        sent: &[u8],
        turns: &FollowUp<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        if turns.text().trim().is_empty() {
            return Err(RequestError::invalid_input("the answer has no text"));
        }
        let codec = self.provider.codec();
        let (mut head, mut tail) = (Vec::new(), Vec::new());
        codec.head(class, id, &mut head);
        codec.tail(class, id, &mut tail);
        let body = sent.strip_prefix(&*head);
        let body = body.and_then(|rest| rest.strip_suffix(&*tail));
        let body = body.and_then(|body| std::str::from_utf8(body).ok());
        let body = body.ok_or_else(|| {
            RequestError::invalid_input("another version of lmbatch has encoded its request")
        })?;
        out.clear();
        out.append(&mut head);
        codec.follow_up(class, body, turns, out)?;
        out.append(&mut tail);
        let (bytes, limits) = (out.len() as u64, codec.limits(class));
        let frame = codec.frame(class, &self.shards[0].shard.label);
        let around = (frame.prefix.len() + frame.suffix.len()) as u64;
        let most = limits.max_bytes.saturating_sub(around);
        let most = most.min(limits.max_request_bytes);
        match bytes <= most {
            true => Ok(()),
            false => Err(RequestError::invalid_input(format!(
                "with its answer the request is {bytes} bytes; the provider accepts {most}"
            ))),
        }
    }
}

/// Reads and checks the answers of a run.
struct Answers<'a> {
    provider: &'a dyn BatchProvider,
    files: &'a Files,
    segments: Vec<(&'a Segment, Option<Arc<dyn SpoolFile>>)>,
    stored: StoredRows,
    rows: RowReader,
    checker: Checker,
}

impl<'a> Answers<'a> {
    fn new(repair: &'a Repair, collected: &'a Collected) -> Self {
        let segments = collected.segments.iter();
        Self {
            provider: &*repair.provider,
            files: &repair.files,
            segments: segments.map(|segment| (segment, None)).collect(),
            stored: StoredRows::default(),
            rows: RowReader::new(),
            checker: Checker::default(),
        }
    }

    /// Passes an answer that does not fit its schema to `work`; `None` for any other outcome.
    fn continued<T>(
        &mut self,
        location: RowLocation,
        echo: &Echo,
        work: impl FnOnce(&OutputView<'_>, &SchemaError) -> T,
    ) -> Result<Option<T>> {
        let Some(schema) = schema(echo) else {
            return Ok(None);
        };
        let segment = self.segments.get_mut(location.segment as usize);
        let (segment, open) = segment.ok_or_else(lost)?;
        let file = match open {
            Some(file) => file,
            None => open.insert(self.files.open_named(&segment.name)?),
        };
        let bytes = self.stored.get(file, location).map_err(spooled)?;
        let part: &ResultPart = &segment.part;
        let decoded = self
            .provider
            .codec()
            .decode(part, self.rows.read(bytes))
            .map(|row| row.outcome);
        let Ok(OutcomeView::Succeeded(output)) = decoded else {
            return Ok(None);
        };
        let structured = self.checker.check(&output, schema);
        let answer = AnswerView::Row {
            outcome: OutcomeView::Succeeded(output),
            structured,
        };
        let (Some(error), AnswerView::Row { outcome, .. }) = (answer.schema_error(), &answer)
        else {
            return Ok(None);
        };
        Ok(match outcome {
            OutcomeView::Succeeded(output) => Some(work(output, error)),
            _ => None,
        })
    }
}

fn schema(echo: &Echo) -> Option<&str> {
    let schema = std::str::from_utf8(&echo.schema).ok();
    schema.filter(|schema| !schema.is_empty())
}

fn lost() -> Error {
    Error::new(ErrorKind::Internal)
        .with_message("the spool does not hold the data that was written to it")
}
