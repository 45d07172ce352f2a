//! How long a client may be silent, and how slow its message may come: less under stress, except for clients that have behaved, and
//! least for those whose messages hold most of what is short, however they have behaved.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::stress::Stress;

/// Those who hold most wait so many times shorter, and are to be so many times faster; twice that for each `stress_idle` that they still
/// hold most, for a trickle that pays for little keeps much.
const HASTE: u32 = 4;
/// How often that doubles at most.
const DOUBLINGS: u32 = 24;

/// The waits of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// How long a client may say nothing (RFC 5321 §4.5.3.2.7 asks for 5 minutes at least).
    pub idle: Duration,
    /// The same under stress.
    pub stress_idle: Duration,
    /// Octets a second that a message must come with under stress; at least 1.
    pub stress_rate: u64,
}

/// The patience with one client.
#[derive(Debug)]
pub struct Patience {
    waits: Waits,
    /// Since when there is stress.
    stress: watch::Receiver<Option<Stress>>,
    /// Whose messages may hold most of what is short.
    client: Option<IpAddr>,
    /// Since when they did, where they did when it was last looked at.
    heaviest_since: Option<Instant>,
    has_behaved: bool,
    /// It is of our own networks.
    is_trusted: bool,
    /// When it was begun to measure the message's pace, and how many octets came since.
    pace: Option<(Instant, u64)>,
    /// Whether the transaction went on since the last wait.
    went_on: bool,
    /// The wait before which the transaction went on last.
    went_on_at: Option<Instant>,
    /// Whether the client has said who it is: saying it again leads nowhere.
    introduced: bool,
    /// The last transaction led nowhere: the next has to lead to its message in the time that is left.
    barren: bool,
}

/// When a client is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline {
    /// Then.
    pub at: Instant,
    /// Because its message comes too slowly; else it is silent.
    pub is_slow: bool,
}

impl Patience {
    /// With a client, of a network that has behaved or not.
    pub fn new(waits: Waits, stress: watch::Receiver<Option<Stress>>, has_behaved: bool) -> Self {
        Patience {
            waits,
            stress,
            client: None,
            heaviest_since: None,
            has_behaved,
            is_trusted: false,
            pace: None,
            went_on: true,
            went_on_at: None,
            introduced: false,
            barren: false,
        }
    }

    /// The client comes from there.
    #[must_use]
    pub fn with(self, client: IpAddr) -> Self {
        Patience { client: Some(client), ..self }
    }

    /// The client is of our own networks, or not: stress is nothing to it.
    #[must_use]
    pub fn of_our_own(self, is_trusted: bool) -> Self {
        Patience { is_trusted, ..self }
    }

    /// From now on its network counts as one that has behaved, or not.
    pub fn prefer(&mut self, has_behaved: bool) {
        self.has_behaved = has_behaved;
    }

    /// When it is given up if it says nothing more, having been silent since then. Under stress the silence is measured from the
    /// wait before which the transaction went on last: commands that lead nowhere, and parts of a line, would keep a place for ever.
    /// The pace is measured within a message only.
    pub fn deadline(&mut self, silent_since: Instant, in_message: bool) -> Deadline {
        let went_on_at = match self.went_on_at {
            Some(before) if !self.went_on => before,
            _ => *self.went_on_at.insert(silent_since),
        };
        self.went_on = false;
        let idle = silent_since + self.waits.idle;
        let stress = *self.stress.borrow_and_update();
        let Some(stress) = stress.filter(|stress| self.is_hurried_by(stress)) else {
            (self.pace, self.heaviest_since) = (None, None);
            return Deadline { at: idle, is_slow: false };
        };
        let is_heaviest = self.holds_most(&stress);
        if is_heaviest && self.heaviest_since.is_none() {
            // what it sent before buys it nothing more
            self.pace = None;
        }
        self.heaviest_since = is_heaviest.then(|| self.heaviest_since.unwrap_or_else(Instant::now));
        let haste = if is_heaviest { HASTE } else { 1 };
        let (stress_idle, rate) = (self.waits.stress_idle / haste, self.rate());
        let silent = idle.min(went_on_at.max(stress.since) + stress_idle);
        if !in_message {
            self.pace = None;
            return Deadline { at: silent, is_slow: false };
        }
        let (since, octets) = *self.pace.get_or_insert((Instant::now(), 0));
        // each octet buys its share of a second, as Postfix's smtpd_min_data_rate has it
        let bought = Duration::from_millis(octets.saturating_mul(1000) / rate);
        let slow = since.checked_add(stress_idle.saturating_add(bought)).unwrap_or(silent);
        Deadline { at: silent.min(slow), is_slow: slow < silent }
    }

