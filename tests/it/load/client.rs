//! An SMTP client that there can be thousands of.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::message::Message;

/// How long a client waits for most things: less than a real one (RFC 5321 §4.5.3.2), more than any server may need.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long for a message to be taken, and for the reply to its dot (RFC 5321 §4.5.3.2.6).
const MESSAGE_PATIENCE: Duration = Duration::from_secs(600);
/// What replies are read into; there may be ten thousand.
const BUFFER: usize = 256;

/// The author and reverse-path of honest mail.
pub const AUTHOR: &str = "a@sender.example";

/// The address of the nth client of a crowd, so that the server's bounds for an address and for a network hold: 50 to a /24.
pub fn address(number: usize) -> Ipv4Addr {
    let (network, host) = (number / 50, 1 + number % 50);
    let octet = |number: usize| u8::try_from(number % 250).unwrap();
    Ipv4Addr::new(127, 1 + octet(network / 250), octet(network), octet(host))
}

/// A connection to the server.
pub struct Client {
    stream: BufReader<TcpStream>,
}

/// A reply of one or more lines.
#[derive(Debug, Clone)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

/// What became of a message.
#[derive(Debug)]
pub enum Fate {
    Acknowledged,
    /// 4yz, at whatever command.
    Deferred(Reply),
    /// 5yz.
    Refused(Reply),
    /// The connection ended without a word.
    Lost(String),
}

async fn in_time<T>(what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    within(PATIENCE, what).await
}

async fn within<T>(time: Duration, what: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(time, what).await.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()))
}

impl Client {
    /// Connects; nothing is read yet.
    pub async fn connect(server: SocketAddr, from: Ipv4Addr) -> io::Result<Client> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        let stream = in_time(socket.connect(server)).await?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::with_capacity(BUFFER, stream) })
    }

    /// The next reply. An end of the connection is an error.
    pub async fn reply(&mut self) -> io::Result<Reply> {
        self.reply_within(PATIENCE).await
    }

    async fn reply_within(&mut self, time: Duration) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let mut line = Vec::new();
            within(time, self.stream.read_until(b'\n', &mut line)).await?;
            if !line.ends_with(b"\n") {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, format!("closed after {text:?}")));
            }
            text.push_str(&String::from_utf8_lossy(&line));
            if line.get(3) != Some(&b'-') {
                let code = std::str::from_utf8(&line[..3.min(line.len())]).unwrap_or_default().parse().unwrap_or(0);
                return Ok(Reply { code, text });
            }
        }
    }

    pub async fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        in_time(self.stream.get_mut().write_all(octets)).await
    }

    /// Sends a line and gives the reply. A server that has gone may have said why.
    pub async fn say(&mut self, line: &str) -> io::Result<Reply> {
        let sent = self.send(format!("{line}\r\n").as_bytes()).await;
        let reply = self.reply().await;
        sent.and(Ok(())).or_else(|error| if reply.is_ok() { Ok(()) } else { Err(error) })?;
        reply
    }

    async fn expect(&mut self, line: &str, class: u16) -> Result<(), Fate> {
        let reply = self.say(line).await.map_err(|error| lost(line, &error))?;
        is(reply, class)
    }

    /// Connects, is greeted, and says EHLO.
    pub async fn greeted(server: SocketAddr, from: Ipv4Addr) -> Result<Client, Fate> {
        let mut client = Client::connect(server, from).await.map_err(|error| lost("connect", &error))?;
        is(client.reply().await.map_err(|error| lost("greeting", &error))?, 2)?;
        client.expect("EHLO mx.sender.example", 2).await?;
        Ok(client)
    }

    /// Goes as far as DATA.
    pub async fn begin(&mut self, author: &str, recipient: &str) -> Result<(), Fate> {
        self.expect(&format!("MAIL FROM:<{author}>"), 2).await?;
        self.expect(&format!("RCPT TO:<{recipient}>"), 2).await?;
        self.expect("DATA", 3).await
    }

    /// A whole transaction.
    pub async fn transact(&mut self, author: &str, recipient: &str, message: &Message) -> Fate {
        if let Err(fate) = self.begin(author, recipient).await {
            return fate;
        }
        let written = self.write(author, message).await;
        self.end(&written).await
    }

    /// Sends all of a message but its dot.
    pub async fn write(&mut self, author: &str, message: &Message) -> io::Result<()> {
        within(MESSAGE_PATIENCE, message.write(author, self.stream.get_mut())).await
    }

    /// The dot, and what is said to it. A server that took no more of the message may have said why.
    pub async fn end(&mut self, written: &io::Result<()>) -> Fate {
        let sent = self.send(b".\r\n").await;
        match self.reply_within(MESSAGE_PATIENCE).await {
            Ok(reply) => is(reply, 2).err().unwrap_or(Fate::Acknowledged),
            Err(error) => lost(&format!("the dot (message {written:?}, dot {sent:?})"), &error),
        }
    }

    /// Says goodbye; what is answered does not matter.
    pub async fn quit(mut self) {
        let _ = self.say("QUIT").await;
    }
}

/// A session for one message.
pub async fn deliver(server: SocketAddr, from: Ipv4Addr, recipient: &str, message: &Message) -> Fate {
    deliver_as(server, from, AUTHOR, recipient, message).await
}

/// The same, by another author.
pub async fn deliver_as(server: SocketAddr, from: Ipv4Addr, author: &str, to: &str, message: &Message) -> Fate {
    match Client::greeted(server, from).await {
        Ok(mut client) => {
            let fate = client.transact(author, to, message).await;
            if !matches!(fate, Fate::Lost(_)) {
                client.quit().await;
            }
            fate
        }
        Err(fate) => fate,
    }
}

fn lost(at: &str, error: &io::Error) -> Fate {
    Fate::Lost(format!("{at}: {error}"))
}

fn is(reply: Reply, class: u16) -> Result<(), Fate> {
    match reply.code / 100 {
        found if found == class => Ok(()),
        4 => Err(Fate::Deferred(reply)),
        _ => Err(Fate::Refused(reply)),
    }
}
