//! A mailbox-list as RFC 5322 §3.4 and §4.4 spell it, without recursion and in one pass.

use super::defect;

/// More mailboxes than this are not read.
pub(super) const MAX_MAILBOXES: usize = 100;
/// A longer field is not read: it would keep everybody waiting, and nobody writes one.
pub(super) const MAX_OCTETS: usize = 16 * 1024;

/// What stands behind the `@`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A dot-atom.
    Name(String),
    /// A domain-literal, with its brackets.
    Literal(String),
}

/// One mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mailbox {
    local: String,
    pub(super) place: Place,
}

impl Mailbox {
    /// `local@domain` in one piece.
    pub(super) fn address(&self) -> String {
        let (Place::Name(place) | Place::Literal(place)) = &self.place;
        format!("{}@{place}", self.local)
    }
}

/// What was read of a field.
#[derive(Debug, Default)]
pub(super) struct MailboxList {
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) defects: Vec<&'static str>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// An atom (RFC 5322 §3.2.3, RFC 6532 §3.2), or octets that are not UTF-8.
    Atom(Vec<u8>),
    /// A quoted-string without its quotes and escapes.
    Quoted(Vec<u8>),
    /// A domain-literal with its brackets.
    Literal(Vec<u8>),
    /// One of `<>:;@,.`
    Special(u8),
}

/// A defect that ends reading.
struct Stop;

impl MailboxList {
    /// Reads an unfolded value.
    pub(super) fn read(value: &[u8]) -> MailboxList {
        let mut list = MailboxList::default();
        if value.iter().any(|octet| octet.is_ascii_control() && *octet != b'\t') {
            list.add_defect(defect::CONTROL_CHARACTER);
        }
        if value.len() > MAX_OCTETS {
            list.add_defect(defect::BAD_SYNTAX);
            return list;
        }
        let read = tokens(value).and_then(|Tokens { tokens, apart }| {
            Reader { tokens: &tokens, apart: &apart, at: 0, list: &mut list }.read()
        });
        if read.is_err() {
            list.add_defect(defect::BAD_SYNTAX);
        }
        list
    }

    fn add_defect(&mut self, word: &'static str) {
        if !self.defects.contains(&word) {
            self.defects.push(word);
        }
    }
}

/// The tokens of a value, and for each whether a comment or white space stands before it.
#[derive(Default)]
struct Tokens {
    tokens: Vec<Token>,
    apart: Vec<bool>,
}

/// Splits into tokens; comments and white space (RFC 5322 §3.2.2) are left out and only remembered.
fn tokens(value: &[u8]) -> Result<Tokens, Stop> {
    let Tokens { mut tokens, mut apart } = Tokens::default();
    let mut at = 0;
    while let Some(octet) = value.get(at) {
        if apart.len() == tokens.len() {
            apart.push(matches!(octet, b' ' | b'\t' | b'('));
        }
        match octet {
            b' ' | b'\t' => at += 1,
            b'(' => at = after_comment(value, at)?,
            b'"' => {
                let (text, end) = delimited(value, at + 1, b'"')?;
                tokens.push(Token::Quoted(text));
                at = end;
            }
            b'[' => {
                let (text, end) = delimited(value, at + 1, b']')?;
                tokens.push(Token::Literal([b"[".as_slice(), &text, b"]"].concat()));
                at = end;
            }
            b'<' | b'>' | b':' | b';' | b'@' | b',' | b'.' => {
                tokens.push(Token::Special(*octet));
                at += 1;
            }
            b')' | b']' | b'\\' => return Err(Stop),
            _ => {
                let rest = value.get(at..).unwrap_or_default();
                let length = rest.iter().position(|octet| !is_atext(*octet)).unwrap_or(rest.len()).max(1);
                tokens.push(Token::Atom(rest.get(..length).unwrap_or_default().to_vec()));
                at += length;
            }
        }
    }
    Ok(Tokens { tokens, apart })
}

/// Control characters count as atoms here: they have a defect of their own, and must not hide what follows.
fn is_atext(octet: u8) -> bool {
    !matches!(
        octet,
        b' ' | b'\t' | b'(' | b')' | b'<' | b'>' | b'[' | b']' | b':' | b';' | b'@' | b'\\' | b',' | b'.' | b'"'
    )
}

