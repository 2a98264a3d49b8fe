//! An adapter that declares smaller limits than it has, so that they can be reached.

use std::sync::Arc;

use async_trait::async_trait;
use lmbatch_core::{
    AccountId, BatchClass, BatchCodec, BatchId, BatchProvider, BatchSnapshot, Capabilities, Frame,
    Intent, JsonView, Label, Limits, OpenedRow, OutcomeView, ProviderId, RequestError, RequestView,
    Result, ResultPart, ResultSet, RowError, RowStream, Shard, Staged, WireId,
};

/// An adapter that declares `max_request_bytes` as its limit.
#[derive(Debug)]
pub(crate) struct Capped {
    inner: Arc<dyn BatchProvider>,
    codec: CappedCodec,
}

#[derive(Debug)]
struct CappedCodec {
    inner: Arc<dyn BatchProvider>,
    max_request_bytes: u64,
}

impl Capped {
    pub(crate) fn over(inner: Arc<dyn BatchProvider>, max_request_bytes: u64) -> Arc<Self> {
        let codec = CappedCodec {
            inner: Arc::clone(&inner),
            max_request_bytes,
        };
        Arc::new(Self { inner, codec })
    }
}

/// Delegates the methods that run before the first request is sent; the kit calls no others.
#[async_trait]
impl BatchProvider for Capped {
    fn codec(&self) -> &dyn BatchCodec {
        &self.codec
    }
    fn account(&self) -> AccountId {
        self.inner.account()
    }
    async fn stage(&self, shard: &Shard, prior: Option<Staged>) -> Result<Staged> {
        self.inner.stage(shard, prior).await
    }
    async fn create(&self, shard: &Shard, intent: &Intent) -> Result<BatchId> {
        self.inner.create(shard, intent).await
    }
    async fn status(&self, batch: &BatchId) -> Result<BatchSnapshot> {
        self.inner.status(batch).await
    }
    async fn results(&self, class: Option<&BatchClass>, batch: &BatchId) -> Result<ResultSet> {
        self.inner.results(class, batch).await
    }
    async fn read(&self, part: &ResultPart, from: u64) -> Result<RowStream> {
        self.inner.read(part, from).await
    }
}

impl BatchCodec for CappedCodec {
    fn id(&self) -> &ProviderId {
        self.inner.codec().id()
    }
    fn capabilities(&self) -> &Capabilities {
        self.inner.codec().capabilities()
    }
    fn class(&self, request: &RequestView<'_>) -> Result<BatchClass, RequestError> {
        self.inner.codec().class(request)
    }
    fn is_in_class(&self, class: &BatchClass, request: &RequestView<'_>) -> bool {
        self.inner.codec().is_in_class(class, request)
    }
    fn limits(&self, class: &BatchClass) -> Limits {
        Limits {
            max_request_bytes: self.max_request_bytes,
            ..self.inner.codec().limits(class)
        }
    }
    fn frame(&self, class: &BatchClass, label: &Label) -> Frame {
        self.inner.codec().frame(class, label)
    }
    fn body(
        &self,
        class: &BatchClass,
        request: &RequestView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RequestError> {
        self.inner.codec().body(class, request, out)
    }
    fn head(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        self.inner.codec().head(class, id, out);
    }
    fn tail(&self, class: &BatchClass, id: &WireId, out: &mut Vec<u8>) {
        self.inner.codec().tail(class, id, out);
    }
    fn open<'a>(&self, part: &ResultPart, row: JsonView<'a>) -> Result<OpenedRow<'a>, RowError> {
        self.inner.codec().open(part, row)
    }
    fn answer<'a>(&self, answer: JsonView<'a>) -> OutcomeView<'a> {
        self.inner.codec().answer(answer)
    }
}
