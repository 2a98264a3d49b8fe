//! Clauses about lookups: pages of runs, filters, and prefixes of ids.
#![expect(clippy::unwrap_used, reason = "a clause fails by a panic")]

use std::collections::HashMap;

use lmbatch_core::{Cursor, ErrorKind, Ledger, Page, RunFilter, RunRecord};

use super::Subject;
use super::late::acknowledged;
use super::records::{created, run, shard};

fn ids<'a>(runs: impl IntoIterator<Item = &'a RunRecord>) -> Vec<&'a str> {
    runs.into_iter().map(|run| &*run.id).collect()
}

async fn selected(ledger: &dyn Ledger, filter: RunFilter) -> Vec<String> {
    let all = ledger.all_runs(filter).await.unwrap();
    all.iter().map(|run| run.id.to_string()).collect()
}

fn paged(limit: u32) -> RunFilter {
    RunFilter {
        limit: Some(limit),
        ..RunFilter::default()
    }
}

pub(super) async fn runs_are_listed_newest_first(subject: Subject) {
    let ledger = subject.ledger;
    // Sorted by the order in which the ledger began the runs, not by their clocks, ids or later changes.
    for (id, at) in [
        ("r-m", "2026-01-02"),
        ("r-z", "2030-01-01"),
        ("r-a", "2026-01-01"),
    ] {
        let run = RunRecord {
            created_at: lmbatch_core::parse_time(&format!("{at}T00:00:00Z")),
            ..run(id)
        };
        ledger.begin(&run, &[]).await.unwrap();
        ledger.change(&run, &[]).await.unwrap();
    }
    let oldest = ledger.run("r-m").await.unwrap().unwrap();
    ledger.change(&oldest, &[]).await.unwrap();
    let page = ledger.runs(&RunFilter::default()).await.unwrap();
    assert_eq!(ids(&page.items), ["r-a", "r-z", "r-m"]);
    assert_eq!(page.next, None);
    let newest = ledger.newest_run(RunFilter::default()).await.unwrap();
    assert_eq!(ids(&newest), ["r-a"]);
}

/// Begins four runs that differ in every property that filters select by.
async fn four(ledger: &dyn Ledger) {
    let first = RunRecord {
        name: Some("nightly".into()),
        account: "v2-theirs".into(),
        digest: "same".into(),
        ..run("r-aaaa")
    };
    let second = RunRecord {
        finished: true,
        digest: "same".into(),
        ..run("r-bbbb")
    };
    let third = RunRecord {
        name: Some("Nightly".into()),
        notes: [("output".into(), "r-aaaa.jsonl".into())].into(),
        ..run("r-cccc")
    };
    let fourth = RunRecord {
        notes: [("input".into(), "r-aaaa.jsonl".into())].into(),
        ..run("r-dddd")
    };
    for run in [first, second, third, fourth] {
        let shards = [shard(&run.id, 0).advanced(created(&format!("of-{}", run.id)))];
        ledger.begin(&run, &shards).await.unwrap();
    }
}

pub(super) async fn each_filter_selects_its_runs(subject: Subject) {
    let ledger = subject.ledger;
    four(&*ledger).await;
    let none = RunFilter::default;
    let nonce = |id| Some(run(id).nonce);
    for (filter, expected) in [
        (none(), &["r-dddd", "r-cccc", "r-bbbb", "r-aaaa"][..]),
        (
            RunFilter {
                unfinished: true,
                ..none()
            },
            &["r-dddd", "r-cccc", "r-aaaa"],
        ),
        (
            RunFilter {
                name: Some("nightly".into()),
                ..none()
            },
            &["r-aaaa"],
        ),
        (
            RunFilter {
                name: Some("".into()),
                ..none()
            },
            &[],
        ),
        (
            RunFilter {
                digest: Some("same".into()),
                ..none()
            },
            &["r-bbbb", "r-aaaa"],
        ),
        (
            RunFilter {
                account: Some("v2-theirs".into()),
                ..none()
            },
            &["r-aaaa"],
        ),
        (
            RunFilter {
                output: Some("r-aaaa.jsonl".into()),
                ..none()
            },
            &["r-cccc", "r-aaaa"],
        ),
        (
            RunFilter {
                nonce: nonce("r-bbbb"),
                ..none()
            },
            &["r-bbbb"],
        ),
        (
            RunFilter {
                nonce: nonce("r-none"),
                ..none()
            },
            &[],
        ),
        (
            RunFilter {
                batch: Some("of-r-cccc".into()),
                ..none()
            },
            &["r-cccc"],
        ),
        (
            RunFilter {
                batch: Some("of-".into()),
                ..none()
            },
            &[],
        ),
        (
            RunFilter {
                id_prefix: Some("r-d".into()),
                ..none()
            },
            &["r-dddd"],
        ),
    ] {
        assert_eq!(
            selected(&*ledger, filter.clone()).await,
            expected,
            "{filter:?}"
        );
    }
}

