//! A bar as a line of text.
//!
//! Invariant: nothing here writes to a terminal.

use std::{
    io,
    sync::{Arc, Mutex},
};

use indicatif::{ProgressBar, ProgressDrawTarget, TermLike};

use super::terminal::terminal_width;
use crate::mutex::lock;

/// A text of at most so many characters.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Takes what is drawn, in place of a terminal.
#[derive(Debug, Clone)]
struct Rendered {
    width: u16,
    text: Arc<Mutex<String>>,
}

/// The line of a bar as it is now, in the terminal's width. The bar has ended then.
pub(super) fn line_of(bar: &ProgressBar) -> String {
    let rendered = Rendered { width: terminal_width(), text: Arc::default() };
    bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(rendered.clone())));
    // (A bar that is finished would be drawn as full, also where items were left.)
    bar.abandon();
    let line = lock(&rendered.text).trim_end().to_string();
    // Colours have no width of their own.
    if line.contains('\x1b') { line } else { cut(&line, usize::from(rendered.width)) }
}

impl TermLike for Rendered {
    fn width(&self) -> u16 {
        self.width
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        if text != "\r" {
            lock(&self.text).push_str(text);
        }
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        lock(&self.text).clear();
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
