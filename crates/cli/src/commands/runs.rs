//! `lmbatch runs`: lists the runs of a state folder, newest first.

use std::collections::HashMap;

use lmbatch::engine::spooled_files;
use lmbatch::record::{Ledger as _, RunFilter, RunRecord};
use serde_json::json;

use super::run_settings::Shown;
use super::show::{hide_key, run_json};
use super::{clock, state};
use crate::args::RunsArgs;
use crate::exit::{Exit, Failure};
use crate::live::Live;
use crate::session::Session;
use crate::table::{Cell, Column, Table, column};
use crate::{format, hints, retention, terminal};

pub(crate) async fn runs(session: &Session, mut args: RunsArgs) -> Result<Exit, Failure> {
    if args.emulated {
        args.state = state::emulated(&args.state)?;
    }
    let Some(mut reader) = state::live_if_any(session, &args.state).await? else {
        return none_yet(&args);
    };
    let mut sizes = Sizes::of(&args)?;
    let mut table = match sizes {
        Some(_) => RunTable::sized(),
        None => RunTable::new(),
    };
    let mut left = match args.limit {
        0 => usize::MAX,
        _ if args.all => usize::MAX,
        limit => limit,
    };
    let (mut filter, mut listed) = (RunFilter::default(), 0);
    let has_more = loop {
        filter.limit = Some(u32::try_from(left).unwrap_or(u32::MAX).min(PAGE));
        let page = reader.ledger().runs(&filter).await?;
        left -= page.items.len().min(left);
        listed += page.items.len() as u64;
        for run in &page.items {
            hide_key(run);
            let (live, shards, _) = reader.read(run).await?;
            let shown = Shown::of(run);
            let bytes = sizes.as_mut().map(|sizes| sizes.take(run));
            if args.json {
                let mut value = run_json(run, &shown, &shards, &live);
                if let Some(bytes) = bytes {
                    value["bytes"] = json!(bytes);
                }
                terminal::json(&value);
            } else {
                table.add(run, &shown, &live, bytes);
            }
        }
        match page.next {
            Some(next) if left > 0 => filter.after = Some(next),
            rest => break rest.is_some(),
        }
    };
    if listed == 0 {
        return none_yet(&args);
    }
    if !args.json {
        table.print();
    }
    if has_more {
        let more = reader.ledger().count_runs().await?;
        let more = more.saturating_sub(listed).max(1);
        terminal::message(&format!(
            "{} not listed; {} lists every run",
            format::count(more, "older run is", "older runs are"),
            hints::on_runs(["runs", "--all"])
        ));
    }
    if let Some(sizes) = sizes {
        sizes.warn(args.size_limit.0);
    }
    Ok(Exit::Usable)
}

/// Maximum number of runs that are read at once.
const PAGE: u32 = 100;

fn none_yet(args: &RunsArgs) -> Result<Exit, Failure> {
    if !args.json {
        terminal::message(&state::no_runs(&args.state)?);
    }
    Ok(Exit::Usable)
}

/// Table with a run per row.
pub(super) struct RunTable {
    table: Table,
    has_size: bool,
}

const RUN: [Column; 11] = [
    column("run"),
    column("name").cut_middle(14).rank(4),
    column("state"),
    column("requests"),
    column("answered").rank(7),
    column("failed"),
    column("done"),
    column("eta"),
    column("started"),
    column("model").cut_end(14).rank(5),
    column("output").cut_start(20).rank(6),
];

impl RunTable {
    pub(super) fn new() -> Self {
        Self {
            table: Table::new(RUN),
            has_size: false,
        }
    }

    /// Returns a table with the size of each run on this disk, in place of the expected end.
    fn sized() -> Self {
        let mut columns = RUN;
        // The size of a run tells little without its name.
        columns[1] = columns[1].rank(0);
        columns[6] = columns[6].rank(4);
        columns[7] = column("size");
        Self {
            table: Table::new(columns),
            has_size: true,
        }
    }

    pub(super) fn add(&mut self, run: &RunRecord, shown: &Shown, live: &Live, bytes: Option<u64>) {
        let seventh = match self.has_size {
            true => bytes.map_or(Cell::Empty, Cell::Bytes),
            false => eta_cell(live),
        };
        self.table.row([
            (&*run.id).into(),
            run.name.as_deref().into(),
            Cell::state(live.state.as_str()),
            live.requests.into(),
            live.answered.into(),
            live.failed.into(),
            Cell::Percent(live.percent()),
            seventh,
            run.created_at.into(),
            shown.model_in_full().into(),
            shown.output.display().to_string().into(),
        ]);
    }

    pub(super) fn print(&self) {
        self.table.print();
    }

    pub(super) fn within(&self, look: terminal::Look) -> String {
        self.table.within(look)
    }
}

/// Returns the cell with the expected end of a run.
pub(super) fn eta_cell(live: &Live) -> Cell {
    match live.eta {
        _ if !live.is_open() => Cell::Empty,
        Some(at) if at > clock().now() => at.into(),
        Some(_) => "overdue".into(),
        None => "unknown".into(),
    }
}

/// Bytes of runs on this disk.
struct Sizes {
    /// Bytes of the files of each run, by its nonce.
    of_runs: HashMap<String, u64>,
    total: u64,
}

