//! The kit itself is tested by adapters that are broken: each breaks one clause, and must fail that clause
//! and those that it is said to imply, and no other.
#![expect(clippy::unwrap_used, reason = "an adapter of tests")]

mod toy;

use std::collections::BTreeSet;
use std::sync::Arc;

use lmbatch_contract::{CLAUSES, Wire, runtime};
use toy::wire::AcmeWire;

/// Clauses that an adapter does not keep.
fn failed(wire: AcmeWire) -> BTreeSet<&'static str> {
    let wire: Arc<dyn Wire> = Arc::new(wire);
    let hold = async {
        let mut failed = BTreeSet::new();
        for clause in CLAUSES {
            let t = std::time::Instant::now();
            let r = clause.try_hold(Arc::clone(&wire)).await;
            if std::env::var_os("TIME").is_some() { eprintln!("{:?} {}", t.elapsed(), clause.name); }
            if let Err(why) = r {
                if std::env::var_os("SHOW").is_some() {
                    eprintln!("{}: {why}", clause.name);
                }
                failed.insert(clause.name);
            }
        }
        failed
    };
    runtime().block_on(hold)
}

/// Panics are what is looked for: they are not printed.
fn quietly() {
    if std::env::var_os("SHOW").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
}

#[test]
fn the_correct_adapter_keeps_every_clause() {
    let failed = failed(AcmeWire(None));
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn show_all() {
    quietly();
    for clause in CLAUSES {
        println!("{}: {:?}", clause.name, failed(AcmeWire(Some(clause.name))));
    }
}
