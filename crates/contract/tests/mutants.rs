//! The kit itself is tested by adapters that are broken. There is one for each clause; it must fail that
//! clause and those that its line in the table says it implies, and keep all others.

mod toy;

use std::collections::BTreeSet;
use std::sync::Arc;

use lmbatch_contract::{CLAUSES, Wire, runtime};
use toy::implied::IMPLIED;
use toy::wire::AcmeWire;

/// Clauses that the adapter does not keep.
fn failed(wire: AcmeWire) -> BTreeSet<&'static str> {
    let wire: Arc<dyn Wire> = Arc::new(wire);
    let hold = async {
        let mut failed = BTreeSet::new();
        for clause in CLAUSES {
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
    // Panics are what is looked for: they are not printed.
    std::panic::set_hook(Box::new(|_| {}));
    let clauses = CLAUSES.iter().filter(|clause| clause.topic == topic);
    let wrong: Vec<String> = clauses
        .filter_map(|clause| {
            let failed = failed(AcmeWire(Some(clause.name)));
            let line = || format!("    (\"{}\", &{failed:?}),", clause.name);
            (failed != expected(clause.name)).then(line)
        })
        .collect();
    drop(std::panic::take_hook());
    assert!(
        wrong.is_empty(),
        "these fail otherwise:\n{}",
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
            assert!(CLAUSES.iter().all(|clause| topics.contains(&clause.topic)));
        }
    };
}

topics! { create doubt secrets status outcomes results calls refusals redirects }

#[test]
fn the_correct_adapter_keeps_every_clause() {
    assert_eq!(failed(AcmeWire(None)), BTreeSet::new());
}

#[test]
fn the_table_of_implied_clauses_names_no_other() {
    for (clause, implied) in IMPLIED {
        for name in implied.iter().chain([clause]) {
            assert!(CLAUSES.iter().any(|clause| clause.name == *name), "{name}");
        }
    }
}
