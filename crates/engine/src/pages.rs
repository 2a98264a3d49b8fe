//! Lists that providers return in pages.

use std::collections::HashSet;
use std::future::Future;

use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use lmbatch_core::{Cursor, Error, Found, Page, Result};

/// Page of a list that may lead to another page.
pub(crate) trait Leads {
    /// Returns the cursor of the next page; `None` on the last page.
    fn next(&self) -> Option<&Cursor>;
}

impl<T> Leads for Page<T> {
    fn next(&self) -> Option<&Cursor> {
        self.next.as_ref()
    }
}

impl Leads for Found {
    fn next(&self) -> Option<&Cursor> {
        self.next.as_ref()
    }
}

/// Returns the items on the pages of a list.
pub(crate) fn items<'a, T, A, F>(ask: A) -> impl Stream<Item = Result<T>> + Send + 'a
where
    T: Send + 'a,
    A: FnMut(Option<Cursor>) -> F + Send + 'a,
    F: Future<Output = Result<Page<T>>> + Send + 'a,
{
    let items = |page: Page<T>| stream::iter(page.items).map(Ok);
    pages(ask).map_ok(items).try_flatten()
}

/// Maximum number of pages of one list. A list that never ends is an error, not a wait.
const MOST_PAGES: usize = 10_000;

/// Returns every page of a list, as `ask` gives them. Stops at a page whose cursor was already
/// used, since following it would never end. A caller that needs a complete list must check that
/// the last page has no cursor.
///
/// # Errors
/// [`ErrorKind::MalformedResponse`](lmbatch_core::ErrorKind::MalformedResponse) after 10,000 pages.
pub(crate) fn pages<'a, P, A, F>(mut ask: A) -> impl Stream<Item = Result<P>> + Send + 'a
where
    P: Leads + Send + 'a,
    A: FnMut(Option<Cursor>) -> F + Send + 'a,
    F: Future<Output = Result<P>> + Send + 'a,
{
    stream::try_unfold(Some((None, HashSet::new())), move |at| {
        let asked = at.map(|(cursor, seen)| (ask(cursor), seen));
        async move {
            let Some((page, mut seen)) = asked else {
                return Ok(None);
            };
            if seen.len() == MOST_PAGES {
                return Err(Error::malformed(format!(
                    "the list does not end after {MOST_PAGES} pages"
                )));
            }
            let page = page.await?;
            let next = page.next().filter(|next| seen.insert((*next).clone()));
            let next = next.cloned().map(|next| (Some(next), seen));
            Ok(Some((page, next)))
        }
    })
}