/// The offset after a comment, which may hold others.
fn after_comment(value: &[u8], start: usize) -> Result<usize, Stop> {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(octet) = value.get(at) {
        at += 1;
        match octet {
            b'\\' => at += 1,
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at);
                }
            }
            _ => {}
        }
    }
    Err(Stop)
}

/// The text up to an unescaped `close`, and the offset after that.
fn delimited(value: &[u8], start: usize, close: u8) -> Result<(Vec<u8>, usize), Stop> {
    let mut text = Vec::new();
    let mut at = start;
    while let Some(octet) = value.get(at) {
        at += 1;
        match octet {
            b'\\' => {
                text.push(*value.get(at).ok_or(Stop)?);
                at += 1;
            }
            b'[' if close == b']' => return Err(Stop),
            octet if *octet == close => return Ok((text, at)),
            octet => text.push(*octet),
        }
    }
    Err(Stop)
}

struct Reader<'t, 'l> {
    tokens: &'t [Token],
    apart: &'t [bool],
    at: usize,
    list: &'l mut MailboxList,
}

impl<'t> Reader<'t, '_> {
    fn peek(&self) -> Option<&'t Token> {
        self.tokens.get(self.at)
    }

    fn takes(&mut self, special: u8) -> bool {
        let found = self.peek() == Some(&Token::Special(special));
        if found {
            self.at += 1;
        }
        found
    }

    /// mailbox-list, address-list and their obsolete forms with empty elements.
    fn read(&mut self) -> Result<(), Stop> {
        let mut in_group = false;
        while self.peek().is_some() {
            if self.takes(b',') {
                continue;
            }
            if in_group && self.takes(b';') {
                in_group = false;
                self.expect_end_of_element(false)?;
                continue;
            }
            let words = self.words();
            match self.peek() {
                Some(Token::Special(b'<')) => {
                    check_phrase(words)?;
                    self.at += 1;
                    self.angle_address()?;
                    self.expect_end_of_element(in_group)?;
                }
                Some(Token::Special(b'@')) => {
                    self.at += 1;
                    self.address(words)?;
                    self.expect_end_of_element(in_group)?;
                }
                Some(Token::Special(b':')) if !in_group && !words.is_empty() => {
                    check_phrase(words)?;
                    self.at += 1;
                    in_group = true;
                    self.list.add_defect(defect::GROUP);
                }
                // Words alone are no address: `MAILER-DAEMON`.
                Some(Token::Special(b',' | b';')) | None if !words.is_empty() => {
                    self.no_address(words);
                    self.expect_end_of_element(in_group)?;
                }
                _ => return Err(Stop),
            }
        }
        if in_group { Err(Stop) } else { Ok(()) }
    }

    /// Words and dots up to the next other token.
    fn words(&mut self) -> &'t [Token] {
        let start = self.at;
        while matches!(self.peek(), Some(Token::Atom(_) | Token::Quoted(_) | Token::Special(b'.'))) {
            self.at += 1;
        }
        self.tokens.get(start..self.at).unwrap_or_default()
    }

    fn expect_end_of_element(&self, in_group: bool) -> Result<(), Stop> {
        match self.peek() {
            None | Some(Token::Special(b',')) => Ok(()),
            Some(Token::Special(b';')) if in_group => Ok(()),
            _ => Err(Stop),
        }
    }

    /// What stands between `<` and `>`.
    fn angle_address(&mut self) -> Result<(), Stop> {
        if matches!(self.peek(), Some(Token::Special(b'@' | b','))) {
            self.route()?;
        }
        let local = self.words();
        match (self.peek(), local.is_empty()) {
            (Some(Token::Special(b'@')), _) => {
                self.at += 1;
                self.address(local)?;
                if self.takes(b'>') { Ok(()) } else { Err(Stop) }
            }
            // `<>` and `<MAILER-DAEMON>`, as notifications have them.
            (Some(Token::Special(b'>')), _) => {
                self.at += 1;
                self.no_address(local);
                Ok(())
            }
            _ => Err(Stop),
        }
    }

    /// Words where an address is expected. A lenient reader shows the address that an encoded-word among them decodes to.
    fn no_address(&mut self, words: &[Token]) {
        self.list.add_defect(defect::NO_ADDRESS);
        // Its dots stand apart as tokens.
        let text = words.iter().flat_map(|word| match word {
            Token::Atom(text) => text.as_slice(),
            Token::Special(special) => std::slice::from_ref(special),
            Token::Quoted(_) | Token::Literal(_) => b"\"",
        });
        if has_encoded_word(&String::from_utf8_lossy(&text.copied().collect::<Vec<u8>>())) {
            self.list.add_defect(defect::ENCODED_WORD_IN_ADDRESS);
        }
    }

    /// obs-route: `@a,@b:` (RFC 5322 §4.4); `@a:@b:` is not even that, but is known from attacks.
    fn route(&mut self) -> Result<(), Stop> {
        self.list.add_defect(defect::OBSOLETE_ROUTE);
        let mut colon = false;
        loop {
            if self.takes(b',') || (!colon && self.takes(b':')) {
                colon = self.tokens.get(self.at.wrapping_sub(1)) == Some(&Token::Special(b':'));
                continue;
            }
            if self.takes(b'@') {
                self.place()?;
                colon = false;
                continue;
            }
            return if colon { Ok(()) } else { Err(Stop) };
        }
    }

    /// The domain behind an `@`, and with it a mailbox.
    fn address(&mut self, local: &[Token]) -> Result<(), Stop> {
        let start = self.at;
        let local = dotted(local)?;
        let place = self.place()?;
        // Only obsolete syntax has comments and white space within a domain (RFC 5322 §4.4), and many readers show no more than
        // `a@bank.example` of `<a@bank.example(> ).attacker.example>`.
        if self.apart.get(start..self.at).is_some_and(|apart| apart.contains(&true)) {
            self.list.add_defect(defect::READINGS_DIFFER);
        }
        let mailbox = Mailbox { local, place };
        let text = mailbox.address();
        if text.chars().any(is_invisible) {
            self.list.add_defect(defect::CONTROL_CHARACTER);
        }
        if has_encoded_word(&text) {
            self.list.add_defect(defect::ENCODED_WORD_IN_ADDRESS);
        }
        if self.list.mailboxes.len() >= MAX_MAILBOXES {
            return Err(Stop);
        }
        self.list.mailboxes.push(mailbox);
        Ok(())
    }

    fn place(&mut self) -> Result<Place, Stop> {
        if let Some(Token::Literal(text)) = self.peek() {
            let text = String::from_utf8(text.clone()).map_err(|_| Stop)?;
            self.at += 1;
            return Ok(Place::Literal(text));
        }
        let words = self.words();
        if words.iter().any(|word| matches!(word, Token::Quoted(_))) {
            return Err(Stop);
        }
        dotted(words).map(Place::Name)
    }
}