    /// Octets a second that a message is to come with under stress.
    fn rate(&self) -> u64 {
        let rate = self.waits.stress_rate.max(1);
        let Some(since) = self.heaviest_since else { return rate };
        let idle = self.waits.stress_idle.as_millis().max(1);
        let doublings = u32::try_from(since.elapsed().as_millis() / idle).unwrap_or(DOUBLINGS).min(DOUBLINGS);
        rate.saturating_mul(u64::from(HASTE) << doublings)
    }

    /// A wait that has a deadline of its own, and an earlier one under stress: for handshakes, and for clients that don't read.
    ///
    /// # Errors
    /// The wait's own, and `TimedOut`.
    pub async fn hurried<T>(&self, wait: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let is_hurried = self.stress.borrow().is_some_and(|stress| self.is_hurried_by(&stress));
        if !is_hurried {
            return wait.await;
        }
        timeout(self.waits.stress_idle, wait).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Whose messages hold most of what is short is hurried however it has behaved: it could keep all of it for ever.
    fn is_hurried_by(&self, stress: &Stress) -> bool {
        !self.is_trusted && (!self.has_behaved || self.holds_most(stress))
    }

    fn holds_most(&self, stress: &Stress) -> bool {
        self.client.is_some_and(|client| stress.heaviest.includes(client))
    }

    /// The transaction went on: the client asked for something that has its place in one, or octets of a message came.
    pub fn went_on(&mut self) {
        self.went_on = true;
    }

    /// The client asked for MAIL or RCPT and was not refused: that leads on, unless its last transaction led nowhere.
    pub fn began(&mut self) {
        self.went_on |= !self.barren;
    }

    /// A transaction has ended, with a message that was taken or not.
    pub fn ended(&mut self, with_message: bool) {
        self.barren = !with_message;
    }

    /// The client had to wait for us so long: that is not held against it.
    pub fn waited_for_us(&mut self, time: Duration) {
        if let Some(went_on_at) = &mut self.went_on_at {
            *went_on_at = went_on_at.checked_add(time).unwrap_or(*went_on_at);
        }
        if let Some((since, _)) = &mut self.pace {
            *since = since.checked_add(time).unwrap_or(*since);
        }
    }

    /// Whether it makes a difference to be preferred.
    pub fn is_short(&self) -> bool {
        self.stress.borrow().is_some()
    }

    /// The client said who it is.
    pub fn heard_name(&mut self) {
        self.went_on |= !self.introduced;
        self.introduced = true;
    }

    /// TLS is up: the client says anew who it is.
    pub fn secured(&mut self) {
        self.went_on = true;
        self.introduced = false;
    }

    /// Octets came: within a message they count for its pace, the lines of BDAT too.
    pub fn came(&mut self, octets: usize) {
        if let Some((_, so_far)) = &mut self.pace {
            *so_far = so_far.saturating_add(octets as u64);
        }
    }

    /// Waits until stress begins or ends, or others hold most: the deadline is another one then.
    pub async fn changed(&mut self) {
        if self.is_trusted || self.stress.changed().await.is_err() {
            // the sender lives as long as the server
            std::future::pending().await
        }
    }
}