pub(super) async fn filters_are_combined(subject: Subject) {
    let ledger = subject.ledger;
    four(&*ledger).await;
    let same = RunFilter {
        digest: Some("same".into()),
        ..RunFilter::default()
    };
    for (filter, expected) in [
        (
            RunFilter {
                unfinished: true,
                ..same.clone()
            },
            &["r-aaaa"][..],
        ),
        (
            RunFilter {
                account: Some("v2-own".into()),
                ..same.clone()
            },
            &["r-bbbb"],
        ),
        (
            RunFilter {
                name: Some("nightly".into()),
                unfinished: true,
                ..same.clone()
            },
            &["r-aaaa"],
        ),
        (
            RunFilter {
                name: Some("Nightly".into()),
                ..same.clone()
            },
            &[],
        ),
        (
            RunFilter {
                batch: Some("of-r-aaaa".into()),
                ..same.clone()
            },
            &["r-aaaa"],
        ),
        (
            RunFilter {
                id_prefix: Some("r-bb".into()),
                batch: Some("of-r-bbbb".into()),
                ..same
            },
            &["r-bbbb"],
        ),
    ] {
        assert_eq!(
            selected(&*ledger, filter.clone()).await,
            expected,
            "{filter:?}"
        );
    }
}

pub(super) async fn a_filter_uses_the_current_record(subject: Subject) {
    let ledger = subject.ledger;
    ledger
        .begin(&run("r-one"), &[shard("r-one", 0)])
        .await
        .unwrap();
    let changed = RunRecord {
        finished: true,
        digest: "new".into(),
        account: "v2-new".into(),
        notes: [("output".into(), "new.jsonl".into())].into(),
        ..run("r-one")
    };
    ledger.change(&changed, &[]).await.unwrap();
    ledger
        .advance(&shard("r-one", 0).advanced(created("new")))
        .await
        .unwrap();
    let none = RunFilter::default;
    for (filter, selects) in [
        (
            RunFilter {
                unfinished: true,
                ..none()
            },
            false,
        ),
        (
            RunFilter {
                digest: Some(run("r-one").digest),
                ..none()
            },
            false,
        ),
        (
            RunFilter {
                digest: Some("new".into()),
                ..none()
            },
            true,
        ),
        (
            RunFilter {
                account: Some("v2-own".into()),
                ..none()
            },
            false,
        ),
        (
            RunFilter {
                account: Some("v2-new".into()),
                ..none()
            },
            true,
        ),
        (
            RunFilter {
                output: Some("r-one.jsonl".into()),
                ..none()
            },
            false,
        ),
        (
            RunFilter {
                output: Some("new.jsonl".into()),
                ..none()
            },
            true,
        ),
        (
            RunFilter {
                batch: Some("new".into()),
                ..none()
            },
            true,
        ),
    ] {
        let found = selected(&*ledger, filter.clone()).await;
        assert_eq!(!found.is_empty(), selects, "{filter:?}");
    }
}

pub(super) async fn pages_neither_repeat_nor_skip(subject: Subject) {
    let ledger = subject.ledger;
    let old: Vec<String> = (0..17).map(|number| format!("r-old-{number}")).collect();
    for id in &old {
        ledger.begin(&run(id), &[]).await.unwrap();
    }
    let (mut filter, mut seen) = (paged(3), HashMap::<String, u32>::new());
    for page in 0.. {
        let Page { items, next } = ledger.runs(&filter).await.unwrap();
        for run in &items {
            *seen.entry(run.id.to_string()).or_default() += 1;
        }
        let Some(next) = next else { break };
        filter.after = Some(next);
        // Meanwhile two runs begin, one changes, and one that was returned is deleted, possibly the one at the cursor.
        for new in 0..2 {
            let id = format!("r-new-{page}-{new}");
            ledger.begin(&run(&id), &[]).await.unwrap();
        }
        let last = items.last().unwrap();
        ledger.change(last, &[]).await.unwrap();
        let gone = if page % 2 == 0 { last } else { &items[0] };
        ledger.delete(&gone.id).await.unwrap();
        assert!(page < 17, "the pages do not end");
    }
    for id in &old {
        assert_eq!(seen.remove(id), Some(1), "times that {id} is on a page");
    }
    assert_eq!(seen, HashMap::new(), "runs that were begun since");
}

pub(super) async fn the_last_page_has_no_cursor(subject: Subject) {
    let ledger = subject.ledger;
    let empty = ledger.runs(&paged(2)).await.unwrap();
    assert_eq!((empty.items.len(), empty.next), (0, None));
    for (number, pages) in [(0, vec![1]), (1, vec![2]), (2, vec![2, 1]), (3, vec![2, 2])] {
        let id = format!("r-{number}");
        ledger.begin(&run(&id), &[]).await.unwrap();
        let (mut filter, mut counts) = (paged(2), Vec::new());
        while counts.len() <= pages.len() {
            let page = ledger.runs(&filter).await.unwrap();
            counts.push(page.items.len());
            filter.after = page.next;
            if filter.after.is_none() {
                break;
            }
        }
        assert_eq!(counts, pages, "pages of {} runs", number + 1);
    }
}

