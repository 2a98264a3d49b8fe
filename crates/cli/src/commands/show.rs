//! `lmbatch providers` and `lmbatch schema`.

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::args::SchemaOf;
use crate::exit::{Exit, Failure};
use crate::providers::{self, Route};
use crate::terminal;

pub(crate) fn providers() -> Result<Exit, Failure> {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header([
        "provider",
        "key variable",
        "set",
        "create is proved by",
        "cancel",
        "results kept",
        "address",
    ]);
    for provider in providers::ALL {
        let set = std::env::var_os(provider.key_variable).is_some_and(|key| !key.is_empty());
        let codec = (provider.codec)(Route::default());
        let capabilities = codec.capabilities();
        let yes = |yes| if yes { "yes" } else { "no" };
        let kept = capabilities
            .retention
            .map_or("not said".to_owned(), |time| {
                format!("{} days", time.as_secs() / 86_400)
            });
        table.add_row([
            provider.id,
            provider.key_variable,
            yes(set),
            match capabilities.create {
                lmbatch_core::CreateProof::Token => "token",
                lmbatch_core::CreateProof::Labelled => "label",
                lmbatch_core::CreateProof::CountAndTime => "count and time",
            },
            yes(capabilities.cancel),
            &kept,
            provider.default_base_url,
        ]);
    }
    terminal::out(&table.to_string());
    Ok(Exit::Usable)
}

#[expect(clippy::unnecessary_wraps, reason = "every command has the same shape")]
pub(crate) fn schema(of: SchemaOf) -> Result<Exit, Failure> {
    terminal::out(
        match of {
            SchemaOf::Input => include_str!("../../schemas/input.json"),
            SchemaOf::Output => include_str!("../../schemas/output.json"),
            SchemaOf::Summary => include_str!("../../schemas/summary.json"),
        }
        .trim_end(),
    );
    Ok(Exit::Usable)
}
