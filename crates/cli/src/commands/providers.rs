//! `lmbatch providers`: lists the providers of the program and their capabilities.

use std::borrow::Cow;

use lmbatch::Hyperparameters;
use lmbatch::adapter::{BatchCodec, CreateProof, GenerateView, Limits, RequestView};

use crate::exit::{Exit, Failure};
use crate::providers;
use crate::table::{Cell, Column, Table, column};
use crate::terminal::{self, Look};

/// Columns in a pipe.
const COLUMNS: [Column; 11] = [
    column("provider"),
    column("route"),
    column("requests"),
    column("megabytes"),
    column("models"),
    column("create found by"),
    column("fence"),
    column("ids"),
    column("results kept"),
    column("key variable"),
    column("key"),
];

/// Columns of the first table on a terminal, by their places. No cell is cut: the variable of the key is copied.
const LIMITS: [usize; 7] = [0, 1, 2, 3, 4, 9, 10];

/// Columns of the second table on a terminal, by their places.
const CAPABILITIES: [usize; 6] = [0, 1, 5, 6, 7, 8];

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(crate) fn providers() -> Result<Exit, Failure> {
    let mut rows = Vec::new();
    for provider in providers::all() {
        let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|key| !key.is_empty());
        let set = provider.key_variables().iter().find(is_set);
        let key = match set {
            Some(name) => [*name, "set"],
            None => [provider.key_variables()[0], "not set"],
        };
        for route in provider.routes() {
            let codec = provider.codec(route);
            rows.push(capabilities(provider.id(), route, &*codec, key));
        }
    }
    terminal::clean(&text(&rows, terminal::look()));
    Ok(Exit::Usable)
}

/// Formats the table for a place: on a terminal as two tables of at most 80 columns.
fn text(rows: &[[Cell; 11]], look: Look) -> String {
    if look == Look::Pipe {
        return part(rows, std::array::from_fn::<_, 11, _>(|at| at)).within(look);
    }
    let [limits, can] = [
        part(rows, LIMITS).within(look),
        part(rows, CAPABILITIES).within(look),
    ];
    format!("{limits}\n\n{can}")
}

/// Returns the table of some columns.
fn part<const N: usize>(rows: &[[Cell; 11]], places: [usize; N]) -> Table {
    let mut table = Table::new(places.map(|at| COLUMNS[at]));
    for row in rows {
        table.row(places.map(|at| row[at].clone()));
    }
    table
}

/// Returns the table row of a provider and one of its routes.
fn capabilities(provider: &str, route: &str, codec: &dyn BatchCodec, key: [&str; 2]) -> [Cell; 11] {
    let can = codec.capabilities();
    let view = RequestView::Generate(GenerateView {
        model: "m".into(),
        system: None,
        messages: Vec::new(),
        tools: &[],
        tool_choice: None,
        schema: None,
        thinking: None,
        hyperparameters: Cow::Owned(Hyperparameters::default()),
    });
    let class = codec.class(&view).ok();
    let limits = class.as_ref().map(|class| codec.limits(class));
    let number = |of: fn(Limits) -> u64| Cell::from(limits.map(of));
    let yes = |yes| if yes { "yes" } else { "no" };
    let ids = can.wire_ids;
    let ids = format!(
        "{} {}",
        ids.max_chars,
        if ids.ascii_word {
            "of A-Za-z0-9_-"
        } else {
            "of any kind"
        }
    );
    let kept = can.retention.map_or("unknown".to_owned(), |time| {
        format!("{} days", time.as_secs() / 86_400)
    });
    let models = if class.is_some_and(|class| class.model.is_some()) {
        "one"
    } else {
        "any"
    };
    let proof = match can.create {
        CreateProof::Token => "token",
        CreateProof::Labelled => "label",
        CreateProof::CountAndTime => "count and time",
    };
    [
        provider.into(),
        route.into(),
        number(|limits| u64::from(limits.max_requests)),
        number(|limits| limits.max_bytes / 1_000_000),
        models.into(),
        proof.into(),
        yes(can.fence).into(),
        ids.into(),
        kept.into(),
        key[0].into(),
        key[1].into(),
    ]
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn every_cell_is_whole_at_eighty_columns() {
        let rows: Vec<[Cell; 11]> = providers::all()
            .iter()
            .flat_map(|provider| {
                let row = |route: &&'static str| {
                    let codec = provider.codec(route);
                    let key = [provider.key_variables()[0], "not set"];
                    capabilities(provider.id(), route, &*codec, key)
                };
                provider.routes().iter().map(row)
            })
            .collect();
        let look = Look::Terminal {
            columns: 80,
            colour: false,
            now: SystemTime::UNIX_EPOCH,
        };
        let shown = text(&rows, look);
        for name in [
            "create found by",
            "fence",
            "ids",
            "results kept",
            "key variable",
        ] {
            assert!(shown.contains(name), "{name}: {shown}");
        }
        assert!(shown.contains("ANTHROPIC_API_KEY"), "{shown}");
        assert!(!shown.contains('…'), "{shown}");
        let longest = shown.lines().map(console::measure_text_width).max();
        assert!(longest <= Some(80), "{shown}");
    }
}
