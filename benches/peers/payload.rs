//! The messages: signed by their authors' domains, each another one, ready to be sent (dot-stuffed, with the final dot).

use gatepost::authenticate::sign::Signer;
use jiff::Timestamp;

/// How many domains write.
const DOMAINS: usize = 8;
/// Octets of text in a line of the body.
const LINE: usize = 76;

/// One message as it goes over the wire.
pub struct Message {
    /// Its reverse-path.
    pub from: String,
    /// From the first header field to the final dot.
    pub data: Vec<u8>,
}

/// The authors' keys.
pub struct Authors(Vec<Signer>);

/// Messages of one size.
pub struct Payloads(Vec<Message>);

/// The name of an author's domain.
pub fn domain(number: usize) -> String {
    format!("author{number}.example")
}

impl Authors {
    /// New keys, RSA of 2048 bits.
    pub fn new() -> Authors {
        Authors((0..DOMAINS).map(|number| Signer::new_rsa(&domain(number), "bench").expect("a key")).collect())
    }

    /// Their keys.
    pub fn signers(&self) -> &[Signer] {
        &self.0
    }

    /// `count` different messages of about `size` octets.
    pub fn write(&self, size: usize, count: usize) -> Payloads {
        let now = Timestamp::now();
        let date = now.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        let message = |number: usize| {
            let domain = domain(number % DOMAINS);
            let from = format!("ann@{domain}");
            let text = text(number, size, &date, &from, &domain);
            let signer = &self.0[number % DOMAINS];
            let field = signer.sign(text.as_bytes(), now.as_second().unsigned_abs()).expect("a signature");
            Message { from, data: format!("{field}{text}.\r\n").into_bytes() }
        };
        Payloads((0..count).map(message).collect())
    }
}

impl Payloads {
    /// How many different ones there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A message; they begin again after the last.
    pub fn message(&self, index: usize) -> &Message {
        &self.0[index % self.0.len()]
    }
}

/// An ordinary text, no line of which begins with a dot.
fn text(number: usize, size: usize, date: &str, from: &str, domain: &str) -> String {
    let mut text = format!(
        "Date: {date}\r\nFrom: Ann <{from}>\r\nTo: Somebody <u{number}@gate.example>\r\nSubject: Minutes of meeting {number}\r\n\
         Message-ID: <{number}.{size}@{domain}>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
    );
    let mut state = number as u64 + 1;
    while text.len() < size {
        let line: String = (0..LINE)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                b"etaoin shrdlu cmfwyp"[(state >> 33) as usize % 20] as char
            })
            .collect();
        text.push_str(line.trim());
        text.push_str("\r\n");
    }
    text
}
