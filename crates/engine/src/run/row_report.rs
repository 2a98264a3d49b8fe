//! Report of the rows that were read to the observer.

use crate::context::Context;
use crate::event::Event;
use crate::results::finished::RunResults;
use crate::results::tally::Tally;

impl Context {
    /// Reports the rows that were read, and those that are no outcome.
    pub(crate) fn report_rows(&self, finished: &RunResults, takes_rows_without_id: bool) {
        let tally: Tally = finished.tally;
        let subject = match finished.batches()[..] {
            [batch] => self.subject().of_batch(&batch.id),
            _ => self.subject(),
        };
        let without_id = match takes_rows_without_id {
            true => {
                " without an id (they get ids in the order of the rows, which may differ from the order in which the requests were sent)"
            }
            false => " without an id (ignored)",
        };
        for (count, before, after) in [
            (
                tally.duplicates,
                "duplicate ",
                " (the first answer counts; without an answer, the first final failure, otherwise the first row)",
            ),
            (tally.foreign, "", " with an unknown id (ignored)"),
            (tally.malformed, "malformed ", ""),
            (
                tally.broken + tally.cut,
                "",
                " not JSON, of which only the id can be read (a request without another row ends as malformed_answer; it was billed, and is sent again only on request)",
            ),
            (tally.without_id, "", without_id),
        ] {
            if count > 0 {
                let rows = if count == 1 { "row" } else { "rows" };
                self.warn(subject, &format!("{count} {before}result {rows}{after}"));
            }
        }
        let undelivered = finished.undelivered();
        if undelivered > 0 {
            let requests = if undelivered == 1 {
                "request"
            } else {
                "requests"
            };
            let message = format!(
                "{undelivered} {requests} without a result row may have been answered and billed: undelivered answers are sent again only on request"
            );
            self.warn(subject, &message);
        }
        self.report(&Event::Fetched {
            subject,
            rows: tally.rows,
        });
    }
}
