use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use lmbatch_core::{
    BatchId, BatchProblem, BatchSnapshot, BatchStatus, Cursor, ErrorKind, Page, RequestCounts,
    RequestError,
};

use super::polls::is_believed;
use super::{AccountShare, DriverHandle, Live, News, Verdict};
use crate::policy::StepLimits;
use crate::run::step::Kind;

const SIZE: u32 = 10;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn made(number: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + seconds(number)
}

fn id(number: u64) -> BatchId {
    BatchId::new(format!("b{number}"))
}

/// Returns the schedule of a batch that was created at the second of its number.
fn live(number: u64, due: Duration) -> Live {
    Live {
        due,
        wait: seconds(60),
        created_at: Some(made(number)),
    }
}

/// Schedules batches by their numbers, and returns how they are polled now.
fn ask(driver: &DriverHandle, numbers: impl Iterator<Item = u64> + Clone) -> BTreeSet<String> {
    let now = seconds(100);
    for number in numbers.clone() {
        driver.watch(number as usize, &id(number), live(number, now));
    }
    let due: Vec<_> = numbers
        .map(|number| (number as usize, id(number)))
        .collect();
    let verdicts = driver.due(&due, now, SIZE).into_iter();
    verdicts.map(|verdict| format!("{verdict:?}")).collect()
}

/// Returns a page of the list, newest first.
fn page(numbers: impl Iterator<Item = u64>, next: Option<&str>) -> Page<BatchSnapshot> {
    let items = numbers.map(|number| {
        let mut snapshot = BatchSnapshot::new(id(number), BatchStatus::InProgress);
        snapshot.created_at = Some(made(number));
        snapshot
    });
    Page {
        items: items.collect(),
        next: next.map(Cursor::new),
    }
}

/// Returns the shards of the messages that have arrived.
fn news(driver: &DriverHandle) -> (Vec<usize>, Vec<usize>) {
    let (mut listed, mut alone) = (Vec::new(), Vec::new());
    for message in driver.messages() {
        match message.news {
            News::Listed { .. } => listed.push(message.at),
            News::Alone => alone.push(message.at),
            News::Again => panic!("{message:?}"),
        }
    }
    (listed, alone)
}

#[test]
fn a_sweep_begins_where_it_costs_less_than_half_of_the_status_calls() {
    // The first estimate of pages is due ÷ page size, times two.
    for (due, sweeps) in [(1, false), (4, false), (5, true), (8, true), (1000, true)] {
        let driver = Arc::new(AccountShare::default()).join();
        let verdict = if sweeps { "Listed" } else { "Alone" };
        assert_eq!(
            ask(&driver, 0..due),
            BTreeSet::from([verdict.into()]),
            "{due}"
        );
        assert_eq!(driver.sweep_due().is_some(), sweeps, "{due}");
    }
    // The cost of the last sweep counts for ten minutes.
    for (later, sweeps) in [(60, false), (599, false), (601, true)] {
        let driver = Arc::new(AccountShare::default()).join();
        ask(&driver, 0..20);
        for number in 0..12 {
            let lease = driver.lease(seconds(100)).expect("a lease");
            let cursor = number.to_string();
            driver.page(&lease, &page(5000..5010, Some(&cursor)), seconds(100));
            drop(lease);
        }
        let lease = driver.lease(seconds(100)).expect("a lease");
        driver.page(&lease, &page(0..20, None), seconds(100));
        drop(lease);
        assert_eq!(news(&driver).0.len(), 20);
        let now = seconds(100 + later);
        for number in 0..20 {
            driver.watch(number, &id(number as u64), live(number as u64, now));
        }
        let verdict = driver.due(&[(0, id(0))], now, SIZE);
        assert_eq!(verdict == [Verdict::Listed], sweeps, "{later}");
    }
}

#[test]
fn a_sweep_ends_when_no_further_page_can_show_a_due_batch() {
    let next = Some("further");
    for (read, listed, alone) in [
        // All batches are met.
        (page((0..20).rev(), next), 20, 0),
        // The list ends.
        (page((10..20).rev(), None), 10, 10),
        // The page is older than the others.
        (page([19, 18, 0].into_iter(), next), 3, 17),
    ] {
        let driver = Arc::new(AccountShare::default()).join();
        ask(&driver, 0..20);
        let lease = driver.lease(seconds(100)).expect("a lease");
        driver.page(&lease, &read, seconds(101));
        drop(lease);
        let (shown, asked) = news(&driver);
        assert_eq!((shown.len(), asked.len()), (listed, alone));
        assert_eq!(driver.sweep_due(), None);
    }
    // Batch 10 is missing. Batches of one second come in any order.
    for (oldest, is_over) in [(9, true), (10, false)] {
        let driver = Arc::new(AccountShare::default()).join();
        ask(&driver, 10..30);
        let lease = driver.lease(seconds(100)).expect("a lease");
        let mut read = page((11..30).rev(), next);
        let mut last = BatchSnapshot::new(id(777), BatchStatus::InProgress);
        last.created_at = Some(made(oldest));
        read.items.push(last);
        driver.page(&lease, &read, seconds(101));
        drop(lease);
        assert_eq!(driver.sweep_due().is_none(), is_over, "{oldest}");
        assert_eq!(news(&driver).1.is_empty(), !is_over, "{oldest}");
    }
}

