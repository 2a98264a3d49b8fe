//! Names of the batches of a self-test, by which `doctor` recognises them.

use lmbatch::{Label, Nonce, Rng};

/// Beginning of the nonce of every self-test. A run draws a nonce with this beginning once in 2 million million.
const BEGINNING: &str = "selftest";

/// Draws the nonce of a self-test: `selftest`, and random characters up to the length of a nonce.
pub(super) fn nonce(rng: &dyn Rng) -> Nonce {
    let random = Nonce::draw(rng);
    let (_, end) = random.as_str().split_at(BEGINNING.len());
    Nonce::parse(&format!("{BEGINNING}{end}")).unwrap_or(random)
}

/// Returns the label of a batch of a self-test, from its number.
pub(super) fn label(nonce: &Nonce, number: u32) -> Label {
    Label::new(format!("lmbatch-{}-{number}", nonce.as_str()))
}

/// Reports whether a nonce is that of a self-test, and not that of a run.
pub(super) fn is_of_selftest(nonce: &str) -> bool {
    nonce.starts_with(BEGINNING)
}

#[cfg(test)]
mod tests {
    use lmbatch::engine::SystemRng;

    use super::*;

    #[test]
    fn the_label_of_a_self_test_is_one_of_lmbatch_and_is_recognised() {
        let own = nonce(&SystemRng);
        let label = label(&own, 2);
        assert_eq!(label.parts(), Some((own.as_str(), 2)));
        assert!(is_of_selftest(own.as_str()));
        assert!(!is_of_selftest(Nonce::draw(&SystemRng).as_str()));
    }
}
