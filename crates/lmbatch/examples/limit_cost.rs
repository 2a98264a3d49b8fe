//! Sends a few requests under a cost limit, and prints what each answer cost.
//!
//! ```sh
//! OPENAI_API_KEY=sk-… cargo run --example limit_cost --features openai,prices
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::sync::Arc;

use lmbatch::openai::OpenAi;
use lmbatch::prices::PriceTable;
use lmbatch::{Cost, CostLimit, ErrorKind, LMInvoker};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let provider = OpenAi::from_env()?;
    let max: Cost = "0.05".parse()?;
    let invoker = LMInvoker::new(provider, "gpt-5.4-mini")
        .max_output_tokens(200)
        .max_cost(CostLimit::new(max), Arc::new(PriceTable::bundled()));
    let requests = [("sum", "What is 2 + 2?"), ("sky", "Why is the sky blue?")];
    let outcomes = match invoker.batch().invoke(requests).await {
        Err(error) if error.kind() == ErrorKind::CostLimit => {
            println!("nothing more was sent: {error}");
            return Ok(());
        }
        outcomes => outcomes?,
    };
    for (id, outcome) in &outcomes {
        // An unknown cost is not zero: the model may have no price in the table.
        match outcome.as_result()?.cost {
            Some(cost) => println!("{id}: {cost}"),
            None => println!("{id}: cost unknown"),
        }
    }
    let costs = outcomes.costs();
    println!("{} in all, at least {} saved", costs.charged, costs.saved);
    Ok(())
}
