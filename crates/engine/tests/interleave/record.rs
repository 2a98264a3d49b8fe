//! The record that the drivers share, and the requests of the run.

use std::borrow::Cow;

use async_trait::async_trait;
use lmbatch_core::{
    ContentView, GenerateView, Hyperparameters, Ledger, MessageView, RequestView, Result, Role,
    RunClaim, RunRecord, ShardKey, ShardRecord, ShardState, Text,
};
use lmbatch_engine::{Entry, IdView, MemoryLedger, RequestSource, Sourced};

use crate::kinds::Broken;

/// The record of all drivers.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) inner: MemoryLedger,
    pub(crate) broken: Option<Broken>,
}

// A method with a default would not reach the ledger in memory.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Ledger for Record {
    async fn begin(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<()> {
        self.inner.begin(run, shards).await
    }
    async fn change(&self, run: &RunRecord, shards: &[ShardRecord]) -> Result<u64> {
        self.inner.change(run, shards).await
    }
    async fn run(&self, id: &str) -> Result<Option<RunRecord>> {
        self.inner.run(id).await
    }
    async fn runs(&self) -> Result<Vec<RunRecord>> {
        self.inner.runs().await
    }
    async fn shards(&self, run: &str) -> Result<Vec<ShardRecord>> {
        self.inner.shards(run).await
    }
    async fn forget(&self, run: &str) -> Result<()> {
        self.inner.forget(run).await
    }
    async fn advance(&self, key: &ShardKey, epoch: u64, state: ShardState) -> Result<u64> {
        let (mut epoch, mut state) = (epoch, state);
        if self.broken == Some(Broken::EpochIgnored) {
            let shards = self.inner.shards(&key.run).await?;
            let own = shards.iter().find(|shard| shard.key == *key);
            epoch = own.map_or(epoch, |shard| shard.epoch);
        }
        if self.broken == Some(Broken::PostingNotRecorded)
            && let ShardState::Posting(intent) = state
        {
            state = ShardState::Staged(intent.staged);
        }
        self.inner.advance(key, epoch, state).await
    }
    async fn claim(&self, run: &str) -> Result<RunClaim> {
        self.inner.claim(run).await
    }
    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}

/// Requests with the ids `id/1`, `id/2`, …
pub(crate) struct Source {
    pub(crate) next: usize,
    pub(crate) requests: usize,
}

impl RequestSource for Source {
    fn next(&mut self, visit: &mut dyn FnMut(Sourced<'_>)) -> Result<bool> {
        if self.next == self.requests {
            return Ok(false);
        }
        self.next += 1;
        let (id, words) = (format!("id/{}", self.next), format!("words {}", self.next));
        let contents = vec![ContentView::Text(Text::Plain(&words))];
        let view = GenerateView {
            model: "m".into(),
            system: None,
            messages: vec![MessageView {
                role: Role::User,
                contents,
            }],
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::Owned(Hyperparameters::default()),
        };
        let entry = Entry {
            id: IdView::Text(Text::Plain(&id)),
            request: RequestView::Generate(view),
            metadata: None,
            schema: None,
            folder: None,
        };
        visit(Sourced {
            place: self.next as u64,
            entry: Ok(entry),
        });
        Ok(true)
    }
}
