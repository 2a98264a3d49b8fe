//! `lmbatch audit`: checks that each request has one outcome, and lists every billed answer.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader};
use std::path::Path;

use lmbatch::BatchId;
use lmbatch::engine::{Answers, BatchTotals, RunAudit};
use serde_json::{Value, json};

use super::continuing::unfinished;
use super::show::attempt;
use super::{deleted_answers, state};
use crate::args::ShowArgs;
use crate::cost_summary::{Amount, CostSummary};
use crate::exit::{Exit, Failure};
use crate::output_format::Compression;
use crate::session::Session;
use crate::summary::Billed;
use crate::table::{Cell, Column, Facts, Table, column};
use crate::target::Target;
use crate::written::{self, Found};
use crate::{format, terminal};

/// Numbers of an audit.
struct Audit {
    numbers: RunAudit,
    billed: Billed,
    cost: CostSummary,
    /// Number of lines of the output file, if there is one.
    lines: Option<u64>,
    /// Comparison of the output file with the record, if both exist.
    file: Option<Found>,
}

pub(crate) async fn audit(session: &Session, mut args: ShowArgs) -> Result<Exit, Failure> {
    args.run.state = state::holding(session, &args.run.state, &args.run.run).await?;
    let (run, notes, engine) = state::recorded(session, &args.run.run, &args.run.state).await?;
    deleted_answers::check(&engine, &run).await?;
    let Some(numbers) = engine.audit(&run).await? else {
        return Err(unfinished(&run));
    };
    let version = written::version(&run, &notes);
    // A row of a table may have several lines, and a compressed file has none.
    let is_lines = notes.format.is_lines() && Compression::of(&notes.output) == Compression::None;
    let (lines, file) = output(&notes.output, &written::recorded(&run), &version, is_lines)?;
    let as_of = engine.prices().map_or("", |prices| prices.as_of());
    let audit = Audit {
        cost: CostSummary::of_batch_totals(as_of, &numbers.batch_totals),
        billed: Billed::of(&numbers.batch_totals),
        numbers,
        lines,
        file,
    };
    let wrong = audit.wrong();
    if args.json {
        let shown = audit.json(&run.id, wrong.as_deref());
        terminal::json(&shown);
    } else {
        terminal::out(&audit.table());
        batches(&audit.numbers.batch_totals).print();
        let models = by_model(&audit.numbers.batch_totals);
        if models.len() > 1 {
            model_table(&models).print();
        }
    }
    if let Some(warning) = audit.billed.warning() {
        terminal::warn(&warning);
    }
    match wrong {
        None => {
            terminal::message("OK: every request has exactly one outcome");
            Ok(Exit::Usable)
        }
        Some(wrong) => {
            let failure = Failure::new(Exit::Failed, "audit", wrong);
            // The JSON object reports the failure already.
            match args.json {
                true => {
                    terminal::error(&failure);
                    Ok(Exit::Failed)
                }
                false => Err(failure),
            }
        }
    }
}

impl Audit {
    /// Returns a sentence about the first number that does not match.
    fn wrong(&self) -> Option<String> {
        if self.numbers.outcomes != self.numbers.requests {
            return Some(format!(
                "the run has {} for {}",
                format::count(self.numbers.outcomes, "outcome", "outcomes"),
                format::count(self.numbers.requests, "request", "requests")
            ));
        }
        if self.file == Some(Found::Other) {
            return Some("the output file was changed after it was written".to_owned());
        }
        let lines = self.lines.filter(|lines| *lines != self.numbers.requests)?;
        Some(format!(
            "the output file has {} for {}",
            format::count(lines, "line", "lines"),
            format::count(self.numbers.requests, "request", "requests")
        ))
    }

    fn file(&self) -> Option<&'static str> {
        self.file.map(|found| match found {
            Found::Current => "unchanged",
            Found::Earlier => "earlier_attempt",
            Found::Other => "changed",
        })
    }

    fn table(&self) -> String {
        let mut table = Facts::new();
        let billed = &self.billed;
        for (what, count) in [
            ("requests", self.numbers.requests),
            ("outcomes", self.numbers.outcomes),
            ("batches", self.numbers.batches),
            ("result rows", self.numbers.rows),
            ("duplicate rows", self.numbers.duplicates),
            ("unknown ids", self.numbers.foreign),
            ("malformed rows", self.numbers.malformed),
            ("tokens in", self.numbers.usage.input_tokens),
            ("tokens out", self.numbers.usage.output_tokens),
            ("billed answers", billed.answers),
            ("billed, superseded", billed.superseded),
            ("counted, not delivered", billed.undelivered),
            ("billed tokens in", billed.usage.input_tokens),
            ("billed tokens out", billed.usage.output_tokens),
        ] {
            table.row(what, &format::number(count));
        }
        for (name, value) in &self.cost.rows() {
            table.row(name, value);
        }
        if let Some(lines) = self.lines {
            table.row("output lines", &format::number(lines));
        }
        if let Some(file) = self.file() {
            table.row("output file", file);
        }
        table.to_string()
    }

    fn json(&self, run: &str, wrong: Option<&str>) -> Value {
        let (numbers, accounts) = (&self.numbers, &self.numbers.batch_totals);
        let models: BTreeMap<String, Value> = by_model(accounts)
            .into_iter()
            .map(|(model, answers)| (model, answers_json(&answers)))
            .collect();
        json!({
            "format": 1, "run": run, "ok": wrong.is_none(), "wrong": wrong,
            "requests": numbers.requests, "outcomes": numbers.outcomes,
            "rows": {
                "total": numbers.rows, "duplicate": numbers.duplicates, "unknown": numbers.foreign,
                "malformed": numbers.malformed,
            },
            "usage": numbers.usage, "billed": self.billed, "cost": self.cost, "models": models,
            "output": {"lines": self.lines, "file": self.file()},
            "batches": accounts.iter().map(batch_json).collect::<Vec<_>>(),
        })
    }
}