/// A phrase or nothing: words, and dots after the first of them (obs-phrase, RFC 5322 §4.1).
fn check_phrase(words: &[Token]) -> Result<(), Stop> {
    if words.first() == Some(&Token::Special(b'.')) { Err(Stop) } else { Ok(()) }
}

/// Words joined by single dots: dot-atom, quoted-string, obs-local-part, obs-domain.
fn dotted(words: &[Token]) -> Result<String, Stop> {
    let mut text = Vec::new();
    for (index, word) in words.iter().enumerate() {
        match (word, index % 2) {
            (Token::Atom(word), 0) => text.extend_from_slice(word),
            (Token::Quoted(word), 0) => {
                text.push(b'"');
                for octet in word {
                    if matches!(octet, b'"' | b'\\') {
                        text.push(b'\\');
                    }
                    text.push(*octet);
                }
                text.push(b'"');
            }
            (Token::Special(b'.'), 1) => text.push(b'.'),
            _ => return Err(Stop),
        }
    }
    if words.len().is_multiple_of(2) {
        return Err(Stop);
    }
    String::from_utf8(text).map_err(|_| Stop)
}

/// Characters that change how an address looks without being seen (Unicode's bidirectional and zero-width controls).
fn is_invisible(c: char) -> bool {
    (c.is_control() && c != '\t')
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Whether `=?charset?encoding?text?=` stands in it, or what a lenient decoder takes for that.
fn has_encoded_word(text: &str) -> bool {
    text.find("=?").and_then(|start| text.get(start + 2..)).is_some_and(|rest| rest.contains("?="))
}
