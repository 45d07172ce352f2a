//! A small SMTP client: one message over one connection, from an address of its own (RFC 5321).

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// How long one reply is waited for.
const REPLY_DEADLINE: Duration = Duration::from_secs(35);
/// Octets of one reply line that are read at most (RFC 5321 §4.5.3.1.5 has 512).
const LINE: u64 = 1024;
/// Lines of one reply that are read at most.
const LINES: usize = 100;

/// What is sent, and by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// The address that the client connects from.
    pub source: Ipv4Addr,
    /// What it says in EHLO.
    pub helo: String,
    /// The reverse-path, empty for the null one.
    pub mail_from: String,
    /// The forward-path.
    pub recipient: String,
    /// Header and body, CRLF line ends.
    pub message: Vec<u8>,
}

/// The last line of the reply that settled the transaction: the first refusal, or the answer to the message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// As it came: `550 5.7.1 text ref=...`.
    pub line: String,
}

impl Answer {
    /// The code; 0 where there is none.
    pub fn code(&self) -> u16 {
        self.line.get(..3).and_then(|code| code.parse().ok()).unwrap_or_default()
    }

    /// What it says, without the ref.
    pub fn text(&self) -> &str {
        self.line.split_once(" ref=").map_or(&self.line, |(text, _)| text.trim_end_matches(','))
    }

    /// The ref of the transaction, if the reply has one.
    pub fn reference(&self) -> Option<&str> {
        self.line.split_once("ref=").and_then(|(_, after)| after.split_whitespace().next())
    }

    fn is_refusal(&self) -> bool {
        self.code() >= 400
    }
}

/// Sends a letter and says goodbye.
///
/// # Errors
/// The connection can't be had or breaks, the server is silent for 35 seconds, or what it says is no SMTP.
pub async fn send(server: SocketAddr, letter: &Letter) -> io::Result<Answer> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddrV4::new(letter.source, 0).into())?;
    let mut wire = BufStream::new(timeout(REPLY_DEADLINE, socket.connect(server)).await??);
    let answer = dialog(&mut wire, letter).await?;
    say(&mut wire, b"QUIT\r\n").await?;
    Ok(answer)
}

async fn dialog(wire: &mut BufStream<TcpStream>, letter: &Letter) -> io::Result<Answer> {
    let greeting = hear(wire).await?;
    if greeting.is_refusal() {
        return Ok(greeting);
    }
    let commands = [
        format!("EHLO {}\r\n", letter.helo),
        format!("MAIL FROM:<{}>\r\n", letter.mail_from),
        format!("RCPT TO:<{}>\r\n", letter.recipient),
        "DATA\r\n".to_owned(),
    ];
    for command in &commands {
        let reply = say(wire, command.as_bytes()).await?;
        if reply.is_refusal() {
            return Ok(reply);
        }
    }
    say(wire, &stuffed(&letter.message)).await
}

async fn say(wire: &mut BufStream<TcpStream>, octets: &[u8]) -> io::Result<Answer> {
    wire.write_all(octets).await?;
    wire.flush().await?;
    hear(wire).await
}

/// Reads a reply; of several lines the last (RFC 5321 §4.2.1).
async fn hear(wire: &mut BufStream<TcpStream>) -> io::Result<Answer> {
    let lines = async {
        for _ in 0..LINES {
            let mut line = Vec::new();
            (&mut *wire).take(LINE).read_until(b'\n', &mut line).await?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            match line.as_bytes() {
                [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', b'-', ..] => {}
                [b'2'..=b'5', b'0'..=b'9', b'0'..=b'9', ..] => return Ok(Answer { line }),
                [] => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                _ => break,
            }
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is no SMTP reply"))
    };
    timeout(REPLY_DEADLINE, lines).await?
}

/// The message as it goes over the wire: dots at the beginning of a line doubled, the end marked (RFC 5321 §4.5.2).
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut wire = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|octet| *octet == b'\n') {
        if line.starts_with(b".") {
            wire.push(b'.');
        }
        wire.extend_from_slice(line);
    }
    if !wire.is_empty() && !wire.ends_with(b"\r\n") {
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b".\r\n");
    wire
}
