//! `lmbatch providers`: lists the providers of the program and their capabilities.

use std::borrow::Cow;

use lmbatch::Hyperparameters;
use lmbatch::adapter::{BatchCodec, CreateProof, GenerateView, Limits, RequestView};

use crate::exit::{Exit, Failure};
use crate::providers;
use crate::table::{Cell, Column, Table, column};

const COLUMNS: [Column; 11] = [
    column("provider"),
    column("route"),
    column("requests"),
    column("megabytes"),
    column("models").rank(3),
    column("lost create found by").rank(2),
    column("fence").rank(4),
    column("ids").rank(5),
    column("results kept").rank(1),
    column("key variable").cut_end(12),
    column("key"),
];

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(crate) fn providers() -> Result<Exit, Failure> {
    let mut table = Table::new(COLUMNS);
    for provider in providers::all() {
        let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|key| !key.is_empty());
        let set = provider.key_variables().iter().find(is_set);
        let key = match set {
            Some(name) => [*name, "set"],
            None => [provider.key_variables()[0], "not set"],
        };
        for route in provider.routes() {
            let codec = provider.codec(route);
            table.row(capabilities(provider.id(), route, &*codec, key));
        }
    }
    table.print();
    Ok(Exit::Usable)
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
