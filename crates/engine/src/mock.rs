//! Provider of unit tests that count calls and check their order. Every call that a test does not expect fails it.

use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, Intent, ListOptions,
    Page, Result, ResultPart, ResultSet, RowStream, Shard,
};

mockall::mock! {
    /// Provider without a network and without a state.
    #[derive(Debug)]
    pub(crate) Provider {
        pub(crate) fn codec(&self) -> &'static dyn BatchCodec;
        pub(crate) fn account(&self) -> AccountId;
        pub(crate) fn probe(&self, model: &str) -> Result<()>;
        pub(crate) fn create(&self, label: &str) -> Result<BatchId>;
        pub(crate) fn status(&self, batch: &BatchId) -> Result<BatchSnapshot>;
        pub(crate) fn results(&self, batch: &BatchId) -> Result<ResultSet>;
        pub(crate) fn read(&self, from: u64) -> Result<RowStream>;
        pub(crate) fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>>;
        pub(crate) fn cancel(&self, batch: &BatchId) -> Result<()>;
    }
}

// Written by hand, since mockall cannot name the lifetimes of some arguments of the trait.
#[async_trait::async_trait]
impl BatchProvider for MockProvider {
    fn codec(&self) -> &dyn BatchCodec {
        self.codec()
    }
    fn account(&self) -> AccountId {
        self.account()
    }
    async fn probe(&self, model: &str) -> Result<()> {
        self.probe(model)
    }
    async fn create(&self, _: &Shard, intent: &Intent) -> Result<BatchId> {
        self.create(intent.label.as_str())
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.status(batch)
    }
    async fn results(&self, _: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.results(batch)
    }
    async fn read(&self, _: &ResultPart, from: u64) -> Result<RowStream> {
        self.read(from)
    }
    async fn list(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        self.list(options)
    }
    async fn cancel(&self, batch: &BatchId) -> Result<()> {
        self.cancel(batch)
    }
}
