//! Failures of a clause, shortened to about a screen.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// The key of every adapter under test. Clauses check that it never appears where it must not.
pub(crate) const KEY: &str = "key-canary-0123456789";

/// Maximum length of a printed failure in bytes: about a screen.
const MOST: usize = 4_000;

/// Maximum length in bytes of a body in the last exchange.
const MOST_OF_BODY: usize = 600;

thread_local! {
    /// True while panics of this thread become part of a failure that is printed later.
    static QUIET: Cell<bool> = const { Cell::new(false) };
    /// File and line of the last panic of this thread inside [`quietly`].
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Faults of the wire and refused requests, recorded while a clause runs, and the last exchange.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    noted: Arc<Mutex<Vec<String>>>,
    last: Arc<Mutex<Option<String>>>,
}

impl Faults {
    pub(crate) fn note(&self, fault: String) {
        let mut faults = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        faults.push(fault);
    }

    /// Records a request as the start of the last exchange.
    pub(crate) fn asked(&self, method: &str, path: &str, body: &[u8]) {
        let body = short(&String::from_utf8_lossy(body));
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = Some(format!("{method} {path} {body}").trim_end().to_owned());
    }

    /// Records the response to the last request.
    pub(crate) fn answered(&self, answer: &str) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let asked = last.take().unwrap_or_default();
        *last = Some(format!("{asked}\n  -> {}", short(answer)));
    }

    /// Returns the last exchange, without the key.
    pub(crate) fn last_exchange(&self) -> Option<String> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().map(|last| last.replace(KEY, "***"))
    }

    /// Returns the faults in order, without repetitions; `None` if there are none.
    pub(crate) fn message(&self) -> Option<String> {
        let mut faults = self
            .noted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        faults.dedup();
        (!faults.is_empty()).then(|| cut(&faults.join("\n")))
    }
}

/// Returns the message of a panic, shortened to about a screen.
pub(crate) fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let word = panic.downcast_ref::<&str>().copied();
    cut(text.or(word).unwrap_or("it panicked"))
}

/// Returns file and line of the last panic of this thread inside [`quietly`].
pub(crate) fn place() -> Option<String> {
    PLACE.with_borrow_mut(Option::take)
}

/// Runs `work` without printing the panics of this thread.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    struct Loud;
    impl Drop for Loud {
        fn drop(&mut self) {
            QUIET.set(false);
        }
    }
    QUIET.set(true);
    let _loud = Loud;
    work()
}

/// Shortens a text to its beginning and end, with the length of the part left out.
pub(crate) fn cut(text: &str) -> String {
    cut_to(text, MOST)
}

/// Shortens a body of the last exchange.
fn short(body: &str) -> String {
    cut_to(body, MOST_OF_BODY)
}

fn cut_to(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let (mut head, mut tail) = (most * 3 / 4, text.len() - most / 4);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    let left_out = tail - head;
    format!("{} … {left_out} bytes … {}", &text[..head], &text[tail..])
}

/// Shortens the panic messages of this process: one clause once printed 1.9 MB on one line.
pub(crate) fn cut_what_is_printed() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if QUIET.get() {
                let place = info
                    .location()
                    .map(|at| format!("{}:{}", at.file(), at.line()));
                return PLACE.with_borrow_mut(|last| *last = place);
            }
            let text = info.payload_as_str().unwrap_or_default();
            if text.len() <= MOST {
                return usual(info);
            }
            let place = info.location().map(ToString::to_string);
            #[expect(
                clippy::print_stderr,
                reason = "panic messages of tests are printed like those of the default hook"
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
    fn each_fault_is_reported_once() {
        let faults = Faults::default();
        assert_eq!(faults.message(), None);
        for fault in ["a", "a", "b"] {
            faults.note(fault.to_owned());
        }
        assert_eq!(faults.message().as_deref(), Some("a\nb"));
    }

    #[test]
    fn the_last_exchange_is_shown_short_and_without_the_key() {
        let faults = Faults::default();
        assert_eq!(faults.last_exchange(), None);
        faults.asked("GET", "/first", b"");
        faults.answered("200");
        faults.asked(
            "POST",
            &format!("/jobs?key={KEY}"),
            "ß".repeat(9_000).as_bytes(),
        );
        faults.answered("500 {}");
        let last = faults.last_exchange().expect("an exchange");
        assert!(last.starts_with("POST /jobs?key=*** ß") && last.ends_with("\n  -> 500 {}"));
        assert!(last.len() < 800 && !last.contains("first"), "{last}");
    }

    #[test]
    fn a_quiet_panic_leaves_its_place() {
        cut_what_is_printed();
        let caught = quietly(|| std::panic::catch_unwind(|| panic!("quiet")));
        assert!(caught.is_err());
        assert!(place().is_some_and(|place| place.contains("panics.rs:")));
        assert_eq!(place(), None);
    }
}
