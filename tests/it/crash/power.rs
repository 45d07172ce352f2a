//! Power cuts right after a 250: what was answered so is there when the disk comes back.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::chance::Chance;
use super::client::{Load, Moment};
use super::host::{MAILBOXES, fresh, host_within};
use super::kill::{goes_on, told};
use super::ledger::{After, Found, Ledger};
use super::volume::{Mode, Volume};
use super::{CONNECTIONS, Sizes};

/// Cuts until the file system is made anew, so that mailboxes are new, too.
const CUTS_A_FORMAT: usize = 10;
/// 250s before a cut at the most.
const MOST_STORED: usize = 120;

/// What a series of cuts is.
pub struct Cuts {
    pub mode: Mode,
    pub count: usize,
    pub connections: usize,
    /// Whether the first cut that shows something wrong is the last.
    pub until_wrong: bool,
    /// Variables of the server's environment.
    pub environment: Vec<(&'static str, String)>,
}

/// Cuts in both modes.
pub fn cuts(sizes: &Sizes) {
    for mode in [Mode::Ordered, Mode::Journal] {
        let cuts =
            Cuts { mode, count: sizes.cuts, connections: CONNECTIONS, until_wrong: false, environment: Vec::new() };
        let Some((count, found)) = series(&cuts) else { return };
        println!("power: {count} cuts, {}: {}", mode.name(), told(found.must_be_right()));
    }
}

/// Cuts again and again; gives how often, and what was found in all. `None` where it is left out.
///
/// # Panics
/// Something is wrong, unless that is what is looked for.
pub fn series(cuts: &Cuts) -> Option<(usize, Found)> {
    let volume = Volume::new(cuts.mode)?;
    let (ledger, mut chance, mut all) = (Ledger::default(), Chance::new(), Found::default());
    volume.mount();
    let mut server = host_within(volume.process(), volume.path(), &cuts.environment);
    for cut in 1..=cuts.count {
        let fresh = fresh().nth(cut % CUTS_A_FORMAT)?;
        let moment = Moment {
            after: 1 + chance.below(MOST_STORED),
            // right after a 250 as often as in the midst of what follows
            pause: Duration::from_micros((chance.below(2) * chance.below(3_000)) as u64),
        };
        let blade = volume.blade();
        let mailboxes = &[&[fresh], &MAILBOXES[..5]].concat();
        let load = Load { smtp: server.smtp, ledger: &ledger, mailboxes, connections: cuts.connections, moment };
        load.run(&mut chance, || {
            blade.cut();
            server.signal(Signal::SIGKILL);
        });
        server.wait();
        volume.unmount();
        volume.mount();
        let found = ledger.compare(&volume.seen(), After::Crash);
        if cuts.until_wrong && !found.wrong.is_empty() {
            return Some((cut, found));
        }
        found.must_be_right();
        if cut % CUTS_A_FORMAT == 0 {
            all.add(found);
            ledger.forget();
            println!("power: {cut} cuts, {}: {} messages answered 250", cuts.mode.name(), all.acknowledged);
            volume.unmount();
            volume.check();
            volume.format();
            volume.mount();
        }
        server.start_elsewhere();
    }
    goes_on(&server, &ledger);
    all.add(ledger.compare(&volume.seen(), After::Crash));
    drop(server);
    volume.unmount();
    volume.check();
    Some((cuts.count, all))
}
