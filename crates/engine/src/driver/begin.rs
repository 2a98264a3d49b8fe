//! Begin of steps: shards that are due queue by the kind of their step, and begin when a permit is free and the provider
//! has not asked for a pause.

use std::time::Duration;

use futures::FutureExt as _;

use super::{Driver, Ran, kind_of, place};
use crate::run::step::{KINDS, Kind, Step};
use crate::share::Permit;

impl Driver<'_> {
    /// Moves due shards to the queues of those that wait for a free permit.
    pub(super) fn admit(&mut self) {
        let now = self.now();
        let mut polls = Vec::new();
        while let Some(&(due, at)) = self.due.first() {
            if due > now {
                break;
            }
            self.due.pop_first();
            self.due_at[at] = None;
            let Some(work) = &self.slots[at] else {
                continue;
            };
            let step = work.next(self.scope.context, self.cancelled);
            if step == Step::Poll && self.may_be_listed(at) {
                polls.push(at);
            } else if step != Step::Done {
                let kind = kind_of(step, work);
                self.ready[place(kind)].push_back(at);
            }
        }
        if !polls.is_empty() {
            self.admit_polls(&polls, now);
        }
    }

    /// Begins steps for which a permit is free.
    pub(super) fn begin(&mut self) {
        let mut wanted = [false; 5];
        let limits = self.scope.context.limits;
        if self.fatal.is_none() {
            let now = self.now();
            self.page_waits = !self.begin_page(now);
            wanted[place(Kind::Poll)] = self.page_waits;
            for kind in KINDS {
                wanted[place(kind)] |= !self.begin_all(kind, now);
            }
        }
        // Creates that are under way need a first poll as soon as they are answered.
        let coming = [Kind::Upload, Kind::Create].map(place);
        let coming = coming.map(|kind| self.ready[kind].len() + self.busy[kind]);
        self.shared.wait_for(wanted, limits, coming.iter().sum());
    }

    /// Begins steps of one kind. Returns whether there was a permit for all of them.
    fn begin_all(&mut self, kind: Kind, now: Duration) -> bool {
        let limit = self.scope.context.limits.of(kind);
        let most = match kind {
            // A fault that affects every create shows at the first one.
            Kind::Create if !self.answered => 1,
            _ => usize::MAX,
        };
        while self.busy[place(kind)] < most {
            let Some(&at) = self.ready[place(kind)].front() else {
                break;
            };
            let account = self.shared.account();
            let until = match kind {
                Kind::Poll if !self.is_poll(at) => account.all_paused_until(),
                kind => account.paused_until(kind),
            };
            if until > now {
                self.ready[place(kind)].pop_front();
                self.postpone(at, until);
                continue;
            }
            let permit = match kind {
                Kind::Local => None,
                _ => match self.shared.permit(kind, limit) {
                    Some(free) => Some(free),
                    None => return false,
                },
            };
            self.ready[place(kind)].pop_front();
            self.begin_one(at, kind, permit);
        }
        true
    }

    fn begin_one(&mut self, at: usize, kind: Kind, permit: Option<Permit>) {
        let context = self.scope.context;
        let Some(work) = &self.slots[at] else {
            return;
        };
        let step = work.next(context, self.cancelled);
        if kind_of(step, work) != kind {
            // The run was cancelled in the meantime.
            self.schedule(at, self.now());
            return;
        }
        if step.leads_to_a_create() {
            if self.creates_stopped {
                return;
            }
            if self.is_contested(at) {
                self.contested.push(at);
                return;
            }
        }
        self.unwatch(at);
        let was_live = self.is_live(at);
        let Some(mut work) = self.slots[at].take() else {
            return;
        };
        self.busy[place(kind)] += 1;
        self.under_way[at] = Some(step);
        self.count_live(at, was_live);
        let scope = self.scope;
        let ran = async move {
            let next = work.perform(step, scope).await;
            Ran {
                at,
                work,
                step,
                kind,
                next,
                permit,
            }
        };
        self.running.push(ran.boxed());
    }
}
