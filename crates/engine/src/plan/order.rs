//! The order of the output of a plan, where requests were added or taken away.

use std::collections::HashSet;

use lmbatch_core::Result;

use crate::plan::Plan;
use crate::spool::order::read_order;

impl Plan {
    /// Requests that were ever sent, whether or not they are wanted still.
    pub(crate) fn ordinals(&self) -> u32 {
        self.order.map_or(self.requests, |order| order.ordinals)
    }

    /// The ordinal of each request of the output, where it is not its place.
    pub(crate) fn order(&self) -> Result<Option<Vec<u32>>> {
        let read = |order| read_order(&self.files, order, self.requests, &self.checksums);
        self.order.map(read).transpose()
    }

    /// The ordinals of places in the output.
    pub(crate) fn ordinals_of(&self, places: &HashSet<u32>) -> Result<HashSet<u32>> {
        Ok(match self.order()? {
            Some(order) => {
                let ordinal = |place: &u32| order.get(*place as usize).copied();
                places.iter().filter_map(ordinal).collect()
            }
            None => places.clone(),
        })
    }

    /// The ordinals that the output holds, where some are not wanted any more.
    pub(crate) fn wanted(&self) -> Result<Option<HashSet<u32>>> {
        Ok(self.order()?.map(|order| order.into_iter().collect()))
    }
}
