//! Differences between models: one table, by generation.

use lmbatch_core::{Effort, RequestError};

/// Major and minor number of a model's name, such as (4, 5) of `claude-haiku-4-5-20251001`.
type Generation = (u32, u32);

/// Options that models accept from a generation on. Sources: SDK 2.12.0 (2026-11), the versioning and migration
/// pages (after 2026-10-21), and two public reports of October 2026 on sampling.
struct Rules {
    from: Generation,
    /// `temperature`, `top_p` and `top_k`. "Sonnet 5, Opus 4.7 and later reject them on any version."
    sampling: bool,
    /// `thinking: {type: enabled, budget_tokens}`. "Models up to 4.6; 4.7 and later answer 400."
    budget: bool,
    /// `thinking: {type: adaptive}` and `output_config.effort`. "4.6 and later."
    adaptive: bool,
    /// Prefill: a last message of the assistant that the model continues. "400 from 4.6 on: must end with a user
    /// message."
    prefill: bool,
}

const TABLE: [Rules; 4] = [
    Rules {
        from: (4, 7),
        sampling: false,
        budget: false,
        adaptive: true,
        prefill: false,
    },
    Rules {
        from: (4, 6),
        sampling: true,
        budget: true,
        adaptive: true,
        prefill: false,
    },
    Rules {
        from: (3, 7),
        sampling: true,
        budget: true,
        adaptive: false,
        prefill: true,
    },
    Rules {
        from: (0, 0),
        sampling: true,
        budget: false,
        adaptive: false,
        prefill: true,
    },
];

/// Rules for a name that is not Anthropic's, such as a gateway's alias: they refuse nothing.
const UNKNOWN: Rules = Rules {
    from: (0, 0),
    sampling: true,
    budget: true,
    adaptive: true,
    prefill: true,
};

fn rules(model: &str) -> &'static Rules {
    let found = generation(model)
        .and_then(|generation| TABLE.iter().find(|rules| generation >= rules.from));
    found.unwrap_or(&UNKNOWN)
}

fn generation(model: &str) -> Option<Generation> {
    let rest = model.strip_prefix("claude-")?;
    // Dates are longer than version numbers.
    let mut numbers = rest
        .split(['-', '.', '@'])
        .map(|part| part.parse::<u32>().ok().filter(|_| part.len() <= 2));
    let major = numbers.find_map(|number| number)?;
    Some((major, numbers.next().flatten().unwrap_or(0)))
}

/// Form of the thinking option in a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    Disabled,
    Adaptive(&'static str),
    Budget(u32),
}

pub(super) fn check_sampling(model: &str, parameters: &[&str]) -> Result<(), RequestError> {
    match parameters.first() {
        Some(name) if !rules(model).sampling => Err(RequestError::unsupported(format!(
            "anthropic: {model} takes no {name}; leave it out"
        ))),
        _ => Ok(()),
    }
}

pub(super) fn check_prefill(model: &str) -> Result<(), RequestError> {
    if rules(model).prefill {
        return Ok(());
    }
    Err(RequestError::unsupported(format!(
        "anthropic: a conversation with {model} must end with a user message"
    )))
}

