//! The bundled table: sample prices, days, thresholds and unpublished rates, each as a whole cost.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::SystemTime;

use lmbatch_core::{Prices, Pricing, TokenUsage, parse_time};
use lmbatch_prices::PriceTable;

const MILLION: u64 = 1_000_000;

fn day(day: &str) -> SystemTime {
    parse_time(&format!("{day}T12:00:00Z")).unwrap()
}

fn tokens(input_tokens: u64, output_tokens: u64) -> TokenUsage {
    TokenUsage {
        input_tokens,
        output_tokens,
        ..TokenUsage::default()
    }
}

/// Returns the cost in batch on the day after the table's.
fn batch(provider: &str, model: &str, usage: TokenUsage) -> String {
    on("2026-11-27", Pricing::Batch, provider, model, usage)
}

fn on(at: &str, pricing: Pricing, provider: &str, model: &str, usage: TokenUsage) -> String {
    let table = PriceTable::bundled();
    let cost = table.cost(provider, model, pricing, day(at), &usage);
    cost.map_or("unknown".to_owned(), |cost| cost.to_string())
}

#[test]
fn the_bundled_table_is_read_whole() {
    let table = PriceTable::bundled();
    assert!(table.as_of() >= "2026-11-26", "{}", table.as_of());
    let all = table.models().count();
    assert!(all >= 187, "{all}");
    let now = day("2026-11-27");
    let priced = |pricing| {
        let priced = table.models();
        priced
            .filter(|model| model.rates(pricing, now, 0).is_some())
            .count()
    };
    assert!(priced(Pricing::Batch) >= 184);
    assert_eq!(priced(Pricing::RealTime), all);
}

#[test]
fn each_name_in_the_table_finds_its_own_model() {
    let table = PriceTable::bundled();
    for model in table.models() {
        let found = table.find(model.provider(), model.model());
        let found = found.map(|found| (found.provider(), found.model()));
        // Names of the table are names of models, or of a family that only patterns match.
        assert!(
            found.is_none_or(|found| found == (model.provider(), model.model())),
            "{} is {found:?}",
            model.model()
        );
    }
}

#[test]
fn sample_models_have_their_published_batch_rates() {
    for (provider, model, input, output) in [
        ("openai", "gpt-6.1-sol", "1.00", "5.00"),
        ("openai", "gpt-6-luna", "0.05", "0.25"),
        ("openai", "gpt-5.4-mini", "0.375", "2.25"),
        ("openai", "gpt-5.4-mini-2026-03-17", "0.375", "2.25"),
        ("openai", "gpt-5-mini", "0.125", "1.00"),
        ("anthropic", "claude-opus-5-5", "2.00", "10.00"),
        ("anthropic", "claude-opus-5-5-20261015", "2.00", "10.00"),
        ("anthropic", "claude-sonnet-5-5", "1.00", "5.00"),
        ("anthropic", "claude-haiku-4-5", "0.50", "2.50"),
        ("anthropic", "claude-haiku-4-5-20251001", "0.50", "2.50"),
        ("anthropic", "claude-haiku-5-5", "0.05", "0.25"),
        ("google", "gemini-3.8-flash", "0.375", "1.875"),
        ("google", "models/Gemini-3.8-Flash", "0.375", "1.875"),
        ("google", "gemini-3.1-flash-lite", "0.125", "0.75"),
        ("google", "gemini-4-argon", "1.00", "5.00"),
        ("mistral", "mistral-large-4", "0.35", "1.05"),
        ("mistral", "mistral-small-latest", "0.075", "0.30"),
        ("xai", "grok-4.3", "1.00", "2.00"),
        ("groq", "openai/gpt-oss-120b", "0.075", "0.30"),
    ] {
        // A thousandth, so that no request is above a threshold.
        let thousandth = |tokens: TokenUsage| {
            let cost = PriceTable::bundled().cost(
                provider,
                model,
                Pricing::Batch,
                day("2026-11-27"),
                &tokens,
            );
            cost.unwrap().saturating_mul(1_000).to_string()
        };
        assert_eq!(thousandth(tokens(1_000, 0)), format!("${input}"), "{model}");
        assert_eq!(
            thousandth(tokens(0, 1_000)),
            format!("${output}"),
            "{model}"
        );
    }
}

