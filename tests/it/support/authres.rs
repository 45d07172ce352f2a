//! A strict reader of Authentication-Results: the grammar of RFC 8601 §2.2 and nothing else.

/// What a field says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    pub authserv_id: String,
    pub results: Vec<Result>,
}

/// One resinfo.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Result {
    pub method: String,
    pub result: String,
    pub reason: Option<String>,
    /// `ptype.property` and value, in their order.
    pub properties: Vec<(String, String)>,
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

/// Reads the value of an unfolded field; `None` where it is not in the grammar.
pub fn read(value: &str) -> Option<Field> {
    let mut reader = Reader { text: value.as_bytes(), at: 0 };
    reader.cfws()?;
    let authserv_id = reader.value()?;
    reader.cfws()?;
    if reader.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        reader.word(|octet| octet.is_ascii_digit())?;
        reader.cfws()?;
    }
    let mut results = Vec::new();
    while reader.takes(b';') {
        reader.cfws()?;
        results.push(reader.result()?);
        reader.cfws()?;
    }
    let nothing = matches!(results.as_slice(), [one] if one.method == "none" && one.result.is_empty());
    if nothing {
        results.clear();
    } else if results.is_empty() || results.iter().any(|one| one.result.is_empty()) {
        return None;
    }
    (reader.at == reader.text.len()).then_some(Field { authserv_id, results })
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn takes(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        self.at += usize::from(found);
        found
    }

    /// White space and comments; `None` for a comment that does not end.
    fn cfws(&mut self) -> Option<()> {
        let mut depth = 0;
        while let Some(octet) = self.peek() {
            match octet {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => self.at += 1,
                b' ' | b'\t' => {}
                _ if depth > 0 => {}
                _ => break,
            }
            self.at += 1;
        }
        (depth == 0).then_some(())
    }

    fn word(&mut self, is: impl Fn(u8) -> bool) -> Option<String> {
        let start = self.at;
        while self.peek().is_some_and(&is) {
            self.at += 1;
        }
        (self.at > start).then(|| String::from_utf8(self.text[start..self.at].to_vec()).unwrap())
    }

    fn keyword(&mut self) -> Option<String> {
        let word = self.word(|octet| octet.is_ascii_alphanumeric() || octet == b'-')?;
        (!word.ends_with('-')).then_some(word)
    }

    /// token / quoted-string (RFC 2045 §5.1, RFC 5322 §3.2.4).
    fn value(&mut self) -> Option<String> {
        if !self.takes(b'"') {
            return self.word(|octet| octet.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&octet));
        }
        let mut text = String::new();
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    text.push(char::from(self.peek().filter(|octet| matches!(octet, b' '..=b'~' | b'\t'))?));
                }
                octet @ (b' '..=b'~' | b'\t') => text.push(char::from(octet)),
                _ => return None,
            }
            self.at += 1;
        }
        self.at += 1;
        Some(text)
    }

    /// value / [[local-part] "@"] domain-name, of which a token and dots and an @ are all that is known here.
    fn pvalue(&mut self) -> Option<String> {
        let mut text = if self.peek() == Some(b'@') { String::new() } else { self.value()? };
        if self.takes(b'@') {
            text.push('@');
            text.push_str(&self.word(|octet| octet.is_ascii_alphanumeric() || b"-._".contains(&octet))?);
        }
        Some(text)
    }

    fn result(&mut self) -> Option<Result> {
        let mut one = Result { method: self.keyword()?, ..Result::default() };
        self.cfws()?;
        if self.takes(b'/') {
            self.cfws()?;
            self.word(|octet| octet.is_ascii_digit())?;
            self.cfws()?;
        }
        if !self.takes(b'=') {
            return (one.method == "none").then_some(one);
        }
        self.cfws()?;
        one.result = self.keyword()?;
        loop {
            let before = self.at;
            self.cfws()?;
            if self.peek().is_none_or(|octet| octet == b';') {
                return Some(one);
            }
            if self.at == before {
                return None;
            }
            let name = self.keyword()?;
            self.cfws()?;
            if name == "reason" && one.reason.is_none() && one.properties.is_empty() && self.takes(b'=') {
                self.cfws()?;
                one.reason = Some(self.value()?);
                continue;
            }
            if !self.takes(b'.') {
                return None;
            }
            self.cfws()?;
            let property = self.word(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))?;
            self.cfws()?;
            if !self.takes(b'=') {
                return None;
            }
            self.cfws()?;
            one.properties.push((format!("{name}.{property}"), self.pvalue()?));
        }
    }
}
