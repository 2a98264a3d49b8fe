//! Damage to the state folder of a killed process: one file of the record or of the spool is flipped, zeroed,
//! truncated or deleted at a random position, and the run is resumed. In every case nothing is paid twice, no answer
//! has another request's id, and no other prompt is sent.

use std::fs;
use std::path::{Path, PathBuf};

use lmbatch_core::Rng as _;
use lmbatch_emulator::{Moment, Operation};
use lmbatch_testing::TestRng;
use lmbatch_tests::{Broken, SUBJECTS, Trial};

/// Steps at which a process is killed, by its call; the last step is that of a run that ended.
const STEPS: [Option<(Operation, Moment)>; 6] = [
    Some((Operation::List, Moment::Received)),
    Some((Operation::Create, Moment::Received)),
    Some((Operation::Create, Moment::Performed)),
    Some((Operation::Status, Moment::Received)),
    Some((Operation::Content, Moment::Performed)),
    None,
];

/// Subjects: OpenAI, Anthropic, Google by file and Google inline.
const PLACES: [usize; 4] = [0, 2, 3, 4];

fn below(rng: &TestRng, most: usize) -> usize {
    (rng.next_u64() % most.max(1) as u64) as usize
}

/// Non-empty files of the record and of the spool, in a fixed order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let within = |folder: &Path| {
        let entries = fs::read_dir(folder).expect("a folder");
        let paths = entries.map(|entry| entry.expect("an entry").path());
        paths.filter(|path| path.is_file()).collect::<Vec<_>>()
    };
    let is_record = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name == "ledger.db" || name == "ledger.db-journal")
    };
    let mut record: Vec<PathBuf> = within(folder).into_iter().filter(is_record).collect();
    let mut spool = within(&folder.join("spool"));
    record.sort();
    // File names begin with a random nonce; their ends and sizes are fixed.
    let end = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let end = name.rsplit('.').next().unwrap_or_default().to_owned();
        (end, fs::metadata(path).map_or(0, |data| data.len()))
    };
    spool.sort_by_key(end);
    // Half of all damage is done to the record.
    let copies = spool.len().div_ceil(record.len().max(1)).max(1);
    let record = std::iter::repeat_n(record, copies).flatten();
    record.chain(spool).collect()
}

/// Damages one file at one position, and describes the damage.
fn damage(folder: &Path, rng: &TestRng) -> String {
    let all = files(folder);
    let path = &all[below(rng, all.len())];
    let mut bytes = fs::read(path).expect("a file");
    let at = below(rng, bytes.len());
    let how = below(rng, 4);
    let size = bytes.len();
    match how {
        0 if size > 0 => bytes[at] ^= 1 << below(rng, 8),
        1 => {
            let sector = at / 512 * 512;
            let end = (sector + 512).min(size);
            bytes[sector..end].fill(0);
        }
        2 => bytes.truncate(at),
        _ => {}
    }
    let word = ["a bit of", "512 bytes of", "cut", "deleted"][how];
    if how == 3 {
        fs::remove_file(path).expect("a file that can be deleted");
    } else {
        fs::write(path, bytes).expect("a file that can be written");
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    format!("{word} {name}, {at} of {size}")
}

async fn case(seed: u64, broken: &mut Broken) {
    let rng = TestRng::new(seed);
    let subject = &SUBJECTS[PLACES[below(&rng, PLACES.len())]];
    let step = STEPS[below(&rng, STEPS.len())];
    let trial = Trial::killed_at(subject, step).await;
    let damage = damage(trial.folder(), &rng);
    let mut complaint = None;
    // The second process may see the changes of the first.
    for _ in 0..2 {
        let ended = trial.go().await;
        let found = trial.overpaid().or_else(|| match &ended.result {
            Ok(outcomes) => trial.mixed_up(outcomes),
            Err(_) => None,
        });
        complaint = complaint.or(found);
    }
    let step = step.map_or_else(
        || "sealed".to_owned(),
        |(operation, moment)| format!("{operation:?} {moment:?}"),
    );
    let cell = format!("seed {seed}, {} at {step}: {damage}", subject.name);
    broken.note(cell, complaint);
}

/// Tries fifty positions from a seed on.
async fn fifty(first: u64) {
    let mut broken = Broken::default();
    for seed in first..first + 50 {
        case(seed, &mut broken).await;
    }
    broken.end();
}

macro_rules! seeds {
    ($($first:literal $name:ident;)*) => {
        $(#[tokio::test]
        async fn $name() {
            fifty($first).await;
        })*
    };
}

seeds! {
    1000 damage_at_places_1000_to_1049_is_never_paid_for;
    1050 damage_at_places_1050_to_1099_is_never_paid_for;
    1100 damage_at_places_1100_to_1149_is_never_paid_for;
    1150 damage_at_places_1150_to_1199_is_never_paid_for;
    1200 damage_at_places_1200_to_1249_is_never_paid_for;
    1250 damage_at_places_1250_to_1299_is_never_paid_for;
    1300 damage_at_places_1300_to_1349_is_never_paid_for;
    1350 damage_at_places_1350_to_1399_is_never_paid_for;
    1400 damage_at_places_1400_to_1449_is_never_paid_for;
    1450 damage_at_places_1450_to_1499_is_never_paid_for;
}