#[test]
fn the_price_changes_with_the_day_in_utc() {
    let usage = tokens(1_000, 1_000);
    for (at, pricing, model, cost) in [
        ("2026-11-30", Pricing::Batch, "gemini-4-argon", "$0.006"),
        ("2026-12-01", Pricing::Batch, "gemini-4-argon", "$0.012"),
        ("2026-11-30", Pricing::RealTime, "gemini-4-argon", "$0.012"),
        ("2026-12-01", Pricing::RealTime, "gemini-4-argon", "$0.024"),
        ("2026-12-31", Pricing::Batch, "gemini-3.8-flash", "$0.00225"),
        ("2027-01-01", Pricing::Batch, "gemini-3.8-flash", "$0.0045"),
        // The first recorded batch price is of 2026-10-14.
        ("2026-10-13", Pricing::Batch, "gemini-4-argon", "$0.006"),
    ] {
        assert_eq!(
            on(at, pricing, "google", model, usage),
            cost,
            "{at} {model}"
        );
    }
    let table = PriceTable::bundled();
    let model = table.find("google", "gemini-4-argon").unwrap();
    for (instant, input) in [
        ("2026-11-30T23:59:59.999Z", "$1.00"),
        ("2026-12-01T00:00:00Z", "$2.00"),
        ("2026-12-01T00:59:59+01:00", "$1.00"),
    ] {
        let rates = model.rates(Pricing::Batch, parse_time(instant).unwrap(), 0);
        assert_eq!(rates.unwrap().input.to_string(), input, "{instant}");
    }
    for (at, is_before) in [("2026-10-13", true), ("2026-10-14", false)] {
        let rates = model.rates(Pricing::Batch, day(at), 0).unwrap();
        assert_eq!(
            (rates.from, rates.is_before_from),
            (Some("2026-10-14"), is_before)
        );
    }
}

#[test]
fn above_a_threshold_every_token_of_a_request_costs_the_rate_of_the_step() {
    for (provider, model, at, below, above) in [
        // (100,000 × 0.05 + 10 × 0.25) and (100,001 × 0.25 + 10 × 1.25) micro-dollars.
        (
            "anthropic",
            "claude-haiku-5-5",
            100_000,
            "$0.0050025",
            "$0.02501275",
        ),
        ("openai", "gpt-6.1-sol", 272_000, "$0.27205", "$0.544077"),
        (
            "google",
            "gemini-2.5-pro",
            200_000,
            "$0.12505",
            "$0.25007625",
        ),
        (
            "anthropic",
            "claude-sonnet-4-5",
            200_000,
            "$0.300075",
            "$0.6001155",
        ),
        // At and above 200,000 tokens.
        ("xai", "grok-4.3", 199_999, "$0.200019", "$0.40004"),
        ("xai", "grok-4.7", 199_999, "$0.3200464", "$0.640096"),
    ] {
        assert_eq!(batch(provider, model, tokens(at, 10)), below, "{model}");
        assert_eq!(batch(provider, model, tokens(at + 1, 10)), above, "{model}");
    }
}

#[test]
fn a_step_that_only_the_real_time_list_has_bounds_the_batch_price() {
    // Real time: 30 and 180, above 272,000 tokens 60 and 270; batch: 15 and 90.
    let model = "gpt-5.5-pro";
    assert_eq!(batch("openai", model, tokens(272_000, 0)), "$4.08");
    assert_eq!(
        batch("openai", model, tokens(272_001, 0)),
        "$8.16003 to $16.32006"
    );
    assert_eq!(
        batch("openai", model, tokens(300_000, 1_000)),
        "$9.135 to $18.27"
    );
}

