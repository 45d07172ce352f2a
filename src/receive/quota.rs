//! Whether mailboxes have room, as far as that can be known before the message is there.

use crate::deliver::quota::{Room, Short};
use crate::facts::Stage;
use crate::recipients::Local;
use crate::smtp::reply::{self, Reply};

use super::Inquiry;
use super::carry_out::Carrier;
use super::ending::by_protocol;
use super::transaction::Refusal;

impl Inquiry {
    /// The client says how large its message is (SIZE, RFC 1870 §5), with CRLF line ends.
    pub fn declares(&mut self, size: u64) {
        if let Some(transaction) = &mut self.transaction {
            transaction.size = Some(size).filter(|size| *size > 0);
        }
    }

    /// Where a recipient's room is scarce: what its mailbox answers after DATA must then be nobody else's answer, so that it has a
    /// transaction of its own, whatever `policy.mixed` says. Another name of the same mailboxes is nobody else.
    ///
    /// # Errors
    /// A mailbox is full, or the recipient is to come again alone.
    pub(super) async fn room_for(&self, local: &Local) -> Result<Option<Short>, Box<Refusal>> {
        let (Carrier::Maildirs(writers), Some(transaction)) = (&self.receiver.carrier, &self.transaction) else {
            return Ok(None);
        };
        let scarce = match writers.quota().room(&local.mailboxes, transaction.size).await {
            Room::Full(short) => return Err(refusal(reply::mailbox_full(), &short)),
            Room::Scarce(short) => Some(short),
            Room::Enough | Room::Unknown => None,
        };
        // sorted and unique: the same mailboxes are the same list
        let mut others = transaction.accepted.iter().filter(|other| other.mailboxes != local.mailboxes);
        let short = match &scarce {
            Some(short) => others.next().map(|_| short),
            None => others.find_map(|other| other.scarce.as_ref()),
        };
        match short {
            Some(short) => Err(refusal(reply::scarce_send_again(), short)),
            None => Ok(scarce),
        }
    }
}

fn refusal(reply: Reply, short: &Short) -> Box<Refusal> {
    Box::new(Refusal { trouble: short.to_string(), ..by_protocol(Stage::Rcpt, reply) })
}
