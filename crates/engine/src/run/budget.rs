//! Budget of a run: what its shards have cost or may cost, against the cost limit. Each create is
//! reserved in the same transaction that records it as posted, and that transaction also changes
//! the record of the run: of two processes that reserve at the same time, one is refused and reads
//! the record again.

use std::collections::BTreeMap;
use std::sync::Arc;

use lmbatch_core::{
    Change, Closed, Cost, Error, ErrorKind, Intent, Result, RunRecord, ShardCost, ShardRecord,
    ShardState,
};
use tokio::sync::Mutex;

use crate::blocking::blocking;
use crate::context::Context;
use crate::cost::{CostLimit, Pricer};
use crate::plan::Plan;
use crate::plan::largest::{EachLargest, Largest};
use crate::plan::planned::PlannedShard;
use crate::results::id_map::IdMap;
use crate::results::settle::EndedBatch;
use crate::run::compare::{Changes, compare, known_requests};
use crate::spool::Files;

/// Budget of a run that is being driven.
pub(crate) struct Budget {
    limit: CostLimit,
    pricer: Pricer,
    /// Costs according to the record; `None` until it is read.
    view: Mutex<Option<View>>,
}

/// Costs of a run, as of an epoch of its record. Every transition that adds a cost changes that
/// epoch.
struct View {
    run: RunRecord,
    costs: BTreeMap<u32, Cost>,
}

/// Result of a reservation.
pub(crate) enum Reserved {
    /// The shard is recorded as posted, with its reservation.
    Posted(Box<ShardRecord>),
    /// The reservation does not fit, and nothing is recorded.
    NoRoom(Error),
    /// The run was cancelled, and nothing is recorded.
    Cancelled,
}

/// Files and codec with which the costs of shards are computed.
#[derive(Clone)]
pub(crate) struct Source {
    context: Context,
    limit: CostLimit,
    pricer: Pricer,
    files: Arc<Files>,
    tables: Arc<Files>,
}

impl Source {
    fn largest(&self) -> Largest<'_> {
        Largest {
            codec: self.context.provider.codec(),
            pricer: &self.pricer,
            expected_output: self.limit.expected_output,
            now: self.context.clock.now(),
            files: &self.files,
            tables: &self.tables,
        }
    }

    /// Returns the largest cost of a shard.
    fn bound(&self, planned: &PlannedShard) -> Result<Cost> {
        self.largest().cost(planned, |_, _| true)
    }

    /// Returns the cost of a sealed shard by the usage of its answers.
    fn settle(
        &self,
        plan_ids: &lmbatch_core::IdRule,
        planned: &PlannedShard,
        state: &ShardState,
    ) -> Result<Cost> {
        let ShardState::Sealed {
            snapshot,
            segments,
            undelivered,
            ..
        } = state
        else {
            return self.bound(planned);
        };
        let ended = EndedBatch {
            planned,
            snapshot,
            segments,
            undelivered: *undelivered,
            id_map: IdMap::of_shard(plan_ids, planned, &self.tables)?,
            max_row_bytes: self.context.max_row_bytes,
        };
        ended.settle(&self.largest())
    }
}

impl Context {
    /// Returns the budget of a run; `None` without a cost limit.
    pub(crate) fn budget(&self) -> Option<Budget> {
        let (limit, pricer) = self.cost_limit()?;
        Some(Budget {
            limit,
            pricer,
            view: Mutex::new(None),
        })
    }

    fn cost_limit(&self) -> Option<(CostLimit, Pricer)> {
        self.cost_limit.zip(self.pricer())
    }

    /// Checks that the cost of shards that are not created yet has a bound, before anything is
    /// sent.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`], naming the first request without a bound.
    pub(crate) async fn check_bounds(
        &self,
        files: &Arc<Files>,
        tables: &Arc<Files>,
        shards: Vec<PlannedShard>,
    ) -> Result<()> {
        let Some((limit, pricer)) = self.cost_limit() else {
            return Ok(());
        };
        let source = Source {
            context: self.clone(),
            limit,
            pricer,
            files: Arc::clone(files),
            tables: Arc::clone(tables),
        };
        let checked = move || {
            for planned in &shards {
                source.bound(planned)?;
            }
            Ok(())
        };
        let checked: Result<()> = blocking(checked).await?;
        checked.map_err(unsent)
    }

    /// Returns what each shard of a run has cost or may cost, by its number from 0, as a create counts it.
    pub(crate) async fn spent(&self, run: &RunRecord) -> Result<BTreeMap<u32, Cost>> {
        let budget = self
            .budget()
            .ok_or_else(|| Error::invalid_input("the engine has no cost limit"))?;
        let (run, plan) = self.restored(run).await?;
        Ok(budget.read(self, &plan, &run.id).await?.costs)
    }

