//! `lmbatch providers`: lists the providers of the program and their capabilities.

use std::borrow::Cow;

use lmbatch::Hyperparameters;
use lmbatch::adapter::{BatchCodec, CreateProof, GenerateView, Limits, RequestView};

use crate::exit::{Exit, Failure};
use crate::providers;
use crate::terminal::{self, Table};

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(crate) fn providers() -> Result<Exit, Failure> {
    let mut table = Table::with_header([
        "provider",
        "route",
        "requests",
        "megabytes",
        "models",
        "a lost create is found by",
        "fence",
        "ids",
        "results kept",
        "key",
    ]);
    for provider in providers::all() {
        let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|key| !key.is_empty());
        let set = provider.key_variables().iter().find(is_set);
        let key = set.map_or_else(
            || format!("{} is not set", provider.key_variables()[0]),
            |name| format!("{name} is set"),
        );
        for route in provider.routes() {
            let codec = provider.codec(route);
            table.row(capabilities(provider.id(), route, &*codec, &key));
        }
    }
    terminal::out(&table.to_string());
    Ok(Exit::Usable)
}

/// Returns the table row of a provider and one of its routes.
fn capabilities(provider: &str, route: &str, codec: &dyn BatchCodec, key: &str) -> Vec<String> {
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
    let number = |of: fn(Limits) -> u64| limits.map_or_else(String::new, |l| of(l).to_string());
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
    vec![
        provider.to_owned(),
        route.to_owned(),
        number(|limits| u64::from(limits.max_requests)),
        number(|limits| limits.max_bytes / 1_000_000),
        if class.is_some_and(|class| class.model.is_some()) {
            "one".to_owned()
        } else {
            "any".to_owned()
        },
        match can.create {
            CreateProof::Token => "token".to_owned(),
            CreateProof::Labelled => "label".to_owned(),
            CreateProof::CountAndTime => "count and time".to_owned(),
        },
        yes(can.fence).to_owned(),
        ids,
        kept,
        key.to_owned(),
    ]
}
