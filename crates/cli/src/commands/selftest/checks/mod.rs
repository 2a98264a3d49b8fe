//! Checks of a self-test, in the order in which they are made.

mod cancelling;
mod creating;
mod listing;
mod refusing;
mod results;
mod rows;
#[cfg(test)]
mod tests;

use super::plan::Plan;
use super::tester::{Halt, Tester};

/// Makes every check.
///
/// # Errors
/// A signal, or the failure of a call that the remaining checks need.
pub(super) async fn all(tester: &mut Tester, plan: &Plan, model: &str) -> Result<(), Halt> {
    creating::accepted(tester, model).await?;
    let first = creating::created(tester, &plan.completed).await?;
    let snapshot = creating::readable(tester, &first).await?;
    creating::time(tester, &first, &snapshot);
    listing::listed(tester, &first, &snapshot).await?;
    listing::uploads(tester, &first).await?;
    refusing::unknown(tester, &first.id).await?;
    refusing::token(tester, &first).await?;
    let second = cancelling::cancelled(tester, plan.cancelled.as_ref()).await?;
    listing::ordered(tester, &first, second.as_ref()).await?;
    refusing::fence(tester, plan.fenced.as_ref()).await?;
    cancelling::ended(tester, second.as_ref()).await?;
    results::completed(tester, &first).await
}