#[test]
fn a_repeated_page_ends_the_sweep() {
    let driver = Arc::new(AccountShare::default()).join();
    ask(&driver, 0..20);
    for _ in 0..2 {
        let lease = driver.lease(seconds(100)).expect("a lease");
        driver.page(&lease, &page(5000..5010, Some("again")), seconds(100));
    }
    assert_eq!(news(&driver).1.len(), 20);
}

#[test]
fn another_driver_takes_over_a_sweep_when_its_owner_leaves() {
    let share = Arc::new(AccountShare::default());
    let (first, second) = (share.join(), share.join());
    second.watch(50, &id(50), live(50, seconds(100)));
    ask(&first, 0..20);
    let lease = first.lease(seconds(100)).expect("a lease");
    assert_eq!(second.lease(seconds(100)).map(drop), None);
    drop(first);
    assert!(second.woken().now_or_never().is_some(), "it is woken");
    let own = second.lease(seconds(101)).expect("the lease is taken over");
    // The page of the driver that has left does not count any more.
    second.page(&lease, &page(0..60, None), seconds(101));
    assert_eq!(news(&second), (Vec::new(), Vec::new()));
    drop(lease);
    second.page(&own, &page(0..60, None), seconds(101));
    assert_eq!(news(&second), (vec![50], Vec::new()));
}

#[test]
fn a_silent_driver_loses_its_sweep() {
    let share = Arc::new(AccountShare::default());
    let (first, second) = (share.join(), share.join());
    second.watch(50, &id(50), live(50, seconds(100)));
    ask(&first, 0..20);
    let lease = first.lease(seconds(100)).expect("a lease");
    assert!(second.lease(seconds(219)).is_none());
    let due = second.sweep_due().expect("a time");
    assert!(second.lease(due).is_some(), "{due:?}");
    drop(lease);
}

#[test]
fn a_listed_end_is_accepted_only_with_everything_that_the_record_needs() {
    let counts = |total, succeeded, errored| RequestCounts {
        total,
        succeeded,
        errored,
        ..RequestCounts::default()
    };
    let problem = BatchProblem {
        error: RequestError::new(ErrorKind::InvalidInput),
        line: None,
    };
    let none = RequestCounts::default();
    for (status, counts, problems, believed) in [
        (BatchStatus::InProgress, none, vec![], true),
        (BatchStatus::Unknown("odd".into()), none, vec![], false),
        (BatchStatus::Completed, counts(Some(3), 2, 1), vec![], true),
        (BatchStatus::Completed, counts(Some(3), 2, 0), vec![], false),
        (BatchStatus::Completed, none, vec![], false),
        (BatchStatus::Expired, counts(None, 2, 1), vec![], false),
        (BatchStatus::Failed, none, vec![], false),
        (BatchStatus::Failed, none, vec![problem], true),
    ] {
        let mut shown = BatchSnapshot::new(id(1), status);
        shown.counts = counts;
        shown.problems = problems;
        shown.created_at = Some(made(1));
        let unknown = Live {
            created_at: None,
            ..live(1, seconds(1))
        };
        assert_eq!(
            is_believed(&shown, &live(1, seconds(1))),
            believed,
            "{shown:?}"
        );
        assert_eq!(is_believed(&shown, &unknown), believed, "{shown:?}");
        assert!(
            !is_believed(&shown, &live(2, seconds(1))),
            "another creation time"
        );
    }
}

#[test]
fn permits_go_to_waiting_drivers_in_turn() {
    let share = Arc::new(AccountShare::default());
    let limits = StepLimits {
        creates: 1,
        ..StepLimits::default()
    };
    let (first, second, third) = (share.join(), share.join(), share.join());
    let wants = |driver: &DriverHandle, wanted| {
        let mut kinds = [false; 5];
        kinds[Kind::Create as usize] = wanted;
        driver.wait_for(kinds, limits, 0);
    };
    let is_called = |driver: &DriverHandle| driver.woken().now_or_never().is_some();
    let permit = first.permit(Kind::Create, 1).expect("a permit");
    assert!(second.permit(Kind::Create, 1).is_none());
    assert!(
        second.permit(Kind::Poll, 1).is_some(),
        "each kind has its own"
    );
    wants(&second, true);
    wants(&third, true);
    drop(permit);
    assert!(is_called(&second) && !is_called(&third));
    // The second driver does not want the permit any more.
    wants(&second, false);
    assert!(is_called(&third));
    // The third driver leaves.
    wants(&second, true);
    drop(third);
    assert!(is_called(&second));
    assert!(second.permit(Kind::Create, 1).is_some());
}
