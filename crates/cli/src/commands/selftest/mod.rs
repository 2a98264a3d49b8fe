//! `lmbatch selftest`: proves at the live provider what its adapter assumes, for a few requests and a bounded cost.
//!
//! The checks call the provider's trait and no run, so that they work for every adapter. Each batch has a label of
//! lmbatch that begins with `lmbatch-selftest`; `doctor` finds the batches of a self-test that was killed.

mod batch;
mod budget;
mod checks;
pub(crate) mod found;
mod label;
mod left;
mod names;
mod plan;
mod report;
mod stop;
mod subject;
mod tester;

use std::sync::Arc;

use lmbatch::adapter::BatchProvider;
use lmbatch::engine::SystemRng;

use self::batch::Writer;
use self::budget::Budget;
use self::left::Left;
use self::plan::Plan;
use self::report::{About, Finding, Report};
use self::stop::Stop;
use self::subject::Subject;
use self::tester::{Halt, Tester, Waits};
use super::{clock, connect};
use crate::emulation::{self, Emulation};
use crate::exit::{Exit, Failure};
use crate::selftest_args::SelftestArgs;
use crate::{format, terminal};

pub(crate) async fn selftest(args: SelftestArgs) -> Result<Exit, Failure> {
    args.check()?;
    let clock = clock();
    let table = args.prices.table()?;
    let subject = Subject::of(&args, &table, clock.now())?;
    let (_emulation, provider) = provider(&args, &subject).await?;
    let nonce = label::nonce(&SystemRng);
    let plan = Plan::new(Writer {
        codec: provider.codec(),
        model: &subject.model,
        max_tokens: args.max_tokens,
        nonce: &nonce,
    })?;
    let budget = Budget::new(table, subject.provider.id(), args.limit());
    let most = budget.check(&plan.batches(), clock.now())?;
    let about = About {
        date: format::time(clock.now()),
        provider: subject.provider.id(),
        route: subject.route,
        endpoint: plan.endpoint().to_owned(),
        model: subject.model.clone(),
        is_cheapest: subject.is_cheapest,
        emulated: args.emulate,
        base_url: base_url(&args, &subject),
    };
    begin(&about, most);
    let mut tester = Tester {
        provider,
        clock: Arc::clone(&clock),
        report: Report::default(),
        budget,
        left: Left::default(),
        waits: Waits {
            timeout: args.timeout,
            interval: args.poll_interval,
        },
        stop: Stop::new(),
        is_unfinished: false,
    };
    let ended = checks::all(&mut tester, &plan, &subject.model).await;
    clean_up(&mut tester, args.keep).await;
    tester.report.complete(match &ended {
        Ok(()) => "no earlier check made it possible",
        Err(Halt::Stopped(..)) => "the self-test was stopped",
        Err(Halt::Failed(_)) => "an earlier check failed",
    });
    let made = tester.left.made();
    match args.json {
        true => terminal::json(&tester.report.json(&about, &tester.budget, &made)),
        false => terminal::out(&tester.report.markdown(&about, &tester.budget, &made)),
    }
    end(&tester, ended)
}

/// Returns the base URL of the API as it may be published: without credentials, a query and a fragment. `None` for an
/// emulation, whose port is of this call only, and for an adapter that does not tell.
fn base_url(args: &SelftestArgs, subject: &Subject) -> Option<String> {
    if args.emulate {
        return None;
    }
    let named = args.connection.base_url.clone();
    named
        .or_else(|| subject.provider.base_url())
        .map(|url| published(&url))
}

/// Removes the credentials, the query and the fragment of a URL.
fn published(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let url = &url[..end];
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

/// Connects to the provider, or to its emulation.
async fn provider(
    args: &SelftestArgs,
    subject: &Subject,
) -> Result<(Option<Emulation>, Arc<dyn BatchProvider>), Failure> {
    if !args.emulate {
        let provider = connect(subject.provider, &args.connection, subject.route)?;
        return Ok((None, provider));
    }
    let emulation = emulation::start(subject.provider, subject.route, &args.emulator).await?;
    let provider = emulation.connect(subject.provider, subject.route)?;
    Ok((Some(emulation), provider))
}

/// Prints the subject and the largest cost, before anything is sent.
fn begin(about: &About, most: Option<lmbatch::Cost>) {
    let chosen = match about.is_cheapest {
        true => ", the cheapest model with a batch price",
        false => "",
    };
    let cost = match (about.emulated, most) {
        (true, _) => "nothing: it is emulated".to_owned(),
        (false, Some(most)) => format!("at most {}", most.rounded()),
        (false, None) => "an unknown amount".to_owned(),
    };
    terminal::message(&format!(
        "testing {}/{}{chosen}; the self-test costs {cost}",
        about.provider, about.model
    ));
}

/// Deletes the batches and files of the self-test, unless they are to be kept.
async fn clean_up(tester: &mut Tester, keep: bool) {
    let start = tester.clock.elapsed();
    if keep {
        tester.left.keep();
        tester.skip(names::DISCARD, "--keep keeps batches and files");
    } else {
        let (provider, clock) = (&*tester.provider, &*tester.clock);
        tester.left.clean(provider, clock).await;
        match tester.left.deleted() {
            None => tester.skip(names::DISCARD, "nothing was deleted"),
            Some(remote_object) => {
                let finding = match tester.provider.discard(&remote_object).await {
                    Ok(()) => Finding::Holds(String::new()),
                    Err(error) => Finding::Differs(error.to_string()),
                };
                tester.note(names::DISCARD, start, finding);
            }
        }
    }
    tester.left.print();
}

/// Returns the exit code: that of a signal or failure, else 1 where a check differs, else 4 where a wait ended early.
fn end(tester: &Tester, ended: Result<(), Halt>) -> Result<Exit, Failure> {
    match ended {
        Err(Halt::Stopped(exit, name)) => {
            let message = format!("stopped by {name} before the last check");
            Err(Failure::new(exit, "stopped", message))
        }
        Err(Halt::Failed(failure)) => Err(*failure),
        Ok(()) if tester.report.differs() => Ok(Exit::Failed),
        Ok(()) if tester.is_unfinished => Ok(Exit::Unfinished),
        Ok(()) => Ok(Exit::Usable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_url_has_no_credentials_and_no_query() {
        for (url, expected) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            (
                "http://127.0.0.1:8787/v1?key=sk-x",
                "http://127.0.0.1:8787/v1",
            ),
            (
                "https://me:sk-x@proxy.example/a@b",
                "https://proxy.example/a@b",
            ),
            ("https://me@sk-x@proxy.example", "https://proxy.example"),
            ("https://proxy.example#sk-x", "https://proxy.example"),
            ("proxy?sk-x", "proxy"),
        ] {
            assert_eq!(published(url), expected, "{url}");
        }
    }
}
