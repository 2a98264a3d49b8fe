//! Standard error as the screen of a progress line.

use std::io;
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

/// Columns that stay free at the right: a terminal shows `^C` for Ctrl-C there. It would wrap a full line, of which a part
/// would then stay on the screen.
const FREE: u16 = 4;

/// Terminal at standard error, without its last columns.
#[derive(Debug)]
struct Screen(Term);

impl TermLike for Screen {
    fn width(&self) -> u16 {
        self.0.size().1.saturating_sub(FREE).max(1)
    }

    fn height(&self) -> u16 {
        self.0.size().0
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_up(n)
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_down(n)
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_right(n)
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.0.move_cursor_left(n)
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.0.write_line(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.write_str(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        self.0.clear_line()
    }

    fn flush(&self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Returns a spinning line on standard error.
pub(crate) fn spinner(style: Option<ProgressStyle>) -> ProgressBar {
    let screen = Screen(Term::buffered_stderr());
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen), 20);
    let bar = ProgressBar::with_draw_target(None, target);
    if let Some(style) = style {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

/// Returns the number of columns for the text of a spinning line, after the spinner and a space.
pub(crate) fn columns() -> usize {
    usize::from(Screen(Term::stderr()).width()).saturating_sub(2)
}