    /// Compares a plan with a run as an update does, and checks that what the update would send has a bound.
    pub(crate) async fn check_update(&self, run: &RunRecord, plan: &Plan) -> Result<Changes> {
        let job = self.job(run).await?;
        let known = known_requests(&job.plan)?;
        let limit = self.cost_limit();
        let limit = limit.as_ref().map(|(limit, pricer)| EachLargest {
            codec: self.provider.codec(),
            pricer,
            expected_output: limit.expected_output,
            now: self.clock.now(),
        });
        let mut number = 0;
        compare(plan, &known, |request| {
            number += 1;
            match (&limit, request.unchanged) {
                (Some(limit), None) => {
                    let cost = limit.cost(request.class, request.row, number);
                    cost.map(drop).map_err(unsent)
                }
                _ => Ok(()),
            }
        })
    }
}

impl Context {
    /// Returns the largest cost of the requests of a new plan after the first `skipped`; `None` without a cost limit.
    pub(crate) async fn largest_cost(&self, plan: &Plan, skipped: u32) -> Result<Option<Cost>> {
        let Some((limit, pricer)) = self.cost_limit() else {
            return Ok(None);
        };
        let source = Source {
            context: self.clone(),
            limit,
            pricer,
            files: Arc::clone(&plan.files),
            tables: Arc::clone(&plan.tables),
        };
        let shards = plan.shards.clone();
        let sum = move || {
            let largest = source.largest();
            let costs = shards.iter();
            let costs = costs.map(|planned| largest.cost(planned, |_, ordinal| ordinal >= skipped));
            costs.sum::<Result<Cost>>()
        };
        blocking(sum).await?.map(Some)
    }
}

/// Adds to the error of a request without a bound that nothing was sent.
fn unsent(error: Error) -> Error {
    match error.kind() {
        ErrorKind::InvalidInput => {
            let message = error.message().unwrap_or_default();
            Error::invalid_input(format!("{message}; nothing was sent"))
        }
        _ => error,
    }
}

impl Budget {
    fn source(&self, context: &Context, plan: &Plan) -> Source {
        Source {
            context: context.clone(),
            limit: self.limit,
            pricer: self.pricer.clone(),
            files: Arc::clone(&plan.files),
            tables: Arc::clone(&plan.tables),
        }
    }

    /// Records that the create of a shard is about to be sent, together with its largest cost, if
    /// that fits into the limit. Creates of a run are decided one at a time.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] where the cost has no bound; [`ErrorKind::Conflict`] where
    /// another process has advanced the shard.
    pub(crate) async fn post(
        &self,
        context: &Context,
        plan: &Plan,
        planned: &PlannedShard,
        record: &ShardRecord,
        intent: &Intent,
    ) -> Result<Reserved> {
        let (source, of) = (self.source(context, plan), planned.clone());
        let bound = blocking(move || source.bound(&of)).await??;
        let doubts = match &record.cost {
            Some(cost) => cost.doubts.clone(),
            // The earlier create was sent before the run had a limit.
            None if record.sent_twice => vec![bound],
            None => Vec::new(),
        };
        let mut posted = record.clone().advanced(ShardState::Posting(intent.clone()));
        posted.cost = Some(ShardCost {
            reserved: bound,
            doubts,
            settled: None,
            prices_as_of: self.pricer.as_of().into(),
        });
        let own = posted.cost.as_ref().map_or(bound, ShardCost::upper_bound);
        let mut view = self.view.lock().await;
        loop {
            let known = match view.take() {
                Some(known) => view.insert(known),
                None => view.insert(self.read(context, plan, &record.key.run).await?),
            };
            if known.run.cancelled {
                return Ok(Reserved::Cancelled);
            }
            let others = known.costs.iter();
            let others = others.filter(|(shard, _)| **shard != record.key.shard);
            let spent: Cost = others.map(|(_, cost)| *cost).sum();
            if spent.saturating_add(own) > self.limit.max {
                let spent = spent.saturating_add(own.saturating_sub(bound));
                return Ok(Reserved::NoRoom(self.no_room(bound, spent, intent)));
            }
            let change = Change {
                shards: std::slice::from_ref(&posted),
                run: Some(&known.run),
                new_shards: &[],
            };
            let error = match context.ledger.apply(&change).await {
                Ok(()) => {
                    known.run.epoch += 1;
                    known.costs.insert(record.key.shard, own);
                    posted.epoch += 1;
                    return Ok(Reserved::Posted(Box::new(posted)));
                }
                Err(error) => error,
            };
            let epoch = known.run.epoch;
            *view = None;
            if error.kind() != ErrorKind::Conflict {
                return Err(error);
            }
            let read = self.read(context, plan, &record.key.run).await?;
            if read.run.epoch == epoch {
                // The conflict is about the shard.
                return Err(error);
            }
            *view = Some(read);
        }
    }

