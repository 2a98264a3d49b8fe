//! Dated prices of language models, for batches and real time, in exact integers.
//!
//! [`PriceTable`] implements [`Prices`](lmbatch_core::Prices): it returns the cost of one request from its token usage.
//! The table that comes with the crate was merged from two public tables; `data/NOTICE` names them.
//!
//! ```
//! use lmbatch_core::{Prices, Pricing, TokenUsage, parse_time};
//! use lmbatch_prices::PriceTable;
//!
//! let table = PriceTable::bundled();
//! let at = parse_time("2026-11-27T12:00:00Z").unwrap();
//! let usage = TokenUsage { input_tokens: 2_000, output_tokens: 500, ..Default::default() };
//! let cost = |pricing| table.cost("anthropic", "claude-sonnet-5-5", pricing, at, &usage).unwrap();
//! assert_eq!(cost(Pricing::Batch).to_string(), "$0.0045");
//! assert_eq!(cost(Pricing::RealTime).to_string(), "$0.009");
//! ```
//!
//! # Rules
//! * **Names.** A model has exact names and patterns: `eq`, `prefix`, `suffix`, `contains`, `re`, in that order of
//!   strength; among equal ones the longest counts. Names are compared in lower case. A pattern matches no name that
//!   ends as its `not` says, or that contains `image`, `tts`, `audio`, `live`, `realtime` or `transcribe`.
//! * **Days.** The last period that has begun by the day of the request (UTC) counts. For a day before the first batch
//!   period, that first period is used, and [`Rates::is_before_from`] says so.
//! * **Long requests.** Above a threshold of input tokens, every token of the request has the rates of the step.
//! * **Parts of the input.** Cached tokens, cache writes and audio are parts of the input; thinking is a part of the
//!   output. A kind of input tokens without a rate of its own is billed as other input.
//! * **Unpublished batch rates.** Where the batch list leaves out a rate that the real-time list has, the real-time
//!   rate is the estimate, and the larger of it and the batch rate of input is the upper bound. Where only the
//!   real-time list has a step for long requests, the batch rates grow by its factor, and at most to its rates.
//! * **Unknown stays unknown.** A model that is not listed has no cost, and neither has output without a rate.

mod model;
mod names;
mod period;
mod rate;
mod rates;
mod read;
mod table;

pub use model::ModelPrices;
pub use rate::{Rate, RateError, RateRange};
pub use rates::Rates;
pub use read::TableError;
pub use table::PriceTable;
