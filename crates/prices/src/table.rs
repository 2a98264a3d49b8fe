//! Table of prices, and the search of a model in it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::SystemTime;

use lmbatch_core::{CostRange, Prices, Pricing, TokenUsage};

use crate::model::ModelPrices;
use crate::names::normal;
use crate::read::{self, TableError};

/// Table of the crate, as it was published with it.
const BUNDLED: &str = include_str!("../data/prices.json");

/// Number of names whose search is remembered for each provider. Answers name few models.
const REMEMBERED: usize = 256;

/// Dated prices of models, for batches and real time. Cheap to clone.
///
/// ```
/// use lmbatch_core::{Prices, Pricing, TokenUsage, parse_time};
/// use lmbatch_prices::PriceTable;
///
/// let table = PriceTable::bundled();
/// let usage = TokenUsage { input_tokens: 1_000_000, ..Default::default() };
/// let cost = |day: &str| {
///     let at = parse_time(&format!("{day}T12:00:00Z")).unwrap();
///     table.cost("google", "gemini-4-argon", Pricing::Batch, at, &usage).unwrap().to_string()
/// };
/// assert_eq!(cost("2026-11-30"), "$1.00");
/// assert_eq!(cost("2026-12-01"), "$2.00");
/// assert!(table.find("google", "a-model-that-is-not-listed").is_none());
/// ```
#[derive(Debug, Clone, Default)]
pub struct PriceTable(Arc<Table>);

/// Position of a model by each of its names; `None` for a name without a model.
type Positions = HashMap<Box<str>, Option<usize>>;

#[derive(Debug, Default)]
struct Table {
    as_of: Box<str>,
    models: Vec<ModelPrices>,
    /// Names that were searched, by provider.
    remembered: Mutex<HashMap<Box<str>, Positions>>,
}

impl PriceTable {
    /// Returns the table that the crate was published with. [`as_of`](Prices::as_of) is its day.
    pub fn bundled() -> Self {
        // A test reads the table, so that this cannot fail; with an empty one every price would be unknown.
        static TABLE: LazyLock<PriceTable> =
            LazyLock::new(|| PriceTable::from_json(BUNDLED).unwrap_or_default());
        TABLE.clone()
    }

    /// Reads a table, as the `data/prices.json` of this crate is written.
    ///
    /// ```
    /// # use lmbatch_prices::PriceTable;
    /// # use lmbatch_core::Prices;
    /// let table = PriceTable::from_json(r#"{
    ///     "schema": "lmbatch-prices/1", "as_of": "2026-11-27",
    ///     "models": [{"provider": "acme", "model": "acme-1", "batch": [{"in": "0.5", "out": "1.5"}]}]
    /// }"#)?;
    /// assert_eq!(table.as_of(), "2026-11-27");
    /// let error = PriceTable::from_json(r#"{"schema": "lmbatch-prices/2"}"#).unwrap_err();
    /// assert_eq!(error.position(), "schema");
    /// # Ok::<(), lmbatch_prices::TableError>(())
    /// ```
    ///
    /// # Errors
    /// [`TableError`] with the place of the first value that is wrong, missing or unknown.
    pub fn from_json(text: &str) -> Result<Self, TableError> {
        let (as_of, models) = read::table(text)?;
        Ok(Self(Arc::new(Table {
            as_of,
            models,
            remembered: Mutex::default(),
        })))
    }

    /// Returns all models of the table, in its order.
    pub fn models(&self) -> impl Iterator<Item = &ModelPrices> {
        self.0.models.iter()
    }

    /// Returns the prices of a model by one of its names; `None` for a model whose prices are unknown.
    pub fn find(&self, provider: &str, model: &str) -> Option<&ModelPrices> {
        self.0.models.get(self.0.position(provider, model)?)
    }
}

impl Table {
    /// Returns the position of a model, which is searched once for each of its names.
    fn position(&self, provider: &str, model: &str) -> Option<usize> {
        let lock = || {
            let remembered = self.remembered.lock();
            remembered.unwrap_or_else(PoisonError::into_inner)
        };
        let known = lock().get(provider).and_then(|of| of.get(model)).copied();
        if let Some(position) = known {
            return position;
        }
        let position = self.search(provider, model);
        let mut remembered = lock();
        let of = remembered.entry(provider.into()).or_default();
        if of.len() >= REMEMBERED {
            of.clear();
        }
        of.insert(model.into(), position);
        position
    }

    fn search(&self, provider: &str, model: &str) -> Option<usize> {
        let name = normal(model);
        let models = self.models.iter().enumerate();
        let of_provider = models.filter(|(_, prices)| *prices.provider == *provider);
        let matched =
            of_provider.filter_map(|(at, prices)| Some((prices.names.strength(&name)?, at)));
        // The first of equal matches counts; `max_by_key` returns the last.
        let best = matched.max_by_key(|(strength, at)| (*strength, std::cmp::Reverse(*at)));
        best.map(|(_, at)| at)
    }
}

impl Prices for PriceTable {
    fn cost(
        &self,
        provider: &str,
        model: &str,
        pricing: Pricing,
        at: SystemTime,
        usage: &TokenUsage,
    ) -> Option<CostRange> {
        let prices = self.find(provider, model)?;
        prices.rates(pricing, at, usage.input_tokens)?.cost(usage)
    }

    fn as_of(&self) -> &str {
        &self.0.as_of
    }

    fn retires(&self, provider: &str, model: &str) -> Option<SystemTime> {
        let prices = self.find(provider, model)?;
        prices.retires.as_ref().map(|day| day.starts)
    }
}
