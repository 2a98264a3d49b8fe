//! Source of requests with one prompt each.

use std::borrow::Cow;
use std::fmt;

use lmbatch_core::{
    ContentView, Error, GenerateView, Hyperparameters, IdView, Json, MessageView, RequestEntry,
    RequestSource, RequestView, Role, SourcedRequest, Text,
};

/// Request of a test: one prompt for one model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRequest {
    /// Caller's id of the request.
    pub id: String,
    /// Text of the only message.
    pub prompt: String,
    /// Provider's name of the model, `m` by default.
    pub model: &'static str,
    /// Metadata in JSON, none by default.
    pub metadata: Option<&'static str>,
}

impl<I: Into<String>, P: Into<String>> From<(I, P)> for TestRequest {
    fn from((id, prompt): (I, P)) -> Self {
        Self {
            id: id.into(),
            prompt: prompt.into(),
            model: "m",
            metadata: None,
        }
    }
}

/// Source of requests with one prompt each, for plans. The requests are made one at a time.
///
/// ```
/// use lmbatch_testing::TestRequests;
///
/// let numbered = TestRequests::new((1..=1_000_000).map(|n| (format!("q{n}"), format!("What is {n} + {n}?"))));
/// let two = TestRequests::new([("a", "Hello!"), ("b", "Good evening!")]).model("another");
/// ```
pub struct TestRequests {
    requests: Box<dyn Iterator<Item = TestRequest> + Send>,
    position: u64,
}

impl fmt::Debug for TestRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestRequests")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

impl TestRequests {
    /// Returns a source of the requests of an iterator, such as pairs of an id and a prompt.
    pub fn new<I>(requests: I) -> Self
    where
        I: IntoIterator<Item: Into<TestRequest> + 'static>,
        I::IntoIter: Send + 'static,
    {
        Self {
            requests: Box::new(requests.into_iter().map(Into::into)),
            position: 0,
        }
    }

    /// Sets the model of every request.
    pub fn model(self, model: &'static str) -> Self {
        let requests = self
            .requests
            .map(move |request| TestRequest { model, ..request });
        Self {
            requests: Box::new(requests),
            ..self
        }
    }
}

impl RequestSource for TestRequests {
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> Result<bool, Error> {
        let Some(request) = self.requests.next() else {
            return Ok(false);
        };
        self.position += 1;
        let message = MessageView {
            role: Role::User,
            contents: vec![ContentView::Text(Text::Plain(&request.prompt))],
        };
        let view = GenerateView {
            model: Text::Plain(request.model),
            system: None,
            messages: vec![message],
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::Owned(Hyperparameters::default()),
        };
        let metadata = request.metadata.map(Json::new).transpose();
        visit(SourcedRequest {
            position: self.position,
            entry: Ok(RequestEntry {
                id: IdView::Text(Text::Plain(&request.id)),
                request: RequestView::Generate(view),
                metadata: metadata.map_err(|error| Error::invalid_input(error.to_string()))?,
                schema: None,
                folder: None,
            }),
        });
        Ok(true)
    }
}
