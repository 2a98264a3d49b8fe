//! Allocations of reading input lines.

use std::fmt::Write as _;
use std::io::Cursor;

use lmbatch_core::{RequestSource as _, SourcedRequest};
use lmbatch_lines::{InputContext, InputLines};

#[test]
fn an_ordinary_line_takes_two_allocations() {
    let allocations = |count: u32| {
        let mut input = String::new();
        for number in 0..count {
            writeln!(
                input,
                r#"{{"id":{number},"prompt":"a \"question\" of one sentence \u00e9 ü","metadata":{{"a":1}}}}"#
            )
            .unwrap();
        }
        let mut found = 0;
        let info = allocation_counter::measure(|| {
            let context = InputContext::new("openai", "m");
            let mut lines = InputLines::new(Cursor::new(input.into_bytes()), context);
            let mut visit = |sourced: SourcedRequest<'_>| found += u32::from(sourced.entry.is_ok());
            while lines.next(&mut visit).unwrap() {}
        });
        assert_eq!(found, count);
        info.count_total
    };
    let (few, many) = (allocations(1_000), allocations(11_000));
    // The list of messages, and that of the contents of the one message.
    assert!(many - few <= 2 * 10_000 + 10, "{few} and {many}");
}
