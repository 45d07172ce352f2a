//! Whether mailboxes have room, as far as that can be known before the message is there.

use crate::deliver::quota::Room;
use crate::recipients::Local;
use crate::smtp::reply::{self, Reply};

use super::Inquiry;
use super::carry_out::Carrier;

impl Inquiry {
    /// The client says how large its message is (SIZE, RFC 1870 §5), with CRLF line ends.
    pub fn declares(&mut self, size: u64) {
        if let Some(transaction) = &mut self.transaction {
            transaction.size = Some(size).filter(|size| *size > 0);
        }
    }

    /// Whether a recipient's room is scarce: what its mailbox answers after DATA must then be nobody else's answer, so that it has a
    /// transaction of its own, whatever `policy.mixed` says.
    ///
    /// # Errors
    /// A mailbox is full, or the recipient is to come again alone.
    pub(super) async fn room_for(&self, local: &Local) -> Result<bool, Reply> {
        let (Carrier::Maildirs(writers), Some(transaction)) = (&self.receiver.carrier, &self.transaction) else {
            return Ok(false);
        };
        let is_scarce = match writers.quota().room(&local.mailboxes, transaction.size).await {
            Room::Full => return Err(reply::mailbox_full()),
            Room::Scarce => true,
            Room::Enough | Room::Unknown => false,
        };
        let others = &transaction.accepted;
        if others.iter().any(|other| other.is_scarce) || (is_scarce && !others.is_empty()) {
            return Err(reply::nearly_full_send_again());
        }
        Ok(is_scarce)
    }
}