#[test]
fn parts_of_the_input_have_rates_of_their_own() {
    let usage = TokenUsage {
        input_tokens: 10_000,
        cached_input_tokens: 4_000,
        cache_write_tokens: 3_000,
        cache_write_1h_tokens: 1_000,
        output_tokens: 500,
        thinking_tokens: 400,
        ..TokenUsage::default()
    };
    // 3,000 × 2 + 4,000 × 0.1 + 2,000 × 2.5 + 1,000 × 4 + 500 × 10 micro-dollars.
    assert_eq!(batch("anthropic", "claude-opus-5-5", usage), "$0.0204");
    // 3,000 × 4 + 4,000 × 0.2 + 2,000 × 5 + 1,000 × 8 + 500 × 20.
    let real_time = on(
        "2026-11-27",
        Pricing::RealTime,
        "anthropic",
        "claude-opus-5-5",
        usage,
    );
    assert_eq!(real_time, "$0.0408");
    let audio = TokenUsage {
        audio_input_tokens: 1_000,
        ..tokens(1_500, 0)
    };
    // 500 × 0.05 + 1,000 × 0.15 micro-dollars; without a rate of its own, audio costs as other input.
    assert_eq!(batch("google", "gemini-2.5-flash-lite", audio), "$0.000175");
    assert_eq!(batch("google", "gemini-3.8-flash", audio), "$0.0005625");
}

#[test]
fn an_unpublished_batch_rate_is_a_range() {
    let cached = |cached_input_tokens| TokenUsage {
        cached_input_tokens,
        ..tokens(1_000, 0)
    };
    // The real-time rate 0.5 is the estimate; the batch rate of input, 1, is larger.
    assert_eq!(batch("openai", "gpt-4.1", cached(0)), "$0.001");
    assert_eq!(
        batch("openai", "gpt-4.1", cached(1_000)),
        "$0.0005 to $0.001"
    );
    // Published: the two discounts do not add up.
    assert_eq!(
        batch("groq", "openai/gpt-oss-120b", cached(1_000)),
        "$0.000075"
    );
    // The real-time rate of cache writes for one hour, 20, is above the batch rate of input, 5.
    let written = TokenUsage {
        cache_write_tokens: 1_000,
        cache_write_1h_tokens: 1_000,
        ..tokens(1_000, 0)
    };
    assert_eq!(batch("anthropic", "claude-mythos-5", written), "$0.02");
    // This provider prices cache writes, and publishes no price of one hour.
    assert_eq!(batch("openai", "gpt-6.1-sol", written), "unknown");
    // Above the threshold, both lists have the rates of their steps.
    let long = TokenUsage {
        cached_input_tokens: 200_001,
        ..tokens(200_001, 0)
    };
    assert_eq!(
        batch("google", "gemini-2.5-pro", long),
        "$0.05000025 to $0.25000125"
    );
}

#[test]
fn an_unknown_price_is_not_zero() {
    let usage = tokens(1, 1);
    for (provider, model) in [
        ("openai", "gpt-5-mini-turbo"),
        ("openai", "ft:gpt-4.1:acme"),
        ("acme", "gpt-5-mini"),
        ("openai", ""),
        ("google", "gemini-2.5-pro-preview-tts"),
        ("google", "gemini-3.8-flash-image"),
        // Without a batch price.
        ("xai", "grok-4.5"),
        // An embedding has no price of output.
        ("openai", "text-embedding-3-small"),
    ] {
        assert_eq!(batch(provider, model, usage), "unknown", "{model}");
    }
    let real_time = on("2026-11-27", Pricing::RealTime, "xai", "grok-4.5", usage);
    assert_eq!(real_time, "$0.000008");
    assert_eq!(
        batch("openai", "text-embedding-3-small", tokens(MILLION, 0)),
        "$0.01"
    );
    assert_eq!(
        batch("openai", "gpt-5-mini", TokenUsage::default()),
        "$0.00"
    );
}

