//! Replies: what they are, how they are written, and the catalogue of all that this server says.
//!
//! A reply may quote what a client sent. It is written as printable ASCII whatever it quotes, in lines of 512 octets
//! at most (RFC 5321 §4.5.3.1.5), so that nothing in it can end a line early or pass for another reply.

mod catalogue;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

pub use catalogue::*;

/// The longest reply line, code and CRLF included, in octets (RFC 5321 §4.5.3.1.5).
pub const LINE_MAX: usize = 512;

/// One answer to one command: a code, mostly an enhanced status code (RFC 3463), and text of one line or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<(u8, u16, u16)>,
    first: Cow<'static, str>,
    more: Vec<String>,
}

/// Why a text is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It does not begin with three digits and a space, the first of them 2, 4 or 5.
    #[error("a reply begins with a code of three digits from 200 to 299 or 400 to 599")]
    Code,
    /// The enhanced status code's class is not the code's first digit (RFC 2034 §4).
    #[error("the enhanced status code must begin with the same digit as the code")]
    Class,
    /// It is several lines.
    #[error("a reply is one line")]
    Lines,
}

impl Reply {
    /// A reply of one line. The class of the enhanced status code is always the code's first digit (RFC 2034 §4),
    /// whatever was given.
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<Cow<'static, str>>) -> Reply {
        let (_, subject, detail) = enhanced;
        Reply { enhanced: Some((class(code), subject, detail)), ..Reply::plain(code, text) }
    }

    /// A reply without enhanced status code: the greeting, the answers to HELO and EHLO, 354 (RFC 2034 §4).
    fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply { code, enhanced: None, first: text.into(), more: Vec::new() }
    }

    fn and_line(mut self, text: impl Into<String>) -> Reply {
        self.more.push(text.into());
        self
    }

    /// Reads a reply of one line, `550 5.7.1 some text`. Without an enhanced status code it gets `class.0.0`, "other
    /// undefined status" (RFC 3463 §3.1).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Reply, ReplyError> {
        if text.contains(['\r', '\n']) {
            return Err(ReplyError::Lines);
        }
        let (code, rest) = text.split_once(' ').unwrap_or((text, ""));
        let code = match code.as_bytes() {
            [b'2' | b'4' | b'5', b'0'..=b'9', b'0'..=b'9'] => code.parse::<u16>().map_err(|_| ReplyError::Code)?,
            _ => return Err(ReplyError::Code),
        };
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        match enhanced_status_code(word) {
            None => Ok(Reply::new(code, (0, 0, 0), rest.to_owned())),
            Some(enhanced) if enhanced.0 == class(code) => Ok(Reply::new(code, enhanced, after.to_owned())),
            Some(_) => Err(ReplyError::Class),
        }
    }

    /// The code, 200 to 599.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code: class, subject, detail (RFC 3463 §2).
    pub fn enhanced(&self) -> Option<(u8, u16, u16)> {
        self.enhanced
    }

    /// The text without codes, not yet escaped; several lines are joined by a space.
    pub fn text(&self) -> String {
        self.lines().collect::<Vec<_>>().join(" ")
    }

    /// Whether it is 2yz or 3yz.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// Whether the connection is closed after it: 221 and 421 (RFC 5321 §3.8).
    pub fn closes(&self) -> bool {
        matches!(self.code, 221 | 421)
    }

    /// Appends it as it goes over the wire: each line with its codes and CRLF, none longer than 512 octets; control and
    /// non-ASCII characters as `\x{HEX}` (the notation of RFC 6533 §3). A line that would be longer goes on in the next.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        let prefix = match self.enhanced {
            Some((class, subject, detail)) => format!("{:03}-{class}.{subject}.{detail} ", self.code),
            None => format!("{:03}-", self.code),
        };
        let room = LINE_MAX - "\r\n".len() - prefix.len();
        let mut last = out.len();
        for line in self.lines() {
            for piece in pieces(&escape(line), room) {
                last = out.len();
                out.extend_from_slice(prefix.as_bytes());
                out.extend_from_slice(piece.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
        }
        // The last line has a space where the others have a hyphen (RFC 5321 §4.2.1).
        if let Some(separator) = out.get_mut(last + "250".len()) {
            *separator = b' ';
        }
    }

    /// `550 5.7.1 text`, escaped like the wire's, for journal and log.
    pub fn one_line(&self) -> String {
        self.to_string()
    }

    /// A permanent refusal made a temporary one, class of the enhanced status code included (for `smtp.soft_reject`):
    /// 552 becomes 452, all other 5yz become 451. Everything else stays.
    pub fn soften(mut self) -> Reply {
        if self.code >= 500 {
            self.code = if self.code == 552 { 452 } else { 451 };
            self.enhanced = self.enhanced.map(|(_, subject, detail)| (4, subject, detail));
        }
        self
    }

    /// Appends ` ref=...` to the last line of a refusal, so that a sender can quote it; a positive reply stays.
    pub fn with_ref(mut self, reference: &str) -> Reply {
        if !self.is_positive() {
            match self.more.last_mut() {
                Some(last) => last.push_str(&format!(" ref={reference}")),
                None => self.first.to_mut().push_str(&format!(" ref={reference}")),
            }
        }
        self
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.first.as_ref()).chain(self.more.iter().map(String::as_str))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.code)?;
        if let Some((class, subject, detail)) = self.enhanced {
            write!(f, " {class}.{subject}.{detail}")?;
        }
        write!(f, " {}", escape(&self.text()))
    }
}

fn class(code: u16) -> u8 {
    u8::try_from(code / 100).unwrap_or(5)
}

fn enhanced_status_code(word: &str) -> Option<(u8, u16, u16)> {
    let mut numbers = word.split('.');
    let mut next = || numbers.next().filter(|n| n.len() <= 3 && !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    let (class, subject, detail) = (next()?, next()?, next()?);
    let code = (class.parse().ok()?, subject.parse().ok()?, detail.parse().ok()?);
    numbers.next().is_none().then_some(code)
}

fn escape(text: &str) -> Cow<'_, str> {
    if text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            escaped.push(c);
        } else {
            // Writing into a String cannot fail.
            let _ = write!(escaped, "\\x{{{:X}}}", u32::from(c));
        }
    }
    Cow::Owned(escaped)
}

/// Cuts ASCII text into pieces of at most `room` octets, at a space where there is one; at least one piece.
fn pieces(text: &str, room: usize) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some((head, _)) = text.split_at_checked(room).filter(|(_, tail)| !tail.is_empty()) else {
            return Some(text);
        };
        // A space far in front would leave a short line and win nothing.
        let end = head.rfind(' ').filter(|&end| end > room / 2).unwrap_or(room);
        let (piece, tail) = text.split_at_checked(end)?;
        rest = Some(tail.trim_start_matches(' '));
        Some(piece)
    })
}
