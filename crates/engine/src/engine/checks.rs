//! Checks that need no key: of repairs, of largest costs, and of what a run has cost.

use std::collections::BTreeMap;

use lmbatch_core::{Cost, Result, RunRecord};

use super::Engine;
use crate::plan::Plan;
use crate::run::compare::Changes;

impl Engine {
    /// Checks that answers to the requests of a plan can be sent back to be corrected, before the plan is recorded.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where no request of the plan has a schema,
    /// so that no answer would ever be sent back; [`ErrorKind::Unsupported`](lmbatch_core::ErrorKind::Unsupported) where the provider's adapter cannot continue a
    /// conversation.
    pub fn check_repairs(&self, plan: &Plan) -> Result<()> {
        self.context.check_repairs(plan)
    }

    /// Checks that each request of a plan has a largest cost, as [`begin`](Self::begin) does under a
    /// [cost limit](Self::with_cost_limit). Records nothing and sends nothing; needs no key.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput), naming the first request without a bound or
    /// without a price; [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the spool cannot be read.
    ///
    /// ```
    /// # use lmbatch_core::Result;
    /// # use lmbatch_engine as lmbatch;
    /// use lmbatch::{Engine, Plan};
    ///
    /// async fn is_bounded(engine: &Engine, plan: &Plan) -> bool {
    ///     engine.check_costs(plan).await.is_ok()
    /// }
    /// ```
    pub async fn check_costs(&self, plan: &Plan) -> Result<()> {
        let shards = plan.shards.clone();
        let context = self.ready()?;
        context
            .check_bounds(&plan.files, &plan.tables, shards)
            .await
    }

    /// Checks that each request of a recorded run that is in no batch yet has a largest cost, as
    /// [`resume`](Self::resume) does under a [cost limit](Self::with_cost_limit). Changes nothing and sends nothing;
    /// needs no key.
    ///
    /// # Errors
    /// Those of [`check_costs`](Self::check_costs).
    ///
    /// ```
    /// # use lmbatch_core::{Result, RunRecord};
    /// # use lmbatch_engine as lmbatch;
    /// use lmbatch::Engine;
    ///
    /// async fn is_bounded(engine: &Engine, run: &RunRecord) -> bool {
    ///     engine.check_resume(run).await.is_ok()
    /// }
    /// ```
    pub async fn check_resume(&self, run: &RunRecord) -> Result<()> {
        let context = self.ready()?;
        let (run, plan) = context.restored(run).await?;
        context.check_open(&run, &plan).await
    }

    /// Compares the requests of `plan` with those of a run as [`changes`](Self::changes) does, and checks that each
    /// request that an [update](Self::update) would send has a largest cost, under a
    /// [cost limit](Self::with_cost_limit). Changes nothing and sends nothing; needs no key.
    ///
    /// # Errors
    /// Those of [`changes`](Self::changes) and of [`check_costs`](Self::check_costs).
    ///
    /// ```
    /// # use lmbatch_core::{Result, RunRecord};
    /// # use lmbatch_engine as lmbatch;
    /// use lmbatch::{Engine, Plan};
    ///
    /// async fn to_send(engine: &Engine, run: &RunRecord, plan: &Plan) -> Result<u64> {
    ///     let changes = engine.check_update(run, plan).await?;
    ///     Ok(changes.changed + changes.new)
    /// }
    /// ```
    pub async fn check_update(&self, run: &RunRecord, plan: &Plan) -> Result<Changes> {
        self.ready()?.check_update(run, plan).await
    }

    /// Returns what each batch of a run counts against the [cost limit](Self::with_cost_limit), in US dollars by its
    /// number from 0: the cost of its answers, or the reserved cost until its results are fetched. A batch that was
    /// created before the run had a limit counts by the cost of its answers, or by its largest cost. Their sum is the
    /// amount that the error of a refused create names.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where the engine has no cost limit, and where
    /// a batch that was created without a limit has a request without a bound;
    /// [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the record or the spool cannot be read.
    ///
    /// ```
    /// # use lmbatch_core::{Cost, Result, RunRecord};
    /// # use lmbatch_engine as lmbatch;
    /// use lmbatch::Engine;
    ///
    /// async fn spent(engine: &Engine, run: &RunRecord) -> Result<Cost> {
    ///     Ok(engine.costs_against_limit(run).await?.into_values().sum())
    /// }
    /// ```
    pub async fn costs_against_limit(&self, run: &RunRecord) -> Result<BTreeMap<u32, Cost>> {
        self.ready()?.spent(run).await
    }
}
