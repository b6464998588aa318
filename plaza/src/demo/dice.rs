//! Chance that is always the same: what is drawn depends on the seed and on what it is drawn for, not on the order of
//! drawing. So a post's comments can be made anew, one pass after the other, without keeping any.

/// Draws for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    /// For the thing number `id` of a kind.
    pub(crate) fn of(kind: &str, id: i64) -> Self {
        let kind = kind
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut dice = Self(kind ^ (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        dice.next();
        dice
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In `0..below`.
    pub(crate) fn below(&mut self, below: usize) -> usize {
        ((u128::from(self.next()) * below.max(1) as u128) >> 64) as usize
    }

    /// In `0.0..1.0`.
    pub(crate) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, of: f64) -> bool {
        self.share() < of
    }

    pub(crate) fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Many small ones and few large ones: 1 upwards, the thousandth part above about a hundred.
    pub(crate) fn popularity(&mut self) -> f64 {
        (1.0 - self.share()).powf(-0.7).min(2000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_thing_draws_the_same_and_another_one_others() {
        let draw = |kind, id| {
            let mut dice = Dice::of(kind, id);
            [dice.below(1000), dice.below(1000), dice.below(1000)]
        };
        assert_eq!(draw("post", 7), draw("post", 7));
        assert_ne!(draw("post", 7), draw("post", 8));
        assert_ne!(draw("post", 7), draw("comment", 7));
    }

    #[test]
    fn shares_are_even() {
        let mut dice = Dice::of("test", 1);
        let sum: f64 = (0..100_000).map(|_| dice.share()).sum();
        assert!((sum / 100_000.0 - 0.5).abs() < 0.01, "{sum}");
        assert!((0..100_000).all(|_| dice.below(7) < 7));
    }
}
