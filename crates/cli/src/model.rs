//! Models as arguments name them: `PROVIDER/MODEL`.

use crate::exit::Failure;
use crate::providers::{self, Provider, Route};

/// Provider, with the name that it uses for a model.
#[derive(Debug, Clone)]
pub(crate) struct Model {
    pub(crate) provider: &'static Provider,
    pub(crate) name: String,
}

/// Names of models and products that are written in place of their provider.
const MODELS: [(&str, &[&str]); 3] = [
    ("openai", &["gpt", "chatgpt"]),
    ("anthropic", &["claude"]),
    ("google", &["gemini", "vertex", "palm"]),
];

/// Parses `PROVIDER/MODEL`, split at the first slash, since names of models may hold slashes.
pub(crate) fn parse(text: &str) -> Result<Model, Failure> {
    match text.split_once('/') {
        Some((provider, name)) if !name.is_empty() => Ok(Model {
            provider: find(provider)?,
            name: name.to_owned(),
        }),
        _ => Err(Failure::usage(format!(
            "{text:?} is not PROVIDER/MODEL, such as openai/gpt-5.4-mini"
        ))),
    }
}

/// Returns the provider with an id. An unknown id is refused, with the most similar one as a hint.
pub(crate) fn find(name: &str) -> Result<&'static Provider, Failure> {
    if let Some(provider) = providers::all()
        .iter()
        .find(|provider| provider.id() == name)
    {
        return Ok(&**provider);
    }
    let known: Vec<&str> = providers::all()
        .iter()
        .map(|provider| provider.id())
        .collect();
    let failure = Failure::usage(format!(
        "unknown provider {name:?}; use one of {}",
        known.join(", ")
    ));
    let by_model = MODELS.iter().find(|(_, models)| models.contains(&name));
    if let Some((provider, _)) = by_model.filter(|(provider, _)| known.contains(provider)) {
        return Err(failure.hint(format!(
            "did you mean {provider}? {name:?} is the name of its models"
        )));
    }
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
    Err(match nearest {
        Some(nearest) if strsim::jaro_winkler(nearest, name) > 0.7 => {
            failure.hint(format!("did you mean {nearest}?"))
        }
        _ => failure,
    })
}

/// Returns the route with a name; the provider's default route without one.
pub(crate) fn route(provider: &Provider, name: Option<&str>) -> Result<Route, Failure> {
    let routes = provider.routes();
    let Some(name) = name else {
        return Ok(routes[0]);
    };
    let found = routes.iter().find(|route| **route == name);
    found.copied().ok_or_else(|| {
        Failure::usage(format!(
            "--route: {} has no route {name:?}; it has {}",
            provider.id(),
            routes.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_split_at_the_first_slash() {
        assert_eq!(parse("openai/org/model").unwrap().name, "org/model");
        for text in ["openai", "openai/", ""] {
            assert!(
                parse(text).unwrap_err().message.contains("PROVIDER/MODEL"),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_provider_is_refused_with_the_list_and_the_most_similar_id() {
        let failure = parse("opnai/x").unwrap_err();
        assert_eq!(
            failure.message,
            "unknown provider \"opnai\"; use one of openai, anthropic, google"
        );
        assert_eq!(failure.hint.as_deref(), Some("did you mean openai?"));
        assert_eq!(parse("zzz/x").unwrap_err().hint, None);
        for (model, provider) in [
            ("gemini/gemini-3-pro", "google"),
            ("claude/claude-haiku-4-5", "anthropic"),
            ("gpt/gpt-5.4-mini", "openai"),
        ] {
            let hint = parse(model).unwrap_err().hint.unwrap();
            assert!(
                hint.starts_with(&format!("did you mean {provider}?")),
                "{hint}"
            );
        }
    }

    #[test]
    fn a_route_is_one_of_the_providers_own() {
        let google = find("google").unwrap();
        assert_eq!(route(google, None).unwrap(), "file");
        assert_eq!(route(google, Some("inline")).unwrap(), "inline");
        assert_eq!(
            route(google, Some("chat")).unwrap_err().message,
            "--route: google has no route \"chat\"; it has file, inline"
        );
    }
}
