//! Random sample of rows, independent of the machine.

/// Generator of random numbers (SplitMix64).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `end`, which is not zero.
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        ((u128::from(mixed) * u128::from(end)) >> 64) as u64
    }

    /// Returns the place in a sample of `count` rows that the row with an index takes, from 0; `None` if the row is not
    /// drawn. Later rows replace earlier ones, so that every row has the same probability (algorithm R).
    pub(super) fn place(&mut self, index: u64, count: u64) -> Option<usize> {
        let place = match index < count {
            true => index,
            false => self.below(index + 1),
        };
        (place < count).then_some(place as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_drawn_about_equally_often() {
        let mut drawn = [0_u32; 20];
        for seed in 0..4_000 {
            let mut random = Random::new(seed);
            let mut sample = [0; 5];
            for index in 0..20 {
                if let Some(place) = random.place(index, 5) {
                    sample[place] = index as usize;
                }
            }
            for index in sample {
                drawn[index] += 1;
            }
        }
        assert!(
            drawn.iter().all(|times| (850..1150).contains(times)),
            "{drawn:?}"
        );
    }
}
