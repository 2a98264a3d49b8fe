//! Names and ranges of hyperparameters, checked before anything is sent.

use lmbatch_core::Hyperparameters;

/// Names of hyperparameters that lmbatch translates for every provider.
const NAMES: [&str; 10] = [
    "max_output_tokens",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "stop",
    "seed",
    "presence_penalty",
    "frequency_penalty",
];

/// Names of parameters of some provider that resemble one of [`NAMES`] and are meant.
const RESEMBLING: [&str; 8] = [
    "top_a",
    "top_n",
    "stops",
    "max_tool_calls",
    "max_input_tokens",
    "max_new_tokens",
    "min_tokens",
    "max_prompt_tokens",
];

/// Reports whether a name is that of a hyperparameter that lmbatch translates.
pub(crate) fn is_parameter(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Refuses the name of a hyperparameter that is not known and resembles a known one.
///
/// # Errors
/// The name with the known one, and a way to set a parameter of the provider that really has the name.
///
/// ```
/// use lmbatch_lines::check_parameter_name;
/// assert!(check_parameter_name("temprature").unwrap_err().contains("did you mean temperature?"));
/// assert_eq!(check_parameter_name("service_tier"), Ok(()));
/// ```
pub fn check_parameter_name(name: &str) -> Result<(), String> {
    let first = name.split('.').next().unwrap_or_default();
    if NAMES.contains(&first) || RESEMBLING.contains(&first) {
        return Ok(());
    }
    let plain = snake(first);
    let rated = NAMES.map(|known| (strsim::osa_distance(&plain, known), known));
    let nearest = rated.into_iter().min();
    let Some((distance, known)) = nearest.filter(|(distance, known)| {
        let most = if known.len() < 8 { 1 } else { 2 };
        *distance <= most
    }) else {
        return Ok(());
    };
    let is_only_spelling = if distance == 0 {
        " in this spelling"
    } else {
        ""
    };
    Err(format!(
        "{first}: there is no such parameter{is_only_spelling}; did you mean {known}? A parameter of the provider with this name is set as extra.{first}"
    ))
}

/// Returns a name in the spelling `max_tokens`.
fn snake(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.extend(
            letter
                .to_lowercase()
                .map(|c| if c == '-' { '_' } else { c }),
        );
    }
    snake
}

/// Refuses hyperparameters that no provider accepts. A provider may have narrower ranges.
///
/// # Errors
/// The name and the value of the first hyperparameter outside of its range, and the range.
///
/// ```
/// use lmbatch_core::Hyperparameters;
/// let hot = Hyperparameters { temperature: Some(9.0), ..Hyperparameters::default() };
/// let error = lmbatch_lines::check_parameter_ranges(&hot).unwrap_err();
/// assert_eq!(error, "temperature: 9 is not in the range from 0 to 2");
/// ```
pub fn check_parameter_ranges(parameters: &Hyperparameters) -> Result<(), String> {
    for (name, value) in [
        ("max_tokens", parameters.max_output_tokens),
        ("top_k", parameters.top_k),
    ] {
        if value == Some(0) {
            return Err(format!(
                "{name}: 0 is not in the range from 1 to {}",
                u32::MAX
            ));
        }
    }
    for (name, value, least, most) in [
        ("temperature", parameters.temperature, 0.0, 2.0),
        ("top_p", parameters.top_p, 0.0, 1.0),
        ("presence_penalty", parameters.presence_penalty, -2.0, 2.0),
        ("frequency_penalty", parameters.frequency_penalty, -2.0, 2.0),
    ] {
        if let Some(value) = value
            && !(least..=most).contains(&value)
        {
            return Err(format!(
                "{name}: {value} is not in the range from {least} to {most}"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_is_refused_with_the_one_that_is_meant() {
        for (name, meant) in [
            ("temprature", Some("temperature")),
            ("Temperature", Some("temperature")),
            ("maxTokens", Some("max_tokens")),
            ("max-tokens", Some("max_tokens")),
            ("max_token", Some("max_tokens")),
            ("topP", Some("top_p")),
            ("topk", Some("top_k")),
            ("sead", Some("seed")),
            ("frequency_penality", Some("frequency_penalty")),
            ("max_completion_token", Some("max_completion_tokens")),
        ] {
            let error = check_parameter_name(name).err();
            let meant = meant.map(|meant| format!("did you mean {meant}?"));
            assert!(
                error
                    .as_ref()
                    .is_some_and(|error| meant.is_some_and(|meant| error.contains(&meant))),
                "{name}: {error:?}"
            );
        }
        for name in [
            "temperature",
            "top_p",
            "top_a",
            "min_p",
            "n",
            "user",
            "store",
            "top_logprobs",
            "logit_bias",
            "repetition_penalty",
            "service_tier",
            "reasoning.effort",
            "metadata.note",
            "extra.temprature",
            "stop_sequences",
            "send",
        ] {
            let expected = if name == "send" { Err(()) } else { Ok(()) };
            assert_eq!(check_parameter_name(name).map_err(drop), expected, "{name}");
        }
    }

    #[test]
    fn values_outside_of_every_range_are_refused() {
        let none = Hyperparameters::default;
        for (parameters, expected) in [
            (
                Hyperparameters {
                    max_output_tokens: Some(0),
                    ..none()
                },
                "max_tokens: 0 is not in the range from 1 to 4294967295",
            ),
            (
                Hyperparameters {
                    temperature: Some(f64::NAN),
                    ..none()
                },
                "temperature: NaN is not in the range from 0 to 2",
            ),
            (
                Hyperparameters {
                    top_p: Some(2.0),
                    ..none()
                },
                "top_p: 2 is not in the range from 0 to 1",
            ),
            (
                Hyperparameters {
                    presence_penalty: Some(-2.5),
                    ..none()
                },
                "presence_penalty: -2.5 is not in the range from -2 to 2",
            ),
        ] {
            assert_eq!(
                check_parameter_ranges(&parameters),
                Err(expected.to_owned())
            );
        }
        let good = Hyperparameters {
            max_output_tokens: Some(1),
            temperature: Some(2.0),
            top_p: Some(0.0),
            ..none()
        };
        assert_eq!(check_parameter_ranges(&good), Ok(()));
    }
}
