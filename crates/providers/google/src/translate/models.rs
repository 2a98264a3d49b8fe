//! Differences between models: the form of thinking options.

use lmbatch_core::{Effort, RequestError};

/// Form of the thinking option in a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Thinking {
    /// `thinkingLevel`, from Gemini 3 on.
    Level(&'static str),
    /// `thinkingBudget`, of Gemini 2.5.
    Budget(u32),
}

/// Major and minor number of a model's name, such as (2, 5) of `gemini-2.5-flash`.
fn generation(model: &str) -> Option<(u32, u32)> {
    let rest = model.rsplit('/').next()?.strip_prefix("gemini-")?;
    let number = rest.split('-').next()?;
    let (major, minor) = number.split_once('.').unwrap_or((number, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Refuses images and documents in the results of tools before Gemini 3: a `functionResponse` with `parts` is HTTP
/// 400 there (bifrost 4202, 2026-06-09; hermes-agent 96466, 2026-08-27).
pub(super) fn check_tool_attachments(model: &str) -> Result<(), RequestError> {
    if generation(model).is_some_and(|generation| generation < (3, 0)) {
        return Err(RequestError::unsupported(format!(
            "google: {model} takes no images or documents in the result of a tool; models from gemini-3 on do"
        )));
    }
    Ok(())
}

/// Writes the thinking effort in the form that the model accepts (thinking guide, 2026; google-genai 3.4.0, 2026-11).
pub(super) fn thinking(
    model: &str,
    effort: Option<Effort>,
    budget: Option<u32>,
) -> Result<Option<Thinking>, RequestError> {
    let generation = generation(model);
    let has_none = generation.is_some_and(|generation| generation < (2, 5));
    if has_none && (budget.is_some() || effort.is_some_and(|effort| effort != Effort::None)) {
        return Err(RequestError::unsupported(format!(
            "google: {model} has no thinking to set"
        )));
    }
    let has_levels = generation.is_some_and(|generation| generation >= (3, 0));
    if let Some(budget) = budget {
        if has_levels {
            return Err(RequestError::unsupported(format!(
                "google: {model} has no thinking budget_tokens; set an effort"
            )));
        }
        return Ok(Some(Thinking::Budget(budget)));
    }
    let Some(effort) = effort.filter(|_| !has_none) else {
        return Ok(None);
    };
    let is_budgeted = generation.is_some_and(|generation| generation < (3, 0));
    if is_budgeted {
        return as_budget(model, effort).map(Some);
    }
    // "thinkingLevel: MINIMAL, LOW, MEDIUM, HIGH, XHIGH"; thinking cannot be turned off.
    let level = match effort {
        Effort::None => {
            return Err(RequestError::unsupported(format!(
                "google: thinking cannot be turned off for {model}; the least is minimal"
            )));
        }
        Effort::Minimal => "MINIMAL",
        Effort::Low => "LOW",
        Effort::Medium => "MEDIUM",
        Effort::High => "HIGH",
        Effort::XHigh | Effort::Max => "XHIGH",
    };
    Ok(Some(Thinking::Level(level)))
}

/// "thinkingBudget: 0 turns it off, except for 2.5 Pro (128 to 32,768); 2.5 Flash: up to 24,576".
fn as_budget(model: &str, effort: Effort) -> Result<Thinking, RequestError> {
    let pro = model.contains("-pro");
    let tokens = match effort {
        Effort::None if pro => {
            return Err(RequestError::unsupported(format!(
                "google: thinking cannot be turned off for {model}; the least is minimal"
            )));
        }
        Effort::None => 0,
        Effort::Minimal => 512,
        Effort::Low => 1024,
        Effort::Medium => 8192,
        Effort::High => 16_384,
        Effort::XHigh => 24_576,
        Effort::Max if pro => 32_768,
        Effort::Max => 24_576,
    };
    Ok(Thinking::Budget(tokens))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_written_in_the_form_of_the_model() {
        use Thinking::{Budget, Level};
        for (model, effort, budget, expected) in [
            (
                "gemini-2.5-flash",
                Some(Effort::None),
                None,
                Ok(Some(Budget(0))),
            ),
            (
                "gemini-2.5-flash",
                Some(Effort::Max),
                None,
                Ok(Some(Budget(24_576))),
            ),
            (
                "gemini-2.5-pro",
                Some(Effort::Max),
                None,
                Ok(Some(Budget(32_768))),
            ),
            (
                "gemini-2.5-pro",
                Some(Effort::None),
                None,
                Err("cannot be turned off"),
            ),
            ("gemini-2.5-flash", None, Some(77), Ok(Some(Budget(77)))),
            (
                "gemini-3-pro-preview",
                Some(Effort::Low),
                None,
                Ok(Some(Level("LOW"))),
            ),
            (
                "gemini-3.5-flash",
                Some(Effort::Max),
                None,
                Ok(Some(Level("XHIGH"))),
            ),
            (
                "gemini-3-flash",
                Some(Effort::None),
                None,
                Err("cannot be turned off"),
            ),
            ("gemini-3-flash", None, Some(77), Err("set an effort")),
            (
                "gemini-2.0-flash",
                Some(Effort::Low),
                None,
                Err("no thinking"),
            ),
            ("gemini-2.0-flash", Some(Effort::None), None, Ok(None)),
            (
                "gemini-flash-latest",
                Some(Effort::Low),
                None,
                Ok(Some(Level("LOW"))),
            ),
            ("tunedModels/mine", None, Some(5), Ok(Some(Budget(5)))),
            ("gemini-3-flash", None, None, Ok(None)),
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
