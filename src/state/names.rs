//! Names of what is remembered: digests under a secret, so that who has a list of them can't try out addresses.
//!
//! The secret is made by chance and stands in the file that it names the entries of: without the file nobody can tell what an entry was
//! about, and with it only by guessing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;

use super::store::Key;

/// Octets of a secret.
pub(super) const SECRET: usize = 32;
/// 32 octets of chance.
pub(super) type Secret = [u8; SECRET];

/// Makes names.
#[derive(Clone)]
pub(super) struct Names {
    under: Arc<ArcSwap<(Secret, hmac::Key)>>,
}

impl Names {
    /// Names under a secret of chance.
    pub(super) fn new() -> Self {
        Names { under: Arc::new(ArcSwap::from_pointee(keyed(chance()))) }
    }

    /// The secret, for whoever keeps it beside what it names.
    pub(super) fn secret(&self) -> Secret {
        self.under.load().0
    }

    /// Makes names under another secret from now on: what was named before is not found again.
    pub(super) fn under(&self, secret: Secret) {
        if secret != self.secret() {
            self.under.store(Arc::new(keyed(secret)));
        }
    }

    /// A name of what several texts say together.
    pub(super) fn of(&self, texts: &[&str]) -> Key {
        let under = self.under.load();
        let mut context = hmac::Context::with_key(&under.1);
        for text in texts {
            context.update(&(text.len() as u64).to_le_bytes());
            context.update(text.as_bytes());
        }
        let mut key = Key::default();
        key.iter_mut().zip(context.sign().as_ref()).for_each(|(octet, digested)| *octet = *digested);
        key
    }

    /// A number for a network: never 0.
    pub(super) fn origin(&self, network: &str) -> u32 {
        let [a, b, c, d, ..] = self.of(&["origin", network]);
        u32::from_le_bytes([a, b, c, d]).max(1)
    }
}

fn keyed(secret: Secret) -> (Secret, hmac::Key) {
    (secret, hmac::Key::new(hmac::HMAC_SHA256, &secret))
}

/// Without any chance (no system of ours is without) it is made of the moment.
fn chance() -> Secret {
    let mut secret = [0; SECRET];
    if getrandom::fill(&mut secret).is_err() {
        let moment = jiff::Timestamp::now().as_nanosecond().to_be_bytes();
        secret.iter_mut().zip(moment).for_each(|(octet, part)| *octet = part);
    }
    secret
}

impl std::fmt::Debug for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Names")
    }
}
