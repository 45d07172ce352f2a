//! A count over a sliding time, in a bounded number of slots: nothing is forgotten before its time, and all of it a twelfth of the
//! time later.

/// Slots of one count: twelve for the time that is past, one for now.
pub(super) const SLOTS: usize = 13;

/// A count over a sliding time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    /// The newest slot's number since 1970.
    pub newest: u64,
    /// By the slot's number modulo [`SLOTS`].
    pub counts: [u32; SLOTS],
}

impl Window {
    /// Nothing counted.
    pub(super) fn new() -> Self {
        Window { newest: 0, counts: [0; SLOTS] }
    }

    /// Milliseconds of one slot.
    fn width(seconds: u32) -> u64 {
        (u64::from(seconds) * 1000).div_ceil(SLOTS as u64 - 1).max(1)
    }

    /// Counts once at `now`, of a time of so many seconds. A clock that was set back a little counts into the newest slot; where it was set
    /// back by more than a slot, all that was counted is taken to be of so much earlier.
    pub(super) fn add(&mut self, seconds: u32, now: u64) {
        let slot = now / Self::width(seconds);
        if self.newest > slot.saturating_add(1) {
            self.set_back_to(slot);
        }
        let slot = slot.max(self.newest);
        self.clear_until(slot);
        let index = (slot % SLOTS as u64) as usize;
        if let Some(count) = self.counts.get_mut(index) {
            *count = count.saturating_add(1);
        }
    }

    /// How much was counted within so many seconds before `now`.
    pub(super) fn sum(&self, seconds: u32, now: u64) -> u64 {
        let slot = (now / Self::width(seconds)).max(self.newest);
        let mut rest = *self;
        rest.clear_until(slot);
        rest.counts.iter().map(|count| u64::from(*count)).sum()
    }

    /// When all of it is past, in milliseconds since 1970.
    pub(super) fn end(&self, seconds: u32) -> u64 {
        (self.newest.saturating_add(SLOTS as u64)).saturating_mul(Self::width(seconds))
    }

    /// What both have counted, each by itself.
    pub(super) fn plus(mut self, mut other: Window) -> Window {
        let newest = self.newest.max(other.newest);
        self.clear_until(newest);
        other.clear_until(newest);
        self.counts.iter_mut().zip(other.counts).for_each(|(count, more)| *count = count.saturating_add(more));
        self
    }

    /// Makes an earlier `slot` the newest: what was counted keeps its age, so that it goes when its time is over.
    fn set_back_to(&mut self, slot: u64) {
        let back = self.newest.saturating_sub(slot) % SLOTS as u64;
        self.counts.rotate_left(back as usize);
        self.newest = slot;
    }

    /// Makes `slot` the newest.
    fn clear_until(&mut self, slot: u64) {
        let steps = slot.saturating_sub(self.newest).min(SLOTS as u64);
        for step in 0..steps {
            if let Some(count) = self.counts.get_mut(((slot - step) % SLOTS as u64) as usize) {
                *count = 0;
            }
        }
        self.newest = self.newest.max(slot);
    }
}