#[test]
fn models_that_retire_have_a_day() {
    let table = PriceTable::bundled();
    for (provider, model, retires) in [
        ("openai", "gpt-5-mini", Some("2026-12-11")),
        ("google", "gemini-2.5-flash", Some("2026-12-01")),
        ("anthropic", "claude-sonnet-4-5", Some("2026-11-30")),
        ("openai", "gpt-5.4-mini", None),
        ("openai", "a-model-that-is-not-listed", None),
    ] {
        let found = table.find(provider, model);
        assert_eq!(found.and_then(|found| found.retires()), retires, "{model}");
        let midnight = retires.and_then(|day| parse_time(&format!("{day}T00:00:00Z")));
        assert_eq!(table.retires(provider, model), midnight, "{model}");
    }
}

#[test]
fn the_largest_numbers_of_tokens_do_not_overflow() {
    let most = TokenUsage {
        input_tokens: u64::MAX,
        cached_input_tokens: u64::MAX,
        cache_write_tokens: u64::MAX,
        cache_write_1h_tokens: u64::MAX,
        audio_input_tokens: u64::MAX,
        output_tokens: u64::MAX,
        thinking_tokens: u64::MAX,
    };
    let cost = batch("anthropic", "claude-opus-5-5", most);
    // 0.1 of cached, 4 of one hour and 10 of output: 14.1 micro-dollars × (2⁶⁴ − 1).
    assert_eq!(cost, "$260099091439304.6777715");
}

/// Returns numbers that look random and are the same in each run.
fn numbers(mut seed: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    }
}

#[test]
fn without_a_threshold_the_cost_of_a_sum_is_the_sum_of_the_costs() {
    let table = PriceTable::bundled();
    let now = day("2026-11-27");
    let mut checked = 0;
    for (seed, model) in table.models().enumerate() {
        let mut number = numbers(seed as u64);
        let mut usage = || {
            let (plain, cached, five, hour, audio) = (
                number(20_000),
                number(5_000),
                number(5_000),
                number(5_000),
                number(5_000),
            );
            TokenUsage {
                input_tokens: plain + cached + five + hour + audio,
                cached_input_tokens: cached,
                cache_write_tokens: five + hour,
                cache_write_1h_tokens: hour,
                audio_input_tokens: audio,
                output_tokens: number(5_000),
                thinking_tokens: 0,
            }
        };
        for pricing in [Pricing::Batch, Pricing::RealTime] {
            for _ in 0..20 {
                let (one, other) = (usage(), usage());
                let cost = |usage: &TokenUsage| {
                    let rates = model.rates(pricing, now, usage.input_tokens)?;
                    assert_eq!(rates.above_input_tokens, None, "{}", model.model());
                    rates.cost(usage)
                };
                let sum = cost(&one).zip(cost(&other)).map(|(one, other)| one + other);
                assert_eq!(cost(&(one + other)), sum, "{} {pricing:?}", model.model());
                checked += u32::from(sum.is_some());
            }
        }
    }
    assert!(checked > 4_000, "{checked} sums had a price");
}

#[test]
fn the_estimate_is_never_above_the_bound_and_batch_is_never_dearer_than_real_time() {
    let table = PriceTable::bundled();
    let now = day("2026-11-27");
    for model in table.models() {
        for input_tokens in [0, 100_001, 199_999, 200_001, 272_001, 600_000] {
            let rates = |pricing| model.rates(pricing, now, input_tokens);
            let real_time = rates(Pricing::RealTime).unwrap();
            let Some(batch) = rates(Pricing::Batch) else {
                continue;
            };
            let name = model.model();
            for range in [
                batch.input,
                batch.cached,
                batch.cache_write,
                batch.audio_input,
            ] {
                assert!(range.low <= range.high, "{name} {input_tokens}: {range}");
            }
            assert!(
                batch.input.high <= real_time.input.high,
                "{name} {input_tokens}"
            );
            let high = |output: Option<lmbatch_prices::RateRange>| output.map(|rate| rate.high);
            assert!(
                high(batch.output) <= high(real_time.output),
                "{name} {input_tokens}"
            );
        }
    }
}
