//! Pilot: the first requests of a plan as a plan of their own, from which a run begins that an update completes.

use std::collections::BTreeMap;
use std::sync::Arc;

use lmbatch_core::{BatchProvider, Error, IdRule, Nonce, Result, WireId};

use crate::blocking::blocking;
use crate::context::Context;
use crate::plan::Plan;
use crate::plan::handles::RunHandles;
use crate::plan::planned::{PlannedShard, planned};
use crate::plan::rows::Bodies;
use crate::plan::shards::ShardWriter;
use crate::policy::BatchLimit;
use crate::results::merge::{Layer, Layers, Merge};
use crate::run::update::rename;
use crate::spool::Files;
use crate::spool::tables::Echo;

impl Context {
    /// Returns the plan of the first requests of `plan`, copied within the spool. The plan has the digest of all
    /// requests, so that a later call with all of them finds the run.
    pub(crate) async fn pilot(&self, plan: &Plan, requests: u32) -> Result<Plan> {
        self.pilot_under(plan, requests, Nonce::draw(&*self.rng))
            .await
    }

    /// Returns the plan of a pilot as [`pilot`](Self::pilot) does, under the nonce of an earlier pilot.
    pub(crate) async fn pilot_under(
        &self,
        plan: &Plan,
        requests: u32,
        nonce: Nonce,
    ) -> Result<Plan> {
        let of = plan.requests;
        if requests == 0 || requests >= of {
            return Err(Error::invalid_input(format!(
                "a pilot has at least 1 request and fewer than the {of} of its plan, not {requests}; nothing was sent"
            )));
        }
        let IdRule::Ordinal(from) = &plan.ids else {
            return Err(Error::invalid_input(
                "the plan uses the caller's ids on the wire, so that no other requests can follow a pilot; nothing was sent",
            ));
        };
        // A request that cannot be bounded is reported before the pilot is paid for.
        self.check_bounds(&plan.files, &plan.tables, plan.shards.clone())
            .await?;
        // As for any plan, the claim precedes the first file.
        let claim = match self.durable {
            true => Some(self.holding(&self.id_of_nonce(&nonce).await?).await?),
            false => None,
        };
        let files = Arc::new(Files::new(self.spool()?, nonce.as_str(), false));
        let prefix = Prefix {
            provider: Arc::clone(&self.provider),
            limit: self.batch_limit,
            source: Arc::clone(&plan.files),
            tables: Arc::clone(&plan.tables),
            shards: plan.shards.clone(),
            from: from.clone(),
            to: nonce.clone(),
            requests,
        };
        let to = Arc::clone(&files);
        let shards = blocking(move || prefix.write(&to)).await??;
        let ids = IdRule::Ordinal(nonce.clone());
        Ok(Plan {
            shards,
            requests,
            pilot_of: Some(of),
            digest: plan.digest.clone(),
            handles: RunHandles::new(
                Arc::clone(&files),
                Arc::clone(&files),
                plan.provider.clone(),
                (plan.account.clone(), plan.key_hint.clone()),
                ids.clone(),
            ),
            ids,
            nonce,
            tables: Arc::clone(&files),
            files,
            provider: plan.provider.clone(),
            account: plan.account.clone(),
            key_hint: plan.key_hint.clone(),
            order: None,
            checksums: BTreeMap::new(),
            claim,
            schema_notes: plan.schema_notes.clone(),
            has_schema: plan.has_schema,
        })
    }
}

/// Parts that are needed to copy the first requests of a plan.
struct Prefix {
    provider: Arc<dyn BatchProvider>,
    limit: BatchLimit,
    source: Arc<Files>,
    tables: Arc<Files>,
    shards: Vec<PlannedShard>,
    /// Nonce of the plan, in the ids on the wire.
    from: Nonce,
    /// Nonce of the pilot.
    to: Nonce,
    requests: u32,
}

impl Prefix {
    /// Writes the shards of the pilot. Reads files: not for an async thread.
    fn write(&self, files: &Files) -> Result<Vec<PlannedShard>> {
        let codec = self.provider.codec();
        let others = std::iter::empty();
        let mut writer = ShardWriter::new(codec, self.limit, &self.to, files, 0, others);
        let mut bodies = Bodies::new(&self.source, &self.shards);
        let mut merge = Merge::new(Arc::new(Layers {
            files: Arc::clone(&self.source),
            tables: Arc::clone(&self.tables),
            all: self.shards.iter().map(Layer::of).collect(),
        }));
        let (mut echo, mut row) = (Echo::default(), Vec::new());
        for _ in 0..self.requests {
            let Some(merged) = merge.next()? else {
                break;
            };
            merge.echo(&mut echo)?;
            let class = &self.shards[merged.shard as usize].shard.class;
            row.clear();
            row.extend_from_slice(bodies.read(merged.shard, &merged.row)?);
            let [from, to] = [&self.from, &self.to].map(|of| WireId::ordinal(of, merged.ordinal));
            rename(&mut row, &from, &to);
            writer.put(class, &row, merged.ordinal, echo.fields())?;
        }
        let written = writer.finish()?.into_iter();
        let planned = written.map(|one| planned(codec, files, &self.to, one, 0));
        planned.collect()
    }
}
