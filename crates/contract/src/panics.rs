//! What a clause failed by, cut to a screen.

use std::any::Any;
use std::sync::{Arc, Mutex, Once, PoisonError};

/// Most bytes of a failure that are shown: about a screen.
const MOST: usize = 4_000;

/// Faults of the wire, or requests that the provider refuses, seen while a clause ran.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Vec<String>>>);

impl Faults {
    pub(crate) fn note(&self, fault: String) {
        let mut faults = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push(fault);
    }

    /// The faults, each once and in order; `None` where there are none.
    pub(crate) fn told(&self) -> Option<String> {
        let mut faults = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        faults.dedup();
        (!faults.is_empty()).then(|| cut(&faults.join("\n")))
    }
}

/// The words of a panic, cut to a screen.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let word = panic.downcast_ref::<&str>().copied();
    cut(text.or(word).unwrap_or("it panicked"))
}

/// The beginning and the end of a text, with the length of what is left out.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= MOST {
        return text.to_owned();
    }
    let (mut head, mut tail) = (MOST * 3 / 4, text.len() - MOST / 4);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let left_out = tail - head;
    format!("{} … {left_out} bytes … {}", &text[..head], &text[tail..])
}

/// Cuts what panics print in this process: one clause once printed 1.9 MB on one line.
pub(crate) fn cut_what_is_printed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let text = info.payload_as_str().unwrap_or_default();
            if text.len() <= MOST {
                return usual(info);
            }
            let place = info.location().map(ToString::to_string);
            #[expect(
                clippy::print_stderr,
                reason = "the hook of tests prints, as the usual one does"
            )]
            {
                eprintln!("panicked at {}:\n{}", place.unwrap_or_default(), cut(text));
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_cut_to_a_screen_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "größe".repeat(1_000_000);
        let shown = cut(&long);
        assert!(shown.len() < MOST + 100, "{}", shown.len());
        assert!(shown.starts_with("größe") && shown.ends_with("größe"));
    }

    #[test]
    fn faults_are_told_once_each() {
        let faults = Faults::default();
        assert_eq!(faults.told(), None);
        for fault in ["a", "a", "b"] {
            faults.note(fault.to_owned());
        }
        assert_eq!(faults.told().as_deref(), Some("a\nb"));
    }
}
