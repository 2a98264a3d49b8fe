//! Acme's lists of batches (with cursors or numbered pages) and of inputs.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lmbatch_core::{
    BatchSnapshot, BatchStatus, Cursor, Error, ErrorKind, Label, ListOptions, Page, RemoteObject,
    RequestCounts, Result, Retry, Upload, parse_time,
};
use serde_json::Value;

use super::adapter::{Acme, client};
use super::errors::classify_error;

/// Maximum number of batches on a numbered page.
const SIZE: u64 = 3;

impl Acme {
    pub(super) async fn list_batches(&self, options: &ListOptions) -> Result<Page<BatchSnapshot>> {
        let bare = client(&self.base_url, None);
        let http = match self.broken("every_call_carries_the_key") {
            true => &bare,
            false => &self.http,
        };
        let exchange = || {
            let exchange = http.get("batches").expecting("list the batches");
            let numbered = self.mode().starts_with("numbered");
            match &options.page {
                _ if numbered => {
                    let number = self.number(options).to_string();
                    exchange
                        .query("number", &number)
                        .query("size", &SIZE.to_string())
                }
                Some(page) => exchange.query("from", page.as_str()),
                None => exchange,
            }
        };
        if self.broken("a_list_call_is_one_exchange") {
            drop(exchange().ask(classify_error).await);
        }
        let asked = self.ask(exchange(), "batches").await;
        let body: Value = match self.broken("a_404_from_a_proxy_for_a_list_is_retryable") {
            true => asked?.json()?,
            false => asked.map_err(lmbatch_http::list_error)?.json()?,
        };
        let batches = match body["batches"].as_array() {
            Some(batches) => batches.clone(),
            None if self.broken("a 200 without a list is an empty list") => Vec::new(),
            None if body["batches"].is_null()
                && body.get("batches").is_some()
                && self.broken("a list that is null is an empty list") =>
            {
                Vec::new()
            }
            None => {
                let about = Error::new(ErrorKind::MalformedResponse);
                return Err(about.with_retry(Retry::Temporary));
            }
        };
        let says_error = !body["error"].is_null() && body["batches"].is_array();
        if says_error && !self.broken("a list with an error is accepted") {
            let about = Error::new(ErrorKind::MalformedResponse);
            return Err(about.with_retry(Retry::Temporary));
        }
        if body["contract_unknown"].is_object()
            && self.broken("unknown_members_of_a_list_are_ignored")
        {
            return Err(Error::new(ErrorKind::MalformedResponse));
        }
        let lenient = self.broken("an_unreadable_page_cursor_is_an_error");
        let mut next = match &body["next"] {
            Value::String(next) => Some(Cursor::new(next.as_str())),
            Value::Null => None,
            _ if lenient => None,
            _ => return Err(Error::new(ErrorKind::MalformedResponse)),
        };
        if self.mode().starts_with("numbered") {
            next = self.after(options, &body["total"])?;
        }
        match self.breaks.unwrap_or_default() {
            "paging_through_a_list_returns_every_batch_once" => next = None,
            "a_list_without_batches_is_empty" if batches.is_empty() => {
                next = Some(Cursor::new("x"))
            }
            "a_page_that_links_to_itself_ends_the_list" => {
                let from = options.page.as_ref().map_or("", |page| page.as_str());
                next = next.map(|next| match next.as_str() {
                    "round-and-round" => Cursor::new(format!("{from}.")),
                    _ => next,
                });
            }
            _ => {}
        }
        let mut items: Vec<_> = batches.iter().map(|batch| self.snapshot(batch)).collect();
        if self.broken("a_list_agrees_with_the_status") {
            items
                .iter_mut()
                .for_each(|batch| batch.counts = RequestCounts::default());
        }
        if self.broken("a list begins with the oldest") {
            items.reverse();
        }
        items.iter_mut().for_each(|batch| self.misstate(batch));
        let page = Page { items, next };
        Ok(match self.broken("a list caches its pages") {
            true => self.kept(options, page),
            false => page,
        })
    }

