//! Report of the rows that were read to the observer.

use crate::context::Context;
use crate::event::Event;
use crate::results::finished::RunResults;
use crate::results::tally::Tally;

impl Context {
    /// Reports the rows that were read, and those that are no outcome.
    pub(crate) fn report_rows(&self, finished: &RunResults, takes_rows_without_id: bool) {
        let tally: Tally = finished.tally;
        for (count, what) in [
            (
                tally.duplicates,
                "name the same request as another row (the first answer counts; without an answer, the first final failure, otherwise the first row)",
            ),
            (tally.foreign, "name no request of this batch (ignored)"),
            (tally.malformed, "cannot be read"),
            (
                tally.broken + tally.cut,
                "are not JSON but have a readable id (a request without another row ends as malformed_answer; it was paid for, and is sent again only on request)",
            ),
            (
                tally.without_id,
                match takes_rows_without_id {
                    true => {
                        "name no request (they get ids in the order of the rows, which may differ from the order in which the requests were sent)"
                    }
                    false => "name no request (ignored)",
                },
            ),
        ] {
            if count > 0 {
                self.report(&Event::Warning {
                    message: &format!("result rows that {what}: {count}"),
                });
            }
        }
        let undelivered = finished.undelivered();
        if undelivered > 0 {
            let message = format!(
                "requests that may have been answered but have no row in the results: {undelivered}; they may have been paid for, and are sent again only on request"
            );
            self.report(&Event::Warning { message: &message });
        }
        self.report(&Event::Fetched { rows: tally.rows });
    }
}
