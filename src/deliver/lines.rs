//! Line ends: CRLF as SMTP has them, LF as Maildir readers expect them.

use std::io::{self, Write};

/// Writes octets and turns each CRLF into LF; every other octet stays as it is, a CR that no LF follows too.
pub(super) struct LfWriter<W> {
    inner: W,
    /// A CR at the end of what was written so far, held back until the next octet is known.
    held_cr: bool,
}

impl<W: Write> LfWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        LfWriter { inner, held_cr: false }
    }

    /// Goes on where another one ended.
    pub(super) fn resuming(inner: W, held_cr: bool) -> Self {
        LfWriter { inner, held_cr }
    }

    /// What was written, and whether a CR is held back.
    pub(super) fn into_parts(self) -> (W, bool) {
        (self.inner, self.held_cr)
    }

    /// Takes the next octets of the message.
    pub(super) fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let Some(first) = octets.first() else { return Ok(()) };
        if std::mem::take(&mut self.held_cr) && *first != b'\n' {
            self.inner.write_all(b"\r")?;
        }
        let mut rest = octets;
        while let Some((line, after)) = memchr::memchr(b'\n', rest).and_then(|at| rest.split_at_checked(at + 1)) {
            rest = after;
            match line.strip_suffix(b"\r\n") {
                Some(text) => {
                    self.inner.write_all(text)?;
                    self.inner.write_all(b"\n")?;
                }
                None => self.inner.write_all(line)?,
            }
        }
        self.write_unended(rest)
    }

    fn write_unended(&mut self, line: &[u8]) -> io::Result<()> {
        match line.strip_suffix(b"\r") {
            Some(text) => {
                self.held_cr = true;
                self.inner.write_all(text)
            }
            None => self.inner.write_all(line),
        }
    }

    /// Writes what was held back and flushes.
    pub(super) fn finish(mut self) -> io::Result<()> {
        if self.held_cr {
            self.inner.write_all(b"\r")?;
        }
        self.inner.flush()
    }
}