fn answers_json(answers: &Answers) -> Value {
    json!({"answers": answers.count, "usage": answers.usage, "cost": Amount::of(&answers.costs)})
}

fn batch_json(account: &BatchTotals) -> Value {
    let models: BTreeMap<&str, Value> = account
        .models
        .iter()
        .map(|(model, answers)| (&**model, answers_json(answers)))
        .collect();
    json!({
        "number": account.shard + 1, "batch": account.batch, "attempt": account.attempt + 1,
        "status": account.status, "requests": account.requests, "model": account.model,
        "counted": account.counts, "rows": account.rows, "answers": account.answered.count,
        "superseded": account.superseded.count, "errored": account.errored,
        "undelivered": account.undelivered(), "usage": account.answered.usage, "models": models,
        "cost": Amount::of(&account.answered.costs), "superseded_cost": Amount::of(&account.superseded.costs),
        "repair": account.repair,
    })
}

const BATCH: [Column; 12] = [
    column("#"),
    column("attempt").rank(5),
    column("batch").cut_start(12),
    column("status"),
    column("model").cut_end(12).rank(4),
    column("counted").rank(6),
    column("answers"),
    column("superseded").rank(3),
    column("not delivered").rank(2),
    column("tokens in"),
    column("tokens out"),
    column("cost").rank(1),
];

/// Returns the table of a run's batches, one batch per row.
fn batches(accounts: &[BatchTotals]) -> Table {
    let mut table = Table::new(BATCH);
    for account in accounts {
        let usage = account.answered.usage;
        table.row([
            (account.shard + 1).into(),
            attempt(account.attempt, account.repair),
            account.batch.as_ref().map(BatchId::as_str).into(),
            Cell::state(&account.status.to_string()),
            model(account).into(),
            account.counts.succeeded.into(),
            account.answered.count.into(),
            account.superseded.count.into(),
            account.undelivered().into(),
            usage.input_tokens.into(),
            usage.output_tokens.into(),
            Amount::of(&account.answered.costs).shown().into(),
        ]);
    }
    table
}

/// Returns the model of a batch: the one that answered, or else the one that was requested.
fn model(account: &BatchTotals) -> String {
    let answered: Vec<&str> = account.models.keys().map(|model| &**model).collect();
    match answered.as_slice() {
        [only] if !only.is_empty() => (*only).to_owned(),
        [] | [_] => account.model.as_deref().unwrap_or_default().to_owned(),
        several => several.join(", "),
    }
}

fn by_model(accounts: &[BatchTotals]) -> BTreeMap<String, Answers> {
    let mut models: BTreeMap<String, Answers> = BTreeMap::new();
    for account in accounts {
        for (model, answers) in &account.models {
            let asked = account.model.as_deref().unwrap_or_default();
            let model = if model.is_empty() { asked } else { model };
            let sum = models.entry(model.to_owned()).or_default();
            sum.count += answers.count;
            sum.usage += answers.usage;
            sum.costs += answers.costs;
        }
    }
    models
}

const MODEL: [Column; 5] = [
    column("model").cut_end(12),
    column("answers"),
    column("tokens in"),
    column("tokens out"),
    column("cost"),
];

fn model_table(models: &BTreeMap<String, Answers>) -> Table {
    let mut table = Table::new(MODEL);
    for (model, answers) in models {
        table.row([
            model.as_str().into(),
            answers.count.into(),
            answers.usage.input_tokens.into(),
            answers.usage.output_tokens.into(),
            Amount::of(&answers.costs).shown().into(),
        ]);
    }
    table
}

/// Returns the number of lines of an output file, and its comparison with the output of the run. Both are `None`
/// without a file.
fn output(
    path: &Path,
    outputs: &[written::Written],
    version: &str,
    is_lines: bool,
) -> Result<(Option<u64>, Option<Found>), Failure> {
    let path = match Target::of(path) {
        Ok(Target::File { path, exists: true }) => path,
        // Standard output, pipes and devices cannot be compared.
        Ok(_) => return Ok((None, None)),
        Err(failure) => match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, None)),
            _ => return Err(Failure::failed(failure.message)),
        },
    };
    let unread = |error: io::Error| {
        Failure::failed(format!(
            "output file {} cannot be read: {error}",
            path.display()
        ))
    };
    let found = match outputs {
        [] => None,
        outputs => Some(written::compare(&path, outputs, version).map_err(unread)?),
    };
    let lines = match is_lines {
        true => Some(lines(&path).map_err(unread)?),
        false => None,
    };
    Ok((lines, found))
}

fn lines(path: &Path) -> io::Result<u64> {
    let file = std::fs::File::open(path)?;
    let mut count = 0;
    for line in BufReader::new(file).split(b'\n') {
        count += u64::from(!line?.is_empty());
    }
    Ok(count)
}
