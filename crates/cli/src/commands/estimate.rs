//! `lmbatch estimate`: estimated cost of an input with one model or several. Nothing is sent.

use std::path::Path;

use lmbatch::engine::Checked;
use lmbatch::{BatchLimit, CostRange, Prices as _};
use serde_json::{Value, json};

use super::before_paying::{Price, attached, output_basis, retiring};
use super::{clock, empty_input, validate};
use crate::args::EstimateArgs;
use crate::estimator::Estimator;
use crate::exit::{Exit, Failure};
use crate::model::{self, Model};
use crate::table::{Cell, Column, Table, column};
use crate::{input, terminal};

/// Estimate of one model.
struct Estimated {
    model: Model,
    checked: Checked,
    estimator: Estimator,
}

pub(crate) fn estimate(args: &EstimateArgs) -> Result<Exit, Failure> {
    let table = args.options.prices.table()?;
    let as_of = table.as_of().to_owned();
    if args.input == Path::new("-") && args.each.models.len() > 1 {
        return Err(Failure::usage(
            "standard input can be read once, and each model reads the requests again",
        )
        .hint("name a file, or one model"));
    }
    let at = clock().now();
    let mut all = Vec::new();
    for name in &args.each.models {
        let model = model::parse(name)?;
        let mut settings = args.each.settings.clone();
        settings.model.clone_from(name);
        let expected = args.options.expect_output;
        let provider = model.provider.id();
        let mut estimator = Estimator::new(table.clone(), provider, at, expected);
        let (checked, facts) = validate::checked_each(
            &args.input,
            &settings,
            BatchLimit::default(),
            &mut |request| estimator.add(request),
        )?;
        // Each model reads the same rows.
        if all.is_empty() {
            input::report_nulls(&facts);
        }
        if checked.requests == 0 {
            return Err(empty_input(&args.input));
        }
        all.push(Estimated {
            model,
            checked,
            estimator,
        });
    }
    if args.options.json {
        terminal::json(&json!({
            "format": 1, "input": args.input, "as_of": as_of,
            "models": all.iter().map(Estimated::json).collect::<Vec<_>>(),
        }));
    } else {
        table_of(&all).print();
    }
    notes(&all, &as_of);
    Ok(Exit::Usable)
}

const ESTIMATE: [Column; 7] = [
    column("model").cut_end(12),
    column("requests"),
    column("bytes").rank(2),
    column("input tokens").rank(1),
    column("input"),
    column("output"),
    column("total"),
];

fn table_of(all: &[Estimated]) -> Table {
    let mut table = Table::new(ESTIMATE);
    let cost = |cost: Option<CostRange>| cost.map_or("unknown".to_owned(), CostRange::rounded);
    for one in all {
        let estimate = one.estimator.estimate();
        table.row([
            one.name().into(),
            one.checked.requests.into(),
            Cell::Bytes(one.checked.bytes),
            estimate.input_tokens.into(),
            cost(estimate.input).into(),
            cost(estimate.output).into(),
            cost(estimate.total()).into(),
        ]);
    }
    table
}

/// Prints the assumptions of the estimates, and warnings about models.
fn notes(all: &[Estimated], as_of: &str) {
    // Each model reads the same requests.
    let basis = all
        .first()
        .map(|one| output_basis(one.estimator.estimate()));
    terminal::message(&format!(
        "batch prices of {as_of}; output {}",
        basis.unwrap_or_default()
    ));
    terminal::message(
        "input tokens are estimated as one for 3 bytes as sent; English text has about 4 bytes to a token",
    );
    if let Some(most) = all
        .iter()
        .map(|one| one.estimator.estimate().attached)
        .max()
        .filter(|attached| *attached > 0)
    {
        terminal::message(&attached(most));
    }
    for one in all {
        for warning in retiring(&one.estimator, one.model.provider.id()) {
            terminal::warn(&warning);
        }
    }
}

impl Estimated {
    fn name(&self) -> String {
        format!("{}/{}", self.model.provider.id(), self.model.name)
    }

    fn json(&self) -> Value {
        let mut json = serde_json::to_value(Price::of(&self.estimator)).unwrap_or_default();
        json["model"] = self.name().into();
        json["requests"] = self.checked.requests.into();
        json["bytes"] = self.checked.bytes.into();
        json["retires"] = self.estimator.retires(&self.model.name).into();
        json
    }
}
