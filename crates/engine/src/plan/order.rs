//! Order of the output of a plan, where requests were added or removed.

use std::collections::HashSet;

use lmbatch_core::Result;

use crate::plan::Plan;
use crate::spool::order::read_order;

impl Plan {
    /// Returns the number of requests that were ever sent, whether or not the output still holds
    /// them.
    pub(crate) fn ordinals(&self) -> u32 {
        self.order.map_or(self.requests, |order| order.ordinals)
    }

    /// Returns the ordinal of each request of the output, where it differs from the position.
    pub(crate) fn order(&self) -> Result<Option<Vec<u32>>> {
        let read = |order| read_order(&self.files, order, self.requests, &self.checksums);
        self.order.map(read).transpose()
    }

    /// Returns the ordinals of positions in the output.
    pub(crate) fn ordinals_of(&self, positions: &HashSet<u32>) -> Result<HashSet<u32>> {
        Ok(match self.order()? {
            Some(order) => {
                let ordinal = |position: &u32| order.get(*position as usize).copied();
                positions.iter().filter_map(ordinal).collect()
            }
            None => positions.clone(),
        })
    }

    /// Returns the ordinals that the output holds, where it does not hold all.
    pub(crate) fn wanted(&self) -> Result<Option<HashSet<u32>>> {
        Ok(self.order()?.map(|order| order.into_iter().collect()))
    }
}
