//! A client of SMTP that a crash may interrupt at any octet, and twenty of them at once.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::chance::Chance;
use super::ledger::{Answer, Ledger, Message};
use crate::support::server::PATIENCE;

/// Lines of a message that is spooled.
const LARGE: usize = 2_000;

/// A session.
pub struct Client {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    /// The last line that was heard.
    pub said: String,
}

impl Client {
    /// Connects and says EHLO.
    ///
    /// # Errors
    /// Nobody listens, or the connection breaks.
    pub fn open(smtp: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(smtp)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut client = Client { reader: BufReader::new(stream.try_clone()?), stream, said: String::new() };
        client.reply()?;
        client.say("EHLO client.sender.example\r\n")?;
        Ok(client)
    }

    /// Sends a whole message and notes how it was answered.
    pub fn send(&mut self, ledger: &Ledger, message: &Message) -> Answer {
        let answer = self.up_to_the_dot(message).and_then(|early| match early {
            Some(answer) => Ok(answer),
            None => self.dot(),
        });
        let answer = answer.unwrap_or(Answer::Nothing);
        ledger.note(message, answer);
        answer
    }

    /// Sends all but the dot; gives what was answered where it doesn't come to that.
    ///
    /// # Errors
    /// The connection broke.
    pub fn up_to_the_dot(&mut self, message: &Message) -> io::Result<Option<Answer>> {
        let mut commands = vec!["MAIL FROM:<author@sender.example>\r\n".to_owned()];
        commands.extend(message.mailboxes.iter().map(|name| format!("RCPT TO:<{name}@receiver.example>\r\n")));
        for command in commands {
            let code = self.say(&command)?;
            if code != 250 {
                return Ok(Some(answer(code)));
            }
        }
        let code = self.say("DATA\r\n")?;
        if code != 354 {
            return Ok(Some(answer(code)));
        }
        self.stream.write_all(message.sent().as_bytes())?;
        Ok(None)
    }

    /// Sends the dot.
    ///
    /// # Errors
    /// The connection broke.
    pub fn dot(&mut self) -> io::Result<Answer> {
        self.say(".\r\n").map(answer)
    }

    fn say(&mut self, line: &str) -> io::Result<u16> {
        self.stream.write_all(line.as_bytes())?;
        self.reply()
    }

    /// The code of the next reply.
    fn reply(&mut self) -> io::Result<u16> {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 || !line.ends_with('\n') {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                self.said = line;
                return Ok(self.said.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0));
            }
        }
    }
}

fn answer(code: u16) -> Answer {
    match code {
        250 => Answer::Stored,
        400..500 => Answer::Deferred(code),
        _ => Answer::Refused(code),
    }
}

/// When to strike: right after so many 250s, and a while.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub after: usize,
    pub pause: Duration,
}

/// Many clients at once.
pub struct Load<'a> {
    pub smtp: SocketAddr,
    pub ledger: &'a Ledger,
    pub mailboxes: &'a [&'a str],
    pub connections: usize,
    pub moment: Moment,
}

impl Load<'_> {
    /// Sends over each connection until it breaks, and strikes at the moment. `strike` sees to it that they break.
    ///
    /// # Panics
    /// The connections broke before the moment.
    pub fn run(&self, chance: &mut Chance, strike: impl FnOnce() + Send) {
        let stored = AtomicUsize::new(0);
        let strike = Mutex::new(Some(strike));
        std::thread::scope(|scope| {
            for _ in 0..self.connections {
                let chance = chance.split();
                let (stored, strike) = (&stored, &strike);
                let at_the_moment = move || {
                    if stored.fetch_add(1, Ordering::Relaxed) + 1 == self.moment.after {
                        std::thread::sleep(self.moment.pause);
                        let strike = strike.lock().unwrap().take().expect("there is one moment");
                        strike();
                    }
                };
                scope.spawn(move || self.connection(chance, at_the_moment));
            }
        });
        let has_struck = strike.lock().unwrap().is_none();
        assert!(has_struck, "the connections broke after {stored:?} messages, before {:?}", self.moment);
    }

    fn connection(&self, mut chance: Chance, on_stored: impl Fn()) {
        let Ok(mut client) = Client::open(self.smtp) else { return };
        loop {
            let message = self.ledger.begin(&some_of(self.mailboxes, &mut chance), lines(&mut chance));
            match client.send(self.ledger, &message) {
                Answer::Stored => on_stored(),
                // the disk is gone: the strike is not over yet
                Answer::Deferred(_) => std::thread::sleep(Duration::from_millis(2)),
                Answer::Nothing | Answer::Refused(_) => return,
            }
        }
    }
}

/// One mailbox mostly, or three, or all.
fn some_of<'a>(mailboxes: &[&'a str], chance: &mut Chance) -> Vec<&'a str> {
    let first = chance.below(mailboxes.len());
    let count = match chance.below(16) {
        0 => mailboxes.len(),
        1..4 => mailboxes.len().min(3),
        _ => 1,
    };
    (0..count).map(|next| mailboxes[(first + next) % mailboxes.len()]).collect()
}

/// Ten kB mostly, and at times a message that is spooled.
fn lines(chance: &mut Chance) -> usize {
    if chance.below(16) == 0 { LARGE } else { 1 + chance.below(200) }
}