    /// Changes the list of a broken adapter, so that it disagrees with the status call.
    fn misstate(&self, batch: &mut BatchSnapshot) {
        match (self.mode(), &batch.status) {
            ("a list has an earlier status", status) if status.is_terminal() => {
                batch.status = BatchStatus::InProgress;
            }
            ("a list has a later status", BatchStatus::Cancelling) => {
                batch.status = BatchStatus::Cancelled;
            }
            ("an unknown status in a list is read as terminal", BatchStatus::Unknown(_)) => {
                batch.status = BatchStatus::Completed;
            }
            ("a list leaves out the times", _) => batch.created_at = None,
            ("a list has the time of the last change", _) => {
                batch.created_at = batch.created_at.map(|at| at + Duration::from_secs(1));
            }
            ("a list counts failures as answers", _) => {
                batch.counts.succeeded += std::mem::take(&mut batch.counts.errored);
            }
            ("a list gives the total alone", _) => {
                batch.counts = RequestCounts {
                    total: batch.counts.total,
                    ..RequestCounts::default()
                };
            }
            _ => {}
        }
    }

    /// Returns the page as it was first read.
    fn kept(&self, options: &ListOptions, page: Page<BatchSnapshot>) -> Page<BatchSnapshot> {
        type Pages = BTreeMap<(String, String), Page<BatchSnapshot>>;
        static KEPT: Mutex<Pages> = Mutex::new(BTreeMap::new());
        let from = options.page.as_ref().map_or("", |page| page.as_str());
        let key = (self.base_url.clone(), from.to_owned());
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entry(key).or_insert(page).clone()
    }

    /// Returns the number of a page from its cursor; a broken adapter counts from one.
    fn number(&self, options: &ListOptions) -> u64 {
        let number = options
            .page
            .as_ref()
            .and_then(|page| page.as_str().parse().ok());
        let first = u64::from(self.broken("numbered: pages are counted from one"));
        number.unwrap_or(first)
    }

    /// Returns the cursor of the page after a numbered one.
    fn after(&self, options: &ListOptions, total: &Value) -> Result<Option<Cursor>> {
        let total = total.as_u64();
        let total = total.ok_or_else(|| Error::new(ErrorKind::MalformedResponse))?;
        let next = self.number(options) + 1;
        let early = u64::from(self.broken("numbered: the last page is left out"));
        let is_there = (next + early) * SIZE < total;
        Ok(is_there.then(|| Cursor::new(next.to_string())))
    }

    pub(super) async fn list_inputs(&self, page: Option<Cursor>) -> Result<Page<Upload>> {
        if self.broken("uploads are not listed") {
            return Err(Error::unsupported("listing inputs"));
        }
        let exchange = self.http.get("inputs").expecting("list the inputs");
        let exchange = match &page {
            Some(page) => exchange.query("from", page.as_str()),
            None => exchange,
        };
        let body = exchange.ask(classify_error).await?.json()?;
        let inputs = match body["inputs"].as_array() {
            Some(inputs) => inputs.clone(),
            None if self.broken("a 200 without a list of uploads is an empty list") => Vec::new(),
            None => return Err(Error::new(ErrorKind::MalformedResponse)),
        };
        let all = self.broken("uploads of others are listed");
        let items = inputs.iter().filter_map(|input| {
            let label = Label::new(input["name"].as_str()?);
            (all || label.parts().is_some()).then(|| Upload {
                remote_object: RemoteObject::File(input["id"].as_str().unwrap_or_default().into()),
                label,
                bytes: input["bytes"].as_u64(),
                created_at: input["created"].as_str().and_then(parse_time),
            })
        });
        let next = body["next"].as_str().map(Cursor::new);
        Ok(Page {
            items: items.collect(),
            next: next.filter(|_| !self.broken("only the first page of uploads is read")),
        })
    }
}
