//! Calls about pilots: the plans of first requests, and the largest cost of the others.

use lmbatch_core::{Cost, Nonce, Result};

use crate::engine::Engine;
use crate::plan::Plan;

impl Engine {
    /// Returns the plan of a pilot: the first `requests` requests of `plan`, copied on this machine. Nothing is sent.
    ///
    /// The pilot is begun and driven like any plan; its run holds these requests only, and says so in
    /// [`RunRecord::pilot_of`](lmbatch_core::RunRecord::pilot_of). An [`update`](Self::update) of that run with `plan`
    /// adds the other requests; what the pilot has answered is not sent again. A process that ends between the two loses
    /// nothing: the update needs only the recorded run and an equal plan, for which [`same_run`](Self::same_run) finds
    /// the run. Needs a [record](Self::with_record) that outlives the pilot's plan.
    ///
    /// ```no_run
    /// # use lmbatch_core::{Error, RequestSource, Result};
    /// # use lmbatch_engine as lmbatch;
    /// use lmbatch::{Engine, RunOptions, RunResults};
    ///
    /// # fn is_good(_: &RunResults) -> bool { true }
    /// # async fn example(engine: &Engine, source: Box<dyn RequestSource>) -> Result<()> {
    /// let plan = engine.plan(source).await.map_err(Error::from)?;
    /// let pilot = engine.pilot(&plan, 100).await?;
    /// let run = engine.begin(&pilot, Some("nightly"), Default::default()).await?;
    /// let answered = engine.start(run.clone(), pilot, RunOptions::default()).await?;
    /// if is_good(&answered) {
    ///     let (run, changes) = engine.update(&run, &plan).await?;
    ///     assert_eq!(changes.unchanged, 100);
    ///     engine.resume(&run, RunOptions::default()).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput) where `requests` is 0 or not less than the
    /// number of requests of `plan`, and where the cost of a request of `plan`, also of one that the pilot leaves out,
    /// has no bound under a [cost limit](Self::with_cost_limit); [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local)
    /// where the spool cannot be read or written.
    pub async fn pilot(&self, plan: &Plan, requests: u32) -> Result<Plan> {
        self.ready()?.pilot(plan, requests).await
    }

    /// Returns the plan of a [pilot](Self::pilot) under the nonce of an earlier one, to [adopt](Self::adopt) its batches.
    /// The same input gives the same plan again. `plan` must have another nonce.
    ///
    /// ```no_run
    /// # use lmbatch_core::{Error, Nonce, RequestSource, Result};
    /// # use lmbatch_engine as lmbatch;
    /// # async fn example(engine: &lmbatch::Engine, source: Box<dyn RequestSource>, nonce: Nonce) -> Result<()> {
    /// let plan = engine.plan(source).await.map_err(Error::from)?;
    /// let pilot = engine.pilot_with_nonce(&plan, 100, nonce).await?;
    /// let (run, adopted) = engine.adopt(&pilot, Default::default(), false).await?;
    /// assert_eq!((run.requests, adopted), (100, 1));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`pilot`](Self::pilot), and [`ErrorKind::Conflict`](lmbatch_core::ErrorKind::Conflict) where another
    /// process holds the run of the nonce.
    pub async fn pilot_with_nonce(&self, plan: &Plan, requests: u32, nonce: Nonce) -> Result<Plan> {
        self.ready()?.pilot_under(plan, requests, nonce).await
    }

    /// Returns the largest cost of the requests of `plan` after the first `skipped`, which a run of them reserves before
    /// their batches are created; `None` without a [cost limit](Self::with_cost_limit). Reads the plan, and sends
    /// nothing.
    ///
    /// ```no_run
    /// # use lmbatch_engine as lmbatch;
    /// # async fn example(engine: &lmbatch::Engine, plan: &lmbatch::Plan) -> lmbatch_core::Result<()> {
    /// if let Some(cost) = engine.largest_cost(plan, 100).await? {
    ///     println!("at most {cost} for all requests but the first 100");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](lmbatch_core::ErrorKind::InvalidInput), naming the first request whose cost has no
    /// bound; [`ErrorKind::Local`](lmbatch_core::ErrorKind::Local) where the spool cannot be read.
    pub async fn largest_cost(&self, plan: &Plan, skipped: u32) -> Result<Option<Cost>> {
        self.ready()?.largest_cost(plan, skipped).await
    }
}