    fn no_room(&self, bound: Cost, spent: Cost, intent: &Intent) -> Error {
        Error::new(ErrorKind::CostLimit)
            .with_operation("create the batch")
            .with_label(intent.label.clone())
            .with_message(format!(
                "the next batch may cost up to {}, and {} of the limit of {} is spent or reserved; it was not created",
                bound.rounded(),
                spent.rounded(),
                self.limit.max
            ))
    }

    /// Takes over the cost of a shard after a step.
    pub(crate) async fn note(&self, record: &ShardRecord) {
        let mut view = self.view.lock().await;
        if let Some(known) = &mut *view {
            match recorded(record) {
                Some(cost) => drop(known.costs.insert(record.key.shard, cost)),
                // The cost must be computed again, from the files of the shard.
                None => *view = None,
            }
        }
    }

    /// Returns the cost of a shard whose results are complete, to be recorded with them. `None`
    /// where a request without known usage has no bound: outcomes are kept nevertheless, and the
    /// next create reports the error.
    pub(crate) async fn settled(
        &self,
        context: &Context,
        plan: &Plan,
        planned: &PlannedShard,
        sealed: &ShardRecord,
    ) -> Option<ShardCost> {
        let (source, ids) = (self.source(context, plan), plan.ids.clone());
        let (of, record) = (planned.clone(), sealed.clone());
        let settled = blocking(move || {
            let settled = source.settle(&ids, &of, &record.state)?;
            let cost = match record.cost {
                Some(cost) => cost,
                None => ShardCost {
                    reserved: Cost::ZERO,
                    doubts: match record.sent_twice {
                        true => vec![source.bound(&of)?],
                        false => Vec::new(),
                    },
                    settled: None,
                    prices_as_of: source.pricer.as_of().into(),
                },
            };
            Ok::<_, Error>(ShardCost {
                settled: Some(settled),
                ..cost
            })
        });
        settled.await.ok()?.ok()
    }

    /// Reads the costs of a run from its record. Those of shards that were created without a limit
    /// are computed from their files.
    async fn read(&self, context: &Context, plan: &Plan, run: &str) -> Result<View> {
        let read = context.ledger.run(run).await?;
        let read =
            read.ok_or_else(|| Error::invalid_input(format!("the ledger has no run {run}")))?;
        let shards = context.ledger.shards(run).await?;
        let (source, ids) = (self.source(context, plan), plan.ids.clone());
        let planned = plan.shards.clone();
        let costs = blocking(move || {
            let mut costs = BTreeMap::new();
            for record in &shards {
                let number = record.key.shard;
                let cost = match recorded(record) {
                    Some(cost) => cost,
                    None => {
                        let of = planned.get(number as usize).ok_or_else(|| {
                            Error::new(ErrorKind::Conflict)
                                .with_message(format!("another process has added {}", record.key))
                        })?;
                        computed(&source, &ids, of, record)?
                    }
                };
                costs.insert(number, cost);
            }
            Ok::<_, Error>(costs)
        });
        Ok(View {
            run: read,
            costs: costs.await??,
        })
    }
}

/// Returns the cost of a shard according to its record; `None` where a batch may exist that was
/// created without a reservation.
fn recorded(record: &ShardRecord) -> Option<Cost> {
    let is_open = match &record.state {
        ShardState::Planned
        | ShardState::Staged(_)
        | ShardState::Refused
        | ShardState::Closed(Closed::Cancelled) => false,
        ShardState::Sealed { .. } => {
            return record
                .cost
                .as_ref()
                .filter(|cost| cost.settled.is_some())
                .map(ShardCost::upper_bound);
        }
        _ => true,
    };
    match &record.cost {
        Some(cost) if !is_open || cost.reserved > Cost::ZERO => Some(cost.upper_bound()),
        None if !is_open && !record.sent_twice => Some(Cost::ZERO),
        _ => None,
    }
}

/// Returns the cost of a shard from its files.
fn computed(
    source: &Source,
    ids: &lmbatch_core::IdRule,
    planned: &PlannedShard,
    record: &ShardRecord,
) -> Result<Cost> {
    let latest = match &record.state {
        ShardState::Planned | ShardState::Staged(_) | ShardState::Refused => Cost::ZERO,
        state => source.settle(ids, planned, state)?,
    };
    let doubted = match &record.cost {
        Some(cost) => cost.in_doubt(),
        None if record.sent_twice => source.bound(planned)?,
        None => Cost::ZERO,
    };
    Ok(latest.saturating_add(doubted))
}
