//! Planning, and recording a plan as a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use lmbatch_core::{Nonce, RequestSource, Result, RunRecord, ShardRecord};

use crate::blocking::blocking;
use crate::context::Context;
use crate::event::Event;
use crate::plan::error::PlanError;
use crate::plan::ids::{IdChoice, check_run_name};
use crate::plan::planned_request::Visit;
use crate::plan::{Plan, Planner};
use crate::policy::RunOptions;
use crate::results::finished::RunResults;

impl Context {
    pub(crate) async fn plan(&self, source: Box<dyn RequestSource>) -> Result<Plan, PlanError> {
        self.plan_with(source, IdChoice::Ordinal).await
    }

    /// Plans as [`plan`](Self::plan) does, and passes each request to `visit`.
    pub(crate) async fn plan_each(
        &self,
        source: Box<dyn RequestSource>,
        visit: Visit,
    ) -> Result<Plan, PlanError> {
        let nonce = Nonce::draw(&*self.rng);
        self.plan_visited(source, IdChoice::Ordinal, nonce, Some(visit))
            .await
    }

    pub(crate) async fn plan_with_nonce(
        &self,
        source: Box<dyn RequestSource>,
        nonce: Nonce,
    ) -> Result<Plan, PlanError> {
        self.plan_under(source, IdChoice::Ordinal, nonce).await
    }

    pub(crate) async fn plan_with(
        &self,
        source: Box<dyn RequestSource>,
        ids: IdChoice,
    ) -> Result<Plan, PlanError> {
        self.plan_under(source, ids, Nonce::draw(&*self.rng)).await
    }

    pub(crate) async fn plan_under(
        &self,
        source: Box<dyn RequestSource>,
        ids: IdChoice,
        nonce: Nonce,
    ) -> Result<Plan, PlanError> {
        self.plan_visited(source, ids, nonce, None).await
    }

    async fn plan_visited(
        &self,
        source: Box<dyn RequestSource>,
        ids: IdChoice,
        nonce: Nonce,
        visit: Option<Visit>,
    ) -> Result<Plan, PlanError> {
        self.batch_limit.check()?;
        // The claim is taken before the first file is in the spool, since files without a run are
        // deleted.
        let claim = match self.durable {
            true => Some(self.holding(&self.id_of_nonce(&nonce).await?).await?),
            false => None,
        };
        let planner = Planner {
            account: self.account(),
            claim,
            provider: Arc::clone(&self.provider),
            spool: self.spool()?,
            nonce,
            ids,
            limit: self.batch_limit,
            visit,
        };
        let (plan, warning) = blocking(move || planner.plan(source)).await??;
        if let Some(message) = &warning {
            self.report(&Event::Warning { message });
        }
        self.report(&Event::Planned {
            requests: plan.requests(),
            bytes: plan.bytes(),
        });
        if !plan.schema_notes().is_empty() {
            self.report(&Event::SchemaChanged {
                notes: plan.schema_notes(),
            });
        }
        Ok(plan)
    }

    pub(crate) async fn begin(
        &self,
        plan: &Plan,
        name: Option<&str>,
        notes: BTreeMap<Box<str>, Box<str>>,
    ) -> Result<RunRecord> {
        self.check_bounds(&plan.files, &plan.tables, plan.shards.clone())
            .await?;
        if let Some(name) = name {
            check_run_name(name)?;
        }
        let run = RunRecord {
            name: name.map(Into::into),
            ..plan.record(&*self.clock)
        };
        let shards = plan.shards.iter().map(|planned| planned.record(&run.id));
        let shards: Vec<ShardRecord> = shards.collect();
        self.begin_with(plan, run, notes, &shards).await
    }

    /// Records a plan as a run, with shards that may be past their first state.
    pub(crate) async fn begin_with(
        &self,
        plan: &Plan,
        run: RunRecord,
        notes: BTreeMap<Box<str>, Box<str>>,
        shards: &[ShardRecord],
    ) -> Result<RunRecord> {
        let run = RunRecord { notes, ..run };
        // Files without a record are deleted; files of a recorded run are kept. A failed call may
        // have made the record nevertheless.
        plan.files.keep(self.durable);
        if let Err(error) = self.ledger.begin(&run, shards).await {
            let noted = self.ledger.shards(&run.id).await;
            plan.files
                .keep(self.durable && noted.is_ok_and(|noted| !noted.is_empty()));
            return Err(error);
        }
        Ok(run)
    }

    pub(crate) async fn run(&self, plan: Plan, options: RunOptions) -> Result<RunResults> {
        let run = self.begin(&plan, None, BTreeMap::new()).await?;
        self.drive(run, plan, options).await
    }

    pub(crate) async fn start(
        &self,
        run: RunRecord,
        plan: Plan,
        options: RunOptions,
    ) -> Result<RunResults> {
        self.drive(run, plan, options).await
    }
}