pub(super) async fn a_page_has_the_requested_number_of_runs(subject: Subject) {
    let ledger = subject.ledger;
    for number in 0..103 {
        let id = format!("r-{number}");
        ledger.begin(&run(&id), &[]).await.unwrap();
    }
    for (limit, count) in [
        (None, 100),
        (Some(0), 1),
        (Some(7), 7),
        (Some(u32::MAX), 103),
    ] {
        let filter = RunFilter {
            limit,
            ..RunFilter::default()
        };
        let page = ledger.runs(&filter).await.unwrap();
        assert_eq!(page.items.len(), count, "{limit:?}");
    }
    assert_eq!(selected(&*ledger, paged(10)).await.len(), 103);
}

pub(super) async fn a_foreign_cursor_is_refused(subject: Subject) {
    let ledger = subject.ledger;
    ledger.begin(&run("r-one"), &[]).await.unwrap();
    for foreign in ["", "r-one", "-1", "1.5", "18446744073709551616"] {
        let filter = RunFilter {
            after: Some(Cursor::new(foreign)),
            ..RunFilter::default()
        };
        let error = ledger.runs(&filter).await;
        let error = error.expect_err("a cursor of something else");
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{foreign:?}");
    }
    let filter = RunFilter {
        after: Some(Cursor::new(u64::MAX.to_string())),
        ..RunFilter::default()
    };
    assert_eq!(ledger.runs(&filter).await.unwrap().items.len(), 1);
}

pub(super) async fn a_run_is_found_by_its_batch(subject: Subject) {
    let ledger = subject.ledger;
    for id in ["r-one", "r-two", "r-three"] {
        let shards = [
            shard(id, 0).advanced(created(&format!("of-{id}"))),
            shard(id, 1),
        ];
        ledger.begin(&run(id), &shards).await.unwrap();
    }
    let of = async |batch: &str| ledger.run_of_batch(&batch.into()).await.unwrap();
    assert_eq!(ids(&of("of-r-two").await), ["r-two"]);
    assert_eq!(of("of-none").await, None);
    let late = acknowledged("r-one", 1, "late");
    ledger.acknowledge_late(&late).await.unwrap();
    assert_eq!(ids(&of("late").await), ["r-one"]);
    // The newest of several runs.
    let moved = shard("r-three", 1).advanced(created("late"));
    ledger.advance(&moved).await.unwrap();
    assert_eq!(ids(&of("late").await), ["r-three"]);
    let filter = RunFilter {
        batch: Some("late".into()),
        ..RunFilter::default()
    };
    assert_eq!(selected(&*ledger, filter).await, ["r-three", "r-one"]);
}

pub(super) async fn a_run_is_found_by_a_unique_prefix(subject: Subject) {
    let ledger = subject.ledger;
    // The id of an earlier version may be the beginning of a longer one.
    for id in [
        "r-abcdef",
        "r-abcdefghijkl",
        "r-abxyzabcdefg",
        "r-zyxwvutsrqpo",
    ] {
        ledger.begin(&run(id), &[]).await.unwrap();
    }
    for (prefix, id) in [
        ("r-abcdef", Some("r-abcdef")),
        ("r-abcdefg", Some("r-abcdefghijkl")),
        ("r-abcdefghijkl", Some("r-abcdefghijkl")),
        ("r-abcdefghijklm", None),
        ("r-zy", Some("r-zyxwvutsrqpo")),
        ("r-z", None),
        ("", None),
        ("zyxw", None),
        ("r-abz", None),
    ] {
        let found = ledger.find_run(prefix).await.unwrap();
        assert_eq!(found.as_ref().map(|run| &*run.id), id, "{prefix:?}");
    }
}

pub(super) async fn a_prefix_of_several_runs_is_an_error_that_names_them(subject: Subject) {
    let ledger = subject.ledger;
    for number in 0..2 {
        let id = format!("r-abcd{number}");
        ledger.begin(&run(&id), &[]).await.unwrap();
    }
    let error = ledger.find_run("r-abc").await.expect_err("two runs");
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let text = error.to_string();
    assert!(
        text.contains("r-abcd0") && text.contains("r-abcd1"),
        "{text}"
    );
    assert!(!text.contains('…'), "{text}");
    for number in 2..9 {
        let id = format!("r-abcd{number}");
        ledger.begin(&run(&id), &[]).await.unwrap();
    }
    let text = ledger.find_run("r-abc").await.unwrap_err().to_string();
    assert!(text.contains("r-abcd8") && text.contains('…'), "{text}");
}

pub(super) async fn a_prefix_is_taken_literally(subject: Subject) {
    let ledger = subject.ledger;
    for id in ["r-abcdefghijkl", "r-under_score", "r-underXscore"] {
        ledger.begin(&run(id), &[]).await.unwrap();
    }
    for (prefix, id) in [
        ("r-under_", Some("r-under_score")),
        ("R-ABCD", None),
        ("r-ab%", None),
        ("r-ab*", None),
        ("r-%", None),
        ("r-ab'", None),
        ("r-abcé", None),
    ] {
        let found = ledger.find_run(prefix).await.unwrap();
        assert_eq!(found.as_ref().map(|run| &*run.id), id, "{prefix:?}");
    }
}
