//! The load: connections that send prepared messages one after the other, and what became of them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::case::Case;
use super::payload::Payloads;

/// The longest reply that is read.
const REPLY: usize = 8_192;
/// How long a reply may take before the message counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Troubles that are kept word for word.
const TOLD: usize = 5;

/// What is to be sent.
#[derive(Clone)]
pub struct Plan {
    /// Where to.
    pub server: SocketAddr,
    /// From where; connections take turns.
    pub clients: Vec<Ipv4Addr>,
    /// How much, and to whom.
    pub case: Case,
}

/// What became of it.
#[derive(Default)]
pub struct Outcome {
    /// Messages that were answered 250.
    pub accepted: u64,
    /// Messages that were not, and connections that could not be had.
    pub failed: u64,
    /// The first few troubles, as the server told them.
    pub troubles: Vec<String>,
    /// From the first connection to the last reply.
    pub elapsed: Duration,
    /// From MAIL to the reply after the dot, sorted.
    pub latencies: Vec<Duration>,
}

impl Outcome {
    /// Accepted messages a second.
    pub fn rate(&self) -> f64 {
        self.accepted as f64 / self.elapsed.as_secs_f64()
    }

    /// The latency in milliseconds that this share of the messages did not go over.
    pub fn latency(&self, share: f64) -> f64 {
        let at = (self.latencies.len() as f64 * share).ceil() as usize;
        self.latencies.get(at.saturating_sub(1)).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }

    fn add(&mut self, other: Outcome) {
        self.accepted += other.accepted;
        self.failed += other.failed;
        self.latencies.extend(other.latencies);
        self.troubles.extend(other.troubles);
        self.troubles.truncate(TOLD);
    }
}

/// Sends it all.
pub async fn run(plan: &Plan, payloads: &Arc<Payloads>) -> Outcome {
    let mut connections = JoinSet::new();
    let began = Instant::now();
    for number in 0..plan.case.connections {
        let (plan, payloads) = (plan.clone(), Arc::clone(payloads));
        connections.spawn(async move { connection(number, &plan, &payloads).await });
    }
    let mut outcome = Outcome::default();
    while let Some(one) = connections.join_next().await {
        outcome.add(one.expect("a connection's task"));
    }
    outcome.elapsed = began.elapsed();
    outcome.latencies.sort_unstable();
    outcome
}

/// One connection with all its messages. Whatever goes wrong with it counts for what it has not sent.
async fn connection(number: usize, plan: &Plan, payloads: &Payloads) -> Outcome {
    let mut outcome = Outcome { latencies: Vec::with_capacity(plan.case.messages), ..Outcome::default() };
    let sent = async {
        let mut client = Client::connect(plan.server, plan.clients[number % plan.clients.len()]).await?;
        for message in 0..plan.case.messages {
            let index = number * plan.case.messages + message;
            let began = Instant::now();
            match client.send(index, plan, payloads).await? {
                None => {
                    outcome.accepted += 1;
                    outcome.latencies.push(began.elapsed());
                }
                Some(refusal) => {
                    outcome.failed += 1;
                    outcome.troubles.push(refusal);
                    client.command("RSET\r\n").await?;
                }
            }
        }
        client.command("QUIT\r\n").await
    };
    if let Err(error) = sent.await {
        outcome.failed = plan.case.messages as u64 - outcome.accepted;
        outcome.troubles.push(error.to_string());
    }
    outcome.troubles.truncate(TOLD);
    outcome
}

/// An SMTP client that pipelines, as mail servers do (RFC 2920).
pub struct Client {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    /// Connects, reads the greeting and says EHLO.
    pub async fn connect(server: SocketAddr, from: Ipv4Addr) -> io::Result<Client> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        let stream = socket.connect(server).await?;
        stream.set_nodelay(true)?;
        let mut client = Client { stream, read: Vec::with_capacity(REPLY) };
        client.expect(b'2').await?;
        client.command("EHLO mail.sender.example\r\n").await?;
        Ok(client)
    }

    async fn command(&mut self, command: &str) -> io::Result<()> {
        self.stream.write_all(command.as_bytes()).await?;
        self.expect(b'2').await
    }

    /// Sends a message. `Some` is the reply that refused it.
    async fn send(&mut self, index: usize, plan: &Plan, payloads: &Payloads) -> io::Result<Option<String>> {
        let message = payloads.message(index);
        let mut envelope = format!("MAIL FROM:<{}>\r\n", message.from);
        for recipient in 0..plan.case.recipients {
            let mailbox = (index * plan.case.recipients + recipient) % plan.case.mailboxes;
            envelope.push_str(&format!("RCPT TO:<u{mailbox}@gate.example>\r\n"));
        }
        envelope.push_str("DATA\r\n");
        self.stream.write_all(envelope.as_bytes()).await?;
        let mut refusal = None;
        for _ in 0..=plan.case.recipients {
            refusal = refusal.or(self.reply().await.map(|reply| other_than(b'2', reply))?);
        }
        let go = self.reply().await?;
        if !go.starts_with('3') {
            return Ok(Some(refusal.unwrap_or(go)));
        }
        self.stream.write_all(&message.data).await?;
        let reply = self.reply().await?;
        Ok(refusal.or(other_than(b'2', reply)))
    }

    async fn expect(&mut self, class: u8) -> io::Result<()> {
        match other_than(class, self.reply().await?) {
            None => Ok(()),
            Some(reply) => Err(io::Error::other(reply)),
        }
    }

    /// One reply, all its lines.
    async fn reply(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = end_of_reply(&self.read) {
                let reply = String::from_utf8_lossy(&self.read[..end]).trim_end().to_owned();
                self.read.drain(..end);
                return Ok(reply);
            }
            if self.read.len() > REPLY {
                return Err(io::Error::other("a reply without end"));
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await;
            if read.map_err(|_| io::Error::other("no reply"))?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Where the first whole reply ends: the line whose fourth octet is not a hyphen (RFC 5321 §4.2.1).
fn end_of_reply(octets: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let line = start + octets[start..].iter().position(|octet| *octet == b'\n')?;
        if octets.get(start + 3) != Some(&b'-') {
            return Some(line + 1);
        }
        start = line + 1;
    }
}

fn other_than(class: u8, reply: String) -> Option<String> {
    (reply.as_bytes().first() != Some(&class)).then_some(reply)
}
