//! Subject of a self-test: a provider, its route and a model.

use std::time::SystemTime;

use lmbatch::prices::{ModelPrices, PriceTable};
use lmbatch::{Pricing, TokenUsage};

use crate::exit::Failure;
use crate::providers::{Provider, Route};
use crate::selftest_args::SelftestArgs;
use crate::{format, model};

/// Tokens by which models are compared: as many of input as of output.
const COMPARED: TokenUsage = TokenUsage {
    input_tokens: 1_000,
    cached_input_tokens: 0,
    cache_write_tokens: 0,
    cache_write_1h_tokens: 0,
    audio_input_tokens: 0,
    output_tokens: 1_000,
    thinking_tokens: 0,
};

/// Provider, route and model that are tested.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) provider: &'static Provider,
    pub(super) route: Route,
    /// Name of the model at the provider.
    pub(super) model: String,
    /// `true` where the model is the cheapest one of the table, and the arguments name none.
    pub(super) is_cheapest: bool,
}

impl Subject {
    /// Returns the subject that the arguments name, with the cheapest model where they name none.
    ///
    /// # Errors
    /// Usage, for an unknown provider or route, a model of another provider, or a provider without a model whose
    /// price is known.
    pub(super) fn of(
        args: &SelftestArgs,
        table: &PriceTable,
        now: SystemTime,
    ) -> Result<Self, Failure> {
        let named = args.provider.as_deref().map(model::find).transpose()?;
        let model = args.model.as_deref().map(model::parse).transpose()?;
        let (provider, name) = match (named, model) {
            (Some(named), Some(model)) if named.id() != model.provider.id() => {
                return Err(Failure::usage(format!(
                    "-m names a model of {}, and -p the provider {}; leave out -p",
                    model.provider.id(),
                    named.id()
                )));
            }
            (_, Some(model)) => (model.provider, Some(model.name)),
            (Some(named), None) => (named, None),
            (None, None) => {
                return Err(Failure::usage(
                    "name a provider with -p, or a model with -m",
                ));
            }
        };
        let route = model::route(provider, args.route.as_deref())?;
        let is_cheapest = name.is_none();
        let cheapest = || cheapest(table, provider.id(), now).map(|found| found.model().to_owned());
        let model = name.or_else(cheapest).ok_or_else(|| {
            let id = provider.id();
            Failure::usage(format!("the table of prices has no batch price of {id}"))
                .hint(format!("name a model with -m {id}/MODEL"))
        })?;
        Ok(Self {
            provider,
            route,
            model,
            is_cheapest,
        })
    }
}

/// Returns the cheapest model of a provider that has a batch price and has not retired.
fn cheapest<'t>(table: &'t PriceTable, provider: &str, now: SystemTime) -> Option<&'t ModelPrices> {
    let time = format::time(now);
    let today = time.split('T').next().unwrap_or_default();
    let models = table.models().filter(|model| model.provider() == provider);
    let served = models.filter(|model| model.retires().is_none_or(|day| today < day));
    let priced = served.filter_map(|model| {
        let rates = model.rates(Pricing::Batch, now, COMPARED.input_tokens)?;
        Some((rates.cost(&COMPARED)?.high, model))
    });
    priced.min_by_key(|(cost, _)| *cost).map(|(_, model)| model)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use lmbatch::adapter::parse_time;

    use super::*;

    #[derive(clap::Parser)]
    struct Only {
        #[command(flatten)]
        args: SelftestArgs,
    }

    const TABLE: &str = r#"{"schema": "lmbatch-prices/1", "as_of": "2026-11-27", "models": [
        {"provider": "openai", "model": "dear", "batch": [{"in": "5", "out": "9"}]},
        {"provider": "openai", "model": "old", "retires": "2026-11-27", "batch": [{"in": "0.1", "out": "0.1"}]},
        {"provider": "openai", "model": "leaving", "retires": "2026-11-28", "batch": [{"in": "0.2", "out": "0.2"}]},
        {"provider": "openai", "model": "cheap", "batch": [{"in": "0.3", "out": "0.3"}]},
        {"provider": "openai", "model": "vectors", "batch": [{"in": "0.01"}]},
        {"provider": "google", "model": "other", "batch": [{"in": "0.01", "out": "0.01"}]}
    ]}"#;

    fn subject(words: &[&str], day: &str) -> Result<Subject, Failure> {
        let words = ["selftest"].iter().chain(words);
        let args = Only::try_parse_from(words).unwrap().args;
        let table = PriceTable::from_json(TABLE).unwrap();
        Subject::of(
            &args,
            &table,
            parse_time(&format!("{day}T12:00:00Z")).unwrap(),
        )
    }

    #[test]
    fn a_provider_alone_is_tested_with_its_cheapest_model_that_has_not_retired() {
        for (day, model) in [
            ("2026-11-26", "old"),
            ("2026-11-27", "leaving"),
            ("2026-11-28", "cheap"),
        ] {
            let subject = subject(&["-p", "openai"], day).unwrap();
            assert_eq!(
                (&*subject.model, subject.is_cheapest),
                (model, true),
                "{day}"
            );
        }
    }

    #[test]
    fn a_model_is_enough_and_must_be_of_the_named_provider() {
        for words in [
            &["-m", "openai/org/m"][..],
            &["-p", "openai", "-m", "openai/org/m"],
        ] {
            let subject = subject(words, "2026-11-27").unwrap();
            let found = (subject.provider.id(), &*subject.model, subject.is_cheapest);
            assert_eq!(found, ("openai", "org/m", false));
        }
        for (words, message) in [
            (
                &["-p", "google", "-m", "openai/m"][..],
                "-m names a model of openai, and -p the provider google",
            ),
            (&["-p", "anthropic"], "has no batch price of anthropic"),
            (&["-p", "google", "--route", "x"], "has no route \"x\""),
        ] {
            let failure = subject(words, "2026-11-27").unwrap_err();
            assert!(failure.message.contains(message), "{}", failure.message);
        }
    }
}
