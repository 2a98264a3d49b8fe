//! Report of a self-test: one entry for each check, as Markdown in lines of 80 columns or as JSON.

use std::time::Duration;

use lmbatch::Cost;
use serde_json::{Value, json};

use super::budget::Budget;
use super::names;
use crate::plain::plain;
use crate::wrapped::wrapped;

/// Width of the lines of a report, which stands in terminals, mails and documents.
const COLUMNS: usize = 80;

/// Result of a check, with the measured values or the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Finding {
    Holds(String),
    Differs(String),
    NotTested(String),
}

impl Finding {
    /// Returns `Holds` or `Differs`, with the measured values.
    pub(super) fn of(holds: bool, measured: impl Into<String>) -> Self {
        match holds {
            true => Self::Holds(measured.into()),
            false => Self::Differs(measured.into()),
        }
    }

    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Holds(measured) => ("holds", measured),
            Self::Differs(measured) => ("differs", measured),
            Self::NotTested(reason) => ("not tested", reason),
        }
    }
}

/// Check that was made.
#[derive(Debug)]
struct Check {
    name: &'static str,
    finding: Finding,
    took: Duration,
}

/// Batch or file that the self-test made at the provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Made {
    /// Kind of the object and its id, such as `batch batch_123`.
    pub(super) object: String,
    pub(super) label: String,
    /// State at the end of the self-test: deleted, or the reason why it is left.
    pub(super) end: String,
    pub(super) is_left: bool,
}

/// Facts about a self-test as a whole.
#[derive(Debug)]
pub(super) struct About {
    pub(super) date: String,
    pub(super) provider: &'static str,
    pub(super) route: &'static str,
    pub(super) endpoint: String,
    pub(super) model: String,
    pub(super) is_cheapest: bool,
    pub(super) emulated: bool,
    pub(super) base_url: Option<String>,
}

/// Checks of a self-test, in the order in which they are made.
#[derive(Debug, Default)]
pub(super) struct Report {
    checks: Vec<Check>,
}

impl Report {
    pub(super) fn add(&mut self, name: &'static str, finding: Finding, took: Duration) {
        self.checks.push(Check {
            name,
            finding,
            took,
        });
    }

    /// Adds the checks that were not made, with a reason.
    pub(super) fn complete(&mut self, reason: &str) {
        for name in names::ALL {
            if !self.checks.iter().any(|check| check.name == *name) {
                let finding = Finding::NotTested(reason.to_owned());
                self.add(name, finding, Duration::ZERO);
            }
        }
        let place = |check: &Check| names::ALL.iter().position(|name| *name == check.name);
        self.checks.sort_by_key(place);
    }

    /// Returns the numbers of checks that hold, that differ, and that were not made.
    fn counts(&self) -> [usize; 3] {
        let count = |of: fn(&Finding) -> bool| {
            let found = self.checks.iter().filter(|check| of(&check.finding));
            found.count()
        };
        [
            count(|finding| matches!(finding, Finding::Holds(_))),
            count(|finding| matches!(finding, Finding::Differs(_))),
            count(|finding| matches!(finding, Finding::NotTested(_))),
        ]
    }

    pub(super) fn differs(&self) -> bool {
        self.counts()[1] > 0
    }

    /// Returns the report as Markdown.
    pub(super) fn markdown(&self, about: &About, budget: &Budget, made: &[Made]) -> String {
        let [holds, differs, skipped] = self.counts();
        let mut text = format!("# Self-test of {}\n\n", about.provider);
        let api = match (about.emulated, &about.base_url) {
            (true, _) => "the emulator of lmbatch; nothing was sent to a provider".to_owned(),
            (false, Some(url)) => url.clone(),
            (false, None) => "not reported by the adapter".to_owned(),
        };
        let chosen = match about.is_cheapest {
            true => format!(", the cheapest of the prices of {}", budget.as_of()),
            false => String::new(),
        };
        for (name, value) in [
            ("date", about.date.clone()),
            ("lmbatch", env!("CARGO_PKG_VERSION").to_owned()),
            ("provider", about.provider.to_owned()),
            ("API", api),
            (
                "endpoint",
                format!("{}, route {}", about.endpoint, about.route),
            ),
            ("model", format!("{}{chosen}", about.model)),
            (
                "result",
                format!("{holds} hold, {differs} differ, {skipped} not tested"),
            ),
            ("cost", cost(about, budget)),
        ] {
            text.push_str(&item(&format!("{name}: {value}")));
        }
        text.push_str("\n## Checks\n\n");
        for check in &self.checks {
            let (result, measured) = check.finding.parts();
            let mut line = format!("{result}: {}", check.name);
            if !measured.is_empty() {
                line.push_str(&format!(": {measured}"));
            }
            // Shorter times would be shown as zero.
            if check.took >= Duration::from_millis(5) {
                line.push_str(&format!(" ({})", seconds(check.took)));
            }
            text.push_str(&item(&line));
        }
        if !made.is_empty() {
            text.push_str("\n## Made at the provider\n\n");
            for one in made {
                let line = format!("{}, label {}: {}", one.object, one.label, one.end);
                text.push_str(&item(&line));
            }
        }
        if !about.emulated {
            let next = format!(
                "To contribute the report, add the facts to the `docs.md` of the adapter of {}, each with the date above.",
                about.provider
            );
            text.push_str(&format!("\n{}\n", wrapped(&next, COLUMNS).join("\n")));
        }
        text.trim_end().to_owned()
    }

