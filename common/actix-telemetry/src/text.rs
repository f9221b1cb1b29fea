//! Texts that are cut to a length.

use std::fmt::{self, Display, Write};

/// Ends a text of which something was cut off.
pub(crate) const MARK: &str = "… [truncated]";

/// The text of `value` if it has at most `limit` characters, or else its beginning
/// with the mark. What is cut off is never formatted.
pub(crate) fn limited(value: impl Display, limit: usize) -> Result<String, String> {
    let mut text = Limited {
        // Most messages fit.
        text: String::with_capacity(limit.min(64)),
        room: limit,
        overflowed: false,
    };
    // An error means that the text is full, or that the value could not write
    // more of itself.
    let _ = write!(text, "{value}");
    if text.overflowed {
        Err(text.cut(limit))
    } else {
        Ok(text.text)
    }
}

struct Limited {
    text: String,
    /// Characters that still fit.
    room: usize,
    overflowed: bool,
}

impl Limited {
    fn cut(mut self, limit: usize) -> String {
        // A limit that is shorter than the mark leaves no room for it.
        let (kept, mark) = match limit.checked_sub(MARK.chars().count()) {
            Some(kept) => (kept, MARK),
            None => (limit, ""),
        };
        let end = self.text.char_indices().nth(kept);
        self.text
            .truncate(end.map_or(self.text.len(), |(end, _)| end));
        self.text + mark
    }
}

impl Write for Limited {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        // A text has no more characters than bytes, so there is usually nothing to look for.
        let beyond = (more.len() > self.room).then(|| more.char_indices().nth(self.room));
        if let Some((end, _)) = beyond.flatten() {
            self.text.push_str(&more[..end]);
            self.overflowed = true;
            return Err(fmt::Error);
        }
        self.text.push_str(more);
        self.room -= more.chars().count();
        Ok(())
    }
}
