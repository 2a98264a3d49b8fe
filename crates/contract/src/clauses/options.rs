//! Clauses about generation options: the provider receives each option, or `class` or `encode` refuses the request.
//! Part of edition 2026-11.

use std::borrow::Cow;

use lmbatch_core::{Effort, GenerateView, Hyperparameters, RequestView, ThinkingOptions};
use serde_json::json;

use crate::canary::Arrived;
use crate::kit::Kit;

/// Function that sets one option.
type Set = fn(&mut Hyperparameters);

/// Every numeric option, with a unique value that is exact in 32 bits.
const NUMBERS: [(&str, f64, Set); 7] = [
    ("max_output_tokens", 1931.0, |p| {
        p.max_output_tokens = Some(1931)
    }),
    ("temperature", 0.3125, |p| p.temperature = Some(0.3125)),
    ("top_p", 0.8125, |p| p.top_p = Some(0.8125)),
    ("top_k", 37.0, |p| p.top_k = Some(37)),
    ("seed", 7919.0, |p| p.seed = Some(7919)),
    ("presence_penalty", 0.1875, |p| {
        p.presence_penalty = Some(0.1875)
    }),
    ("frequency_penalty", 0.4375, |p| {
        p.frequency_penalty = Some(0.4375)
    }),
];

async fn with(kit: &Kit, set: impl FnOnce(&mut Hyperparameters)) -> Option<Arrived> {
    let mut parameters = Hyperparameters::default();
    set(&mut parameters);
    let view = GenerateView {
        hyperparameters: Cow::Owned(parameters),
        ..kit.question("Hello!")
    };
    kit.arrives_alone(view).await
}

async fn number_arrives(kit: &Kit, wanted: &str) {
    let known = NUMBERS.iter().find(|(name, ..)| *name == wanted);
    let (name, number, set) = known.expect("an option");
    if let Some(arrived) = with(kit, set).await {
        let places = arrived.places_of(*number);
        assert!(!places.is_empty(), "{name}: {number} is left out");
    }
}

/// The maximum number of output tokens is sent.
pub async fn the_token_limit_is_sent(kit: &Kit) {
    number_arrives(kit, "max_output_tokens").await;
}

/// The temperature is sent.
pub async fn the_temperature_is_sent(kit: &Kit) {
    number_arrives(kit, "temperature").await;
}

/// The top-p value is sent.
pub async fn top_p_is_sent(kit: &Kit) {
    number_arrives(kit, "top_p").await;
}

/// The top-k value is sent.
pub async fn top_k_is_sent(kit: &Kit) {
    number_arrives(kit, "top_k").await;
}

/// The seed is sent.
pub async fn the_seed_is_sent(kit: &Kit) {
    number_arrives(kit, "seed").await;
}

/// The presence penalty is sent.
pub async fn the_presence_penalty_is_sent(kit: &Kit) {
    number_arrives(kit, "presence_penalty").await;
}

/// The frequency penalty is sent.
pub async fn the_frequency_penalty_is_sent(kit: &Kit) {
    number_arrives(kit, "frequency_penalty").await;
}

/// Every option has a parameter of its own: a temperature sent as top-p would be accepted without an error.
pub async fn every_option_has_its_own_parameter(kit: &Kit) {
    let mut taken: Vec<(&str, String)> = Vec::new();
    for (name, number, set) in &NUMBERS {
        let Some(arrived) = with(kit, set).await else {
            continue;
        };
        for place in arrived.places_of(*number) {
            let other = taken.iter().find(|(_, other)| *other == place);
            assert_eq!(other, None, "{name} is sent as {place}");
            taken.push((name, place));
        }
    }
}

/// Every stop sequence is sent.
pub async fn stop_sequences_are_sent(kit: &Kit) {
    let stop = ["stop-canary-1", "stop-canary-2"];
    let arrived = with(kit, |p| p.stop = Some(stop.map(str::to_owned).to_vec())).await;
    if let Some(arrived) = arrived {
        for canary in stop {
            assert!(arrived.holds(canary), "{canary:?} is left out");
        }
    }
}

async fn thinking(kit: &Kit, thinking: Option<ThinkingOptions>) -> Option<Arrived> {
    let view = GenerateView {
        thinking: thinking.as_ref(),
        ..kit.question("Hello!")
    };
    kit.arrives_alone(view).await
}

/// The thinking effort is sent: low effort is encoded differently from high effort, and from no effort setting.
pub async fn the_thinking_effort_is_sent(kit: &Kit) {
    let effort = |effort| {
        let budget_tokens = None;
        thinking(
            kit,
            Some(ThinkingOptions {
                effort: Some(effort),
                budget_tokens,
            }),
        )
    };
    let arrived = [
        thinking(kit, None).await,
        effort(Effort::Low).await,
        effort(Effort::High).await,
    ];
    let bodies: Vec<_> = arrived.iter().flatten().map(Arrived::body).collect();
    for (place, body) in bodies.iter().enumerate() {
        assert!(
            !bodies[..place].contains(body),
            "the effort is left out: {body}"
        );
    }
}

/// The thinking budget in tokens is sent.
pub async fn the_thinking_budget_is_sent(kit: &Kit) {
    let budget = ThinkingOptions {
        effort: None,
        budget_tokens: Some(1973),
    };
    if let Some(arrived) = thinking(kit, Some(budget)).await {
        assert!(
            !arrived.places_of(1973.0).is_empty(),
            "the budget is left out"
        );
    }
}

/// Extra parameters, in the provider's own format, are sent unchanged at any depth.
pub async fn extra_parameters_are_sent(kit: &Kit) {
    let arrived = with(kit, |p| {
        let value = json!({"deep": ["extra-canary", 7907]});
        p.extra.insert("own".to_owned(), value);
    })
    .await;
    if let Some(arrived) = arrived {
        assert!(arrived.holds("extra-canary"), "the parameter is left out");
        assert_eq!(
            arrived.places_of(7907.0).len(),
            1,
            "a part of it is left out"
        );
    }
}

/// Extra parameters of one request change neither its id nor another request of the batch.
pub async fn extra_parameters_do_not_change_ids(kit: &Kit) {
    for name in ["id", "custom_id", "key", "request_id", "metadata"] {
        let mut parameters = Hyperparameters::default();
        let extra = [(name.to_owned(), json!("id-canary"))];
        parameters.extra.extend(extra);
        let with_extra = GenerateView {
            hyperparameters: Cow::Owned(parameters),
            ..kit.question("Hello!")
        };
        let plain = kit.question("Hello!");
        let requests = [with_extra, plain].map(RequestView::Generate);
        if let Some(arrived) = kit.arrives(&requests).await {
            let ids: Vec<&str> = arrived.sent.iter().map(|sent| sent.id.as_str()).collect();
            assert_eq!(ids, ["r0", "r1"], "{name} is an id");
            let second = arrived.sent[1].body.to_string();
            assert!(
                !second.contains("id-canary"),
                "{name} is in another request"
            );
        }
    }
}
