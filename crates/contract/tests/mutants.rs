//! Tests of the kit itself with broken adapters, one for each clause. An adapter that breaks a clause of the first
//! edition must fail that clause and those that the table of implied clauses names for it, and keep all other clauses
//! of that edition. An adapter with a mistake from the table of mistakes must fail the clause that the table names.

mod toy;

use std::collections::BTreeSet;
use std::sync::Arc;

use lmbatch_contract::{CLAUSES, Clause, Wire, clause, runtime};
use toy::implied::IMPLIED;
use toy::mistakes::{MISTAKES, NOT_CAUGHT};
use toy::wire::AcmeWire;

/// Name of the first edition.
const FIRST: &str = "2026";

/// Returns the names of the clauses that the adapter breaks, among those that `looked_at` selects.
fn failed(wire: AcmeWire, looked_at: fn(&Clause) -> bool) -> BTreeSet<&'static str> {
    let wire: Arc<dyn Wire> = Arc::new(wire);
    let hold = async {
        let mut failed = BTreeSet::new();
        for clause in CLAUSES.iter().filter(|clause| looked_at(clause)) {
            if clause.try_hold(Arc::clone(&wire)).await.is_err() {
                failed.insert(clause.name);
            }
        }
        failed
    };
    runtime().block_on(hold)
}

fn expected(broken: &'static str) -> BTreeSet<&'static str> {
    let lines = IMPLIED.iter().filter(|(clause, _)| *clause == broken);
    let implied = lines.flat_map(|(_, implied)| implied.iter().copied());
    implied.chain([broken]).collect()
}

/// Breaks each clause of a topic in turn.
fn each_mutant_fails_its_clause(topic: &str) {
    // Panics are expected and not printed.
    std::panic::set_hook(Box::new(|_| {}));
    let clauses = CLAUSES.iter().filter(|clause| clause.topic == topic);
    let wrong: Vec<String> = clauses
        .filter_map(|clause| {
            let failed = failed(AcmeWire(Some(clause.name)), |other| other.edition == FIRST);
            let line = || format!("    (\"{}\", &{failed:?}),", clause.name);
            (failed != expected(clause.name)).then(line)
        })
        .collect();
    drop(std::panic::take_hook());
    assert!(
        wrong.is_empty(),
        "these clauses fail other than expected:\n{}",
        wrong.join("\n")
    );
}

macro_rules! topics {
    ($($topic:ident)*) => {
        $(
            #[test]
            fn $topic() {
                each_mutant_fails_its_clause(stringify!($topic));
            }
        )*

        #[test]
        fn every_topic_has_its_mutants() {
            let topics = [$(stringify!($topic)),*];
            let mut first = CLAUSES.iter().filter(|clause| clause.edition == FIRST);
            assert!(first.all(|clause| topics.contains(&clause.topic)));
        }
    };
}

topics! { create doubt secrets status outcomes results calls refusals redirects }

#[test]
fn the_correct_adapter_keeps_every_clause() {
    for setting in [None, Some("token"), Some("numbered"), Some("terse")] {
        let failed = failed(AcmeWire(setting), |_| true);
        assert_eq!(failed, BTreeSet::new(), "{setting:?}");
    }
}

#[test]
fn mistakes_are_caught_by_the_clauses_of_the_table() {
    std::panic::set_hook(Box::new(|_| {}));
    let mut passed = Vec::new();
    let mut table = String::from("| mistake | clause that catches it |\n|---|---|\n");
    for (mistake, plant, name) in MISTAKES {
        let wire: Arc<dyn Wire> = Arc::new(AcmeWire(Some(plant)));
        let kept = runtime().block_on(clause(name).try_hold(wire));
        if kept.is_ok() {
            passed.push(mistake);
        }
        table.push_str(&format!("| {mistake} | {} |\n", name.replace('_', " ")));
    }
    for (mistake, why) in NOT_CAUGHT {
        table.push_str(&format!("| {mistake} | none: {why} |\n"));
    }
    drop(std::panic::take_hook());
    // `cargo xtask contract --mutants` prints the table.
    #[expect(
        clippy::print_stdout,
        reason = "the table is the output of `cargo xtask contract --mutants`"
    )]
    {
        println!("{table}");
    }
    assert_eq!(
        passed,
        Vec::<&&str>::new(),
        "no clause catches these mistakes"
    );
    assert!(MISTAKES.len() >= 65 && NOT_CAUGHT.len() <= 7);
}

#[test]
fn a_failure_reports_the_promise_the_finding_the_last_exchange_and_the_wire_methods() {
    std::panic::set_hook(Box::new(|_| {}));
    let wire: Arc<dyn Wire> = Arc::new(AcmeWire(Some("request_counts_are_read")));
    let kept = runtime().block_on(clause("request_counts_are_read").try_hold(wire));
    drop(std::panic::take_hook());
    let why = kept.expect_err("the counts are swapped");
    for part in [
        "Request counts are read: total, answered and failed.",
        "right: RequestCounts",
        "last exchange: GET /batches/batch-1\n  -> HTTP/1.1 200 OK {\"id\":\"batch-1\"",
        "uses: Wire::adapter, Wire::batch, Wire::call, Wire::counts_at",
    ] {
        assert!(why.contains(part), "{part} is not in:\n{why}");
    }
    assert!(!why.contains("key-canary"), "{why}");
}

#[test]
fn every_clause_of_a_later_edition_catches_a_mistake() {
    let later = CLAUSES.iter().filter(|clause| clause.edition != FIRST);
    let names = later.map(|clause| clause.name);
    let without: Vec<_> = names
        .filter(|name| !MISTAKES.iter().any(|(.., clause)| clause == name))
        .collect();
    assert_eq!(without, Vec::<&str>::new());
}

#[test]
fn the_table_of_implied_clauses_names_existing_clauses() {
    for (clause, implied) in IMPLIED {
        for name in implied.iter().chain([clause]) {
            assert!(CLAUSES.iter().any(|clause| clause.name == *name), "{name}");
        }
    }
}