/// Writes the thinking effort in the form that the model accepts: a level, or tokens for models without levels.
pub(super) fn thinking(
    model: &str,
    effort: Option<Effort>,
    budget: Option<u32>,
) -> Result<Option<Thinking>, RequestError> {
    let rules = rules(model);
    let no_thinking =
        || RequestError::unsupported(format!("anthropic: {model} has no thinking to set"));
    if let Some(budget) = budget {
        if !rules.budget {
            return Err(RequestError::unsupported(format!(
                "anthropic: {model} has no thinking budget_tokens; set an effort"
            )));
        }
        // "budget_tokens: at least 1024" (SDK 2.12.0).
        if budget < 1024 {
            return Err(RequestError::invalid_input(
                "anthropic: thinking budget_tokens must be at least 1024",
            ));
        }
        return Ok(Some(Thinking::Budget(budget)));
    }
    let Some(effort) = effort else {
        return Ok(None);
    };
    let level = match effort {
        Effort::None => {
            let told = rules.budget || rules.adaptive;
            return Ok(told.then_some(Thinking::Disabled));
        }
        Effort::Minimal | Effort::Low => "low",
        Effort::Medium => "medium",
        Effort::High => "high",
        Effort::XHigh => "xhigh",
        Effort::Max => "max",
    };
    if rules.adaptive {
        return Ok(Some(Thinking::Adaptive(level)));
    }
    if !rules.budget {
        return Err(no_thinking());
    }
    Ok(Some(Thinking::Budget(match effort {
        Effort::None | Effort::Minimal => 1024,
        Effort::Low => 4096,
        Effort::Medium => 8192,
        Effort::High => 16_384,
        Effort::XHigh => 24_576,
        Effort::Max => 32_000,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generation_is_parsed_from_the_model_name() {
        for (model, expected) in [
            ("claude-3-5-sonnet-20241022", Some((3, 5))),
            ("claude-3-7-sonnet-latest", Some((3, 7))),
            ("claude-3-haiku-20240307", Some((3, 0))),
            ("claude-sonnet-4-20250514", Some((4, 0))),
            ("claude-haiku-4-5-20251001", Some((4, 5))),
            ("claude-opus-4-7", Some((4, 7))),
            ("claude-sonnet-5", Some((5, 0))),
            ("claude-opus-10-1", Some((10, 1))),
            ("claude-next", None),
            ("emu-model", None),
        ] {
            assert_eq!(generation(model), expected, "{model}");
        }
    }

    #[test]
    fn sampling_and_prefill_depend_on_the_model() {
        for (model, sampling, prefill) in [
            ("claude-haiku-4-5", true, true),
            ("claude-opus-4-6", true, false),
            ("claude-opus-4-7", false, false),
            ("claude-sonnet-5-20260901", false, false),
            ("claude-3-haiku-20240307", true, true),
            ("my-alias", true, true),
        ] {
            assert_eq!(
                check_sampling(model, &["top_k"]).is_ok(),
                sampling,
                "{model}"
            );
            assert!(check_sampling(model, &[]).is_ok());
            assert_eq!(check_prefill(model).is_ok(), prefill, "{model}");
        }
    }

    #[test]
    fn thinking_is_written_in_the_form_of_the_model() {
        use Thinking::{Adaptive, Budget, Disabled};
        for (model, effort, budget, expected) in [
            (
                "claude-haiku-4-5",
                Some(Effort::Low),
                None,
                Ok(Some(Budget(4096))),
            ),
            ("claude-haiku-4-5", None, Some(2000), Ok(Some(Budget(2000)))),
            ("claude-haiku-4-5", None, Some(100), Err("at least 1024")),
            (
                "claude-haiku-4-5",
                Some(Effort::None),
                None,
                Ok(Some(Disabled)),
            ),
            (
                "claude-opus-4-6",
                Some(Effort::Minimal),
                None,
                Ok(Some(Adaptive("low"))),
            ),
            ("claude-opus-4-6", None, Some(5000), Ok(Some(Budget(5000)))),
            (
                "claude-opus-4-7",
                Some(Effort::Max),
                None,
                Ok(Some(Adaptive("max"))),
            ),
            ("claude-opus-4-7", None, Some(5000), Err("set an effort")),
            (
                "claude-3-haiku-20240307",
                Some(Effort::None),
                None,
                Ok(None),
            ),
            (
                "claude-3-haiku-20240307",
                Some(Effort::High),
                None,
                Err("no thinking"),
            ),
            ("claude-sonnet-5", None, None, Ok(None)),
        ] {
            match (thinking(model, effort, budget), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{model} {effort:?}"),
                (Err(error), Err(words)) => {
                    assert!(error.message().unwrap().contains(words), "{error:?}");
                }
                (found, _) => panic!("{model} {effort:?} {budget:?}: {found:?}"),
            }
        }
    }
}
