//! Allocations of planning, counted on the thread that reads and encodes.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::borrow::Cow;
use std::sync::Arc;

use lmbatch_core::{
    BatchProvider as _, ContentView, Error, GenerateView, Hyperparameters, Json, MessageView,
    RequestView, Role, Text,
};
use lmbatch_engine::{IdView, RequestEntry, RequestSource, SourcedRequest, check};
use lmbatch_testing::{MemoryProvider, Script, TestClock};

/// Source of numbered requests. Each takes two allocations: the list of its messages, and that of
/// their contents.
struct Numbered {
    ids: std::vec::IntoIter<String>,
    prompt: Text<'static>,
    parameters: Hyperparameters,
    position: u64,
}

impl Numbered {
    fn new(count: u32) -> Self {
        let ids: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        Self {
            ids: ids.into_iter(),
            // A token as in an input line is copied as it is written.
            prompt: serde_json::from_str(r#""a question of one sentence""#).unwrap(),
            parameters: Hyperparameters::default(),
            position: 0,
        }
    }
}

impl RequestSource for Numbered {
    fn next(&mut self, visit: &mut dyn FnMut(SourcedRequest<'_>)) -> Result<bool, Error> {
        let Some(id) = self.ids.next() else {
            return Ok(false);
        };
        self.position += 1;
        let request = RequestView::Generate(GenerateView {
            model: Text::Plain("m"),
            system: None,
            messages: vec![MessageView {
                role: Role::User,
                contents: vec![ContentView::Text(self.prompt)],
            }],
            tools: &[],
            tool_choice: None,
            schema: None,
            thinking: None,
            hyperparameters: Cow::Borrowed(&self.parameters),
        });
        let id = Json::new(&id).unwrap();
        visit(SourcedRequest {
            position: self.position,
            entry: Ok(RequestEntry {
                id: IdView::Number(id),
                request,
                metadata: None,
                schema: None,
                folder: None,
            }),
        });
        Ok(true)
    }
}

#[test]
fn planning_allocates_nothing_for_a_request_beyond_its_source() {
    let provider = MemoryProvider::new(Arc::new(TestClock::default()), Script::default());
    let allocations = |count: u32| {
        let source = Box::new(Numbered::new(count));
        let info = allocation_counter::measure(|| {
            let checked = check(provider.codec(), source).unwrap();
            assert_eq!(checked.requests, u64::from(count));
        });
        info.count_total
    };
    let (few, many) = (allocations(10_000), allocations(60_000));
    // A few blocks and tables grow as well.
    assert!(many - few < 2 * 50_000 + 1_000, "{few} and {many}");
}
