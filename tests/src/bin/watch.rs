//! Watches many live batches of one account in one process, as many runs that are resumed together. For the bench.
//!
//! `watch prepare FOLDER BASE_URL RUNS BATCHES` records runs whose batches exist, without any call.
//! `watch resume FOLDER BASE_URL SECONDS` resumes all of them, and polls each batch once a minute. It prints the
//! milliseconds of processor time used after 30 s, after 55 s and at the end, and the peak of its memory in MiB.
#![expect(clippy::print_stderr, reason = "the bench shows errors")]
#![expect(clippy::print_stdout, reason = "the bench reads figures")]

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use lmbatch::durable::{FolderSpool, StateFolder};
use lmbatch::openai::OpenAi;
use lmbatch_core::{BatchId, Change, ErrorKind, Proof, RunFilter, ShardState};
use lmbatch_engine::{BatchLimit, Engine, PollingPolicy, RunOptions};
use lmbatch_testing::TestRequests;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match watch(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("watch: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn watch(args: &[String]) -> anyhow::Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match *args {
        ["prepare", folder, base, runs, batches] => {
            runtime.block_on(prepare(folder, base, runs.parse()?, batches.parse()?))
        }
        ["resume", folder, base, seconds] => {
            runtime.block_on(resume(folder, base, Duration::from_secs(seconds.parse()?)))
        }
        _ => Err(anyhow!(
            "prepare FOLDER BASE_URL RUNS BATCHES | resume FOLDER BASE_URL SECONDS"
        )),
    }
}

async fn engine(folder: &str, base: &str) -> anyhow::Result<Engine> {
    let provider = OpenAi::builder().api_key("k").base_url(base).build()?;
    let folder = StateFolder::write(folder)?;
    let ledger = Arc::new(folder.ledger().await?);
    let spool = Arc::new(FolderSpool::new(folder.spool()));
    let limit = BatchLimit {
        max_requests: Some(1),
        ..BatchLimit::default()
    };
    let engine = Engine::new(Arc::new(provider)).with_record(ledger, spool);
    let polling = PollingPolicy::every(Duration::from_secs(60));
    Ok(engine.with_batch_limit(limit).with_polling(polling))
}

async fn prepare(folder: &str, base: &str, runs: u64, batches: u64) -> anyhow::Result<()> {
    let engine = engine(folder, base).await?;
    for number in 0..runs {
        let requests = (1..=batches).map(|number| (number.to_string(), "Say it."));
        let requests = TestRequests::new(requests);
        let plan = engine.plan(Box::new(requests)).await;
        let plan = plan.map_err(|error| anyhow!("the plan failed: {error:?}"))?;
        let run = engine.begin(&plan, None, BTreeMap::new()).await?;
        let shards = engine.ledger().shards(&run.id).await?.into_iter();
        let created: Vec<_> = shards
            .zip(number * batches..)
            .map(|(shard, batch)| {
                shard.advanced(ShardState::Created {
                    batch: BatchId::new(format!("batch_{batch}")),
                    proof: Proof::proved("the bench has recorded it"),
                })
            })
            .collect();
        let change = Change {
            shards: &created,
            ..Change::default()
        };
        engine.ledger().apply(&change).await?;
    }
    Ok(())
}

/// Times at which the processor time is read while nothing is due: the first look is over, the second is to come.
const IDLE: [Duration; 2] = [Duration::from_secs(30), Duration::from_secs(55)];

#[expect(clippy::disallowed_methods, reason = "the bench has no Clock")]
async fn resume(folder: &str, base: &str, time: Duration) -> anyhow::Result<()> {
    let engine = engine(folder, base).await?;
    let idle = tokio::spawn(async {
        let [first, second] = IDLE;
        tokio::time::sleep(first).await;
        let used = cpu_ms()?;
        tokio::time::sleep(second - first).await;
        anyhow::Ok((used, cpu_ms()?))
    });
    let mut tasks = tokio::task::JoinSet::new();
    let mut filter = RunFilter::default();
    loop {
        let page = engine.ledger().runs(&filter).await?;
        for run in page.items {
            let engine = engine.clone();
            tasks.spawn(async move {
                let options = RunOptions {
                    deadline: Some(time),
                    ..RunOptions::default()
                };
                engine.resume(&run, options).await.map(drop)
            });
        }
        filter.after = page.next;
        if filter.after.is_none() {
            break;
        }
    }
    ensure!(!tasks.is_empty(), "there are no runs");
    while let Some(ended) = tasks.join_next().await {
        let error = ended.context("a task")?.err().context("a run has ended")?;
        ensure!(error.kind() == ErrorKind::Timeout, "{error}");
    }
    let (first, second) = idle.await??;
    let peak = getrusage(UsageWho::RUSAGE_SELF)?.max_rss() as f64 / 1024.0;
    println!("{first} {second} {} {peak}", cpu_ms()?);
    Ok(())
}

/// Returns the milliseconds of processor time that this process has used.
fn cpu_ms() -> anyhow::Result<f64> {
    let used = getrusage(UsageWho::RUSAGE_SELF)?;
    let ms = |time: TimeVal| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3;
    Ok(ms(used.user_time()) + ms(used.system_time()))
}
