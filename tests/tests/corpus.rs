//! Every input of the fuzzing corpus, given to every target again.

use std::path::Path;

use lmbatch_tests::fuzzed::TARGETS;

#[test]
fn every_input_of_the_corpus_passes() {
    for target in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(target.name);
        let entries = std::fs::read_dir(&folder);
        let entries = entries.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut count = 0;
        for entry in entries.flatten() {
            let data = std::fs::read(entry.path());
            let data = data.unwrap_or_else(|error| panic!("{}: {error}", entry.path().display()));
            let fed = std::panic::catch_unwind(|| (target.run)(&data));
            assert!(fed.is_ok(), "{}", entry.path().display());
            count += 1;
        }
        assert!(count >= 5, "{}: only {count} inputs", target.name);
    }
}