    /// Returns the report as one JSON object.
    pub(super) fn json(&self, about: &About, budget: &Budget, made: &[Made]) -> Value {
        let [holds, differs, skipped] = self.counts();
        let checks = self.checks.iter().map(|check| {
            let (result, measured) = check.finding.parts();
            json!({
                "check": check.name, "result": result.replace(' ', "_"), "measured": measured,
                "seconds": check.took.as_secs_f64(),
            })
        });
        let made = made.iter().map(|one| {
            json!({"object": one.object, "label": one.label, "end": one.end, "left": one.is_left})
        });
        json!({
            "format": 1, "date": about.date, "lmbatch": env!("CARGO_PKG_VERSION"),
            "provider": about.provider, "route": about.route, "endpoint": about.endpoint,
            "base_url": about.base_url, "emulated": about.emulated, "model": about.model,
            "holds": holds, "differs": differs, "not_tested": skipped,
            "checks": checks.collect::<Vec<_>>(),
            "cost": {
                "charged_usd": budget.charged, "at_most_usd": budget.reserved,
                "limit_usd": budget.max, "unknown": budget.has_unknown,
            },
            "made": made.collect::<Vec<_>>(),
        })
    }
}

fn cost(about: &About, budget: &Budget) -> String {
    if about.emulated {
        return "none, emulated".to_owned();
    }
    let mut text = format!("{} by the tokens of the answers", budget.charged.rounded());
    if budget.reserved > Cost::ZERO {
        let most = budget.reserved.rounded();
        text.push_str(&format!(
            ", and at most {most} for batches without answers here"
        ));
    }
    if budget.has_unknown {
        text.push_str(", and an unknown amount");
    }
    if let Some(max) = budget.max {
        text.push_str(&format!("; the limit was {}", max.rounded()));
    }
    text
}

/// Formats a duration in seconds, to a hundredth.
pub(super) fn seconds(took: Duration) -> String {
    format!("{:.2} s", took.as_secs_f64())
}

/// Returns a text as one item of a list in Markdown.
fn item(text: &str) -> String {
    let lines = wrapped(&plain(text), COLUMNS - 2);
    format!("- {}\n", lines.join("\n  "))
}

#[cfg(test)]
mod tests {
    use lmbatch::prices::PriceTable;

    use super::*;

    #[test]
    fn a_report_names_every_check_once_in_a_fixed_order() {
        let mut report = Report::default();
        let last = names::ALL[names::ALL.len() - 1];
        report.add(
            last,
            Finding::of(false, "a|b\nc"),
            Duration::from_millis(1500),
        );
        report.complete("the model was refused");
        assert!(report.differs());
        let about = About {
            date: "2026-11-27T09:00:00Z".to_owned(),
            provider: "acme",
            route: "file",
            endpoint: "/v1/x".to_owned(),
            model: "m".to_owned(),
            is_cheapest: false,
            emulated: false,
            base_url: Some("https://proxy.example/a/b".to_owned()),
        };
        let budget = Budget::new(PriceTable::bundled(), "acme", "0.05".parse().ok());
        let made = Made {
            object: format!("batch batch_{}", "0".repeat(24)),
            label: "lmbatch-selftestabc-0".to_owned(),
            end: "left: the adapter deletes no batches".to_owned(),
            is_left: true,
        };
        let text = report.markdown(&about, &budget, &[made]);
        let long: Vec<&str> = text.lines().filter(|line| line.len() > COLUMNS).collect();
        assert!(long.is_empty(), "{long:?}");
        let joined = text.replace("\n  ", " ");
        for item in [
            &*format!("\n- differs: {last}: a|b\u{fffd}c (1.50 s)\n"),
            "\n- API: https://proxy.example/a/b\n",
            ", label lmbatch-selftestabc-0: left: the adapter deletes no batches\n",
        ] {
            assert!(joined.contains(item), "{item:?} is not in: {text}");
        }
        let json = report.json(&about, &budget, &[]);
        let checks = json["checks"].as_array().unwrap();
        let found: Vec<&str> = checks
            .iter()
            .filter_map(|check| check["check"].as_str())
            .collect();
        assert_eq!(found, names::ALL);
        assert_eq!(checks[0]["result"], "not_tested");
        assert_eq!((&json["differs"], &json["holds"]), (&1.into(), &0.into()));
        assert_eq!(json["cost"]["limit_usd"], "0.05");
    }
}