impl Sizes {
    /// Measures the files of every run, if the arguments ask for it.
    fn of(args: &RunsArgs) -> Result<Option<Self>, Failure> {
        if !args.size {
            return Ok(None);
        }
        let folder = state::folder(&args.state)?;
        let mut of_runs = HashMap::new();
        for file in spooled_files(&folder.join("spool"))? {
            *of_runs.entry(file.nonce).or_default() += file.bytes;
        }
        let total = retention::size(&folder, of_runs.values().copied());
        Ok(Some(Self { of_runs, total }))
    }

    fn take(&mut self, run: &RunRecord) -> u64 {
        self.of_runs.remove(run.nonce.as_str()).unwrap_or_default()
    }

    /// Prints a warning if the state folder is larger than the limit.
    fn warn(&self, limit: u64) {
        retention::warn_of_size(self.total, limit);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use lmbatch::engine::RunState;

    use super::*;
    use crate::terminal::Look;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn run(id: &str, name: Option<&str>) -> RunRecord {
        serde_json::from_value(json!({
            "id": id, "name": name, "digest": "d", "provider": "openai", "account": "a", "ids": "verbatim",
            "nonce": "abcdefghijkl", "requests": 5_000, "attempt": 0, "finished": false, "notes": {
                "model": "gpt-5.4-mini", "output": "/home/user/projects/tickets/tickets.openai.gpt-5.4-mini.jsonl",
            },
            "created_at": "1970-01-01T00:16:40Z",
        }))
        .unwrap()
    }

    fn live(state: RunState, answered: u64) -> Live {
        Live {
            state,
            requests: 5_000,
            answered,
            failed: 23,
            batches: 2,
            ended_batches: 1,
            eta: None,
            expires_at: None,
            polled_at: None,
            holder: None,
        }
    }

    #[test]
    fn the_list_of_runs_fits_eighty_and_a_hundred_and_twenty_columns() {
        let mut table = RunTable::new();
        let (nightly, other) = (
            run("r-b7h0xn", Some("nightly-summaries")),
            run("r-zbkrkq", None),
        );
        let running = live(RunState::Running, 414);
        table.add(&nightly, &Shown::of(&nightly), &running, None);
        let finished = live(RunState::Finished, 4_977);
        table.add(&other, &Shown::of(&other), &finished, None);
        let shown = |columns| {
            table.within(Look::Terminal {
                columns,
                colour: false,
                now: at(1_000 + 200),
            })
        };
        let at_80 = "\
run       name              state     requests  failed  done  eta      started
r-b7h0xn  nigh…y-summaries  running      5,000      23    8%  unknown  3 min ago
r-zbkrkq  -                 finished     5,000      23  100%  -        3 min ago";
        assert_eq!(shown(80), at_80);
        let at_120 = "\
run       name              state     requests  failed  done  eta      started    model             output
r-b7h0xn  nigh…y-summaries  running      5,000      23    8%  unknown  3 min ago  openai/gpt-5.4-…  ….gpt-5.4-mini.jsonl
r-zbkrkq  -                 finished     5,000      23  100%  -        3 min ago  openai/gpt-5.4-…  ….gpt-5.4-mini.jsonl";
        assert_eq!(shown(120), at_120);
        let output = "/home/user/projects/tickets/tickets.openai.gpt-5.4-mini.jsonl";
        let in_a_pipe = format!(
            "run\tname\tstate\trequests\tanswered\tfailed\tdone\teta\tstarted\tmodel\toutput
r-b7h0xn\tnightly-summaries\trunning\t5000\t414\t23\t8\tunknown\t1970-01-01T00:16:40Z\topenai/gpt-5.4-mini\t{output}
r-zbkrkq\t\tfinished\t5000\t4977\t23\t100\t\t1970-01-01T00:16:40Z\topenai/gpt-5.4-mini\t{output}"
        );
        assert_eq!(table.within(Look::Pipe), in_a_pipe);
    }

    #[test]
    fn names_that_end_in_a_day_stay_apart_at_eighty_columns() {
        let days = ["tickets-2026-11-26", "tickets-2026-11-27"];
        let look = Look::Terminal {
            columns: 80,
            colour: false,
            now: at(1_000 + 200),
        };
        let text = |table: &mut RunTable, bytes| {
            for day in days {
                let run = run("r-b7h0xn", Some(day));
                let finished = live(RunState::Finished, 4_977);
                table.add(&run, &Shown::of(&run), &finished, bytes);
            }
            table.within(look)
        };
        // No run has an expected end, so that its column is not there.
        let at_80 = "\
run       name                state     requests  failed  done  started
r-b7h0xn  tickets-2026-11-26  finished     5,000      23  100%  3 min ago
r-b7h0xn  tickets-2026-11-27  finished     5,000      23  100%  3 min ago";
        assert_eq!(text(&mut RunTable::new(), None), at_80);
        let sized = "\
run       name             state     requests  failed  done      size  started
r-b7h0xn  tic…-2026-11-26  finished     5,000      23  100%  512.0 MB  3 min ago
r-b7h0xn  tic…-2026-11-27  finished     5,000      23  100%  512.0 MB  3 min ago";
        assert_eq!(text(&mut RunTable::sized(), Some(512_000_000)), sized);
    }
}
