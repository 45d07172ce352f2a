//! What looking through one message may cost: one count of octets looked at, for all that is done with them.

use std::cell::Cell;

/// How often each octet of a message may be looked at: once at each depth for delimiters, then for what it holds.
pub(super) const LOOKS: u64 = 16;
/// Octets that may be looked at in the smallest message: an honest header is read in several ways, and each name several times.
pub(super) const LEAST: u64 = 1024 * 1024;

/// What may still be looked at. Whatever takes octets in hand asks first, once for each time that it goes through them.
pub(super) struct Budget<'a> {
    left: Cell<u64>,
    spent: Cell<u64>,
    is_over: Cell<bool>,
    stop: &'a dyn Fn() -> bool,
}

impl<'a> Budget<'a> {
    /// For a message of so many octets, until `stop` says so.
    pub(super) fn of(octets: usize, stop: &'a dyn Fn() -> bool) -> Self {
        let left = super::most_looks(octets as u64);
        Budget { left: Cell::new(left), spent: Cell::new(0), is_over: Cell::new(false), stop }
    }

    /// Takes octets that are looked at `times` times; false where there are not as many left: then there are none any more.
    #[must_use]
    pub(super) fn take(&self, octets: usize, times: u64) -> bool {
        let wanted = (octets as u64).saturating_mul(times);
        match self.left.get().checked_sub(wanted) {
            Some(left) if !self.is_over.get() && !(self.stop)() => {
                self.left.set(left);
                self.spent.set(self.spent.get().saturating_add(wanted));
                true
            }
            _ => {
                self.is_over.set(true);
                false
            }
        }
    }

    /// Whether more was wanted than there was, or it was stopped.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// Octets looked at, each as often as it was.
    pub(super) fn spent(&self) -> u64 {
        self.spent.get()
    }
}
