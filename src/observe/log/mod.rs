//! The log: constant messages with fields, on stderr, for people and for systemd's journal.
//!
//! The content of mail is never logged. What a client sent may stand in a field: every value is escaped and cut, so that it can
//! neither forge a line nor a field nor act on a terminal. Once [`Log::start`] was called a thread writes, and a stderr that
//! nobody reads holds no mail up.

mod names;
mod queue;

use std::fmt::{self, Debug, Write as _};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Duration;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormattedFields, SubscriberBuilder};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use super::escape::Escaping;
use super::journal::Keys;
use names::Names;
use queue::Queue;

pub use queue::LINES;

/// The environment variable that sets the level, as in `GATEPOST_LOG=debug` or `GATEPOST_LOG=info,gatepost::server=trace`.
pub const VARIABLE: &str = "GATEPOST_LOG";
/// The level without it. The DNS library warns of every look-up that a stranger's name servers fail: that is no trouble of ours.
const DEFAULT: &str = "info,hickory_resolver=error,hickory_net=error,hickory_proto=error,hickory_server=error";
/// Characters of one value that are shown.
pub const VALUE_CHARACTERS: usize = 1_000;

/// How lines look.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// Whether the level is coloured.
    pub colour: bool,
    /// Whether systemd's journal takes the lines: they begin with their priority (sd-daemon(3)) instead of their time (UTC,
    /// milliseconds), since it adds its own.
    pub systemd: bool,
}

impl Look {
    /// What suits stderr as it is: colour on a terminal, unless `NO_COLOR` is set or it is a dumb one.
    pub fn of_stderr() -> Look {
        let terminal = io::stderr().is_terminal();
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        Look { colour: terminal && !no_colour && !dumb, systemd: stderr_is_systemds() }
    }
}

/// Whether stderr still leads to systemd's journal: `JOURNAL_STREAM` names its device and inode, and outlives a redirection.
fn stderr_is_systemds() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    std::fs::metadata("/proc/self/fd/2").is_ok_and(|file| stream == format!("{}:{}", file.dev(), file.ino()))
}

/// Where lines go. Clones are the same log.
#[derive(Clone)]
pub struct Log {
    queue: Arc<Queue>,
    names: Arc<Names>,
}

impl Log {
    /// A log that goes to `out`, each line in one write.
    pub fn to(out: Box<dyn Write + Send>) -> Log {
        Log { queue: Arc::new(Queue::new(out)), names: Arc::default() }
    }

    /// What makes lines of events.
    pub fn subscriber(&self, filter: EnvFilter, look: Look) -> impl Subscriber + Send + Sync + 'static + use<> {
        SubscriberBuilder::default()
            .with_env_filter(filter)
            .fmt_fields(Fields { names: Arc::clone(&self.names) })
            .event_format(Line { look })
            .with_writer(Arc::clone(&self.queue))
            .finish()
    }

    /// From now on no mailbox's and no host's address stands in a field: pseudonyms do, of the journal's keys.
    pub fn pseudonymise(&self, keys: Arc<Keys>) {
        self.names.hide(keys);
    }

    /// Starts the thread that writes. Until then each line is written by whoever logs it. A second call does nothing.
    ///
    /// # Errors
    /// The thread can't be started.
    pub fn start(&self) -> io::Result<()> {
        Queue::start(&self.queue)
    }

    /// Lines that were dropped because nobody read them fast enough.
    pub fn dropped(&self) -> u64 {
        self.queue.dropped()
    }

    /// Writes what waits, for at most `deadline`; later lines are written directly again. Blocks its thread.
    pub fn close(&self, deadline: Duration) {
        self.queue.close(deadline);
    }
}

/// Makes stderr the log of this process, at the level of [`VARIABLE`]. To be called once, first of all.
///
/// # Errors
/// A log was set up before.
pub fn init() -> Result<Log, TryInitError> {
    let log = Log::to(Box::new(io::stderr()));
    let wanted = std::env::var(VARIABLE).unwrap_or_default();
    let (filter, problem) = match wanted.as_str() {
        "" => (EnvFilter::new(DEFAULT), None),
        wanted => match EnvFilter::try_new(wanted) {
            Ok(filter) => (filter, None),
            Err(error) => (EnvFilter::new(DEFAULT), Some(error)),
        },
    };
    log.subscriber(filter, Look::of_stderr()).try_init()?;
    if let Some(error) = problem {
        tracing::warn!(%error, variable = VARIABLE, "the level of the log can't be read; it is info");
    }
    Ok(log)
}

/// Writes an event as `TIME LEVEL target: message name=value`, the fields of its spans last.
struct Line {
    look: Look,
}

impl Line {
    fn front(&self, writer: &mut Writer<'_>, level: Level) -> fmt::Result {
        let (priority, colour) = match level {
            Level::ERROR => (3, 31),
            Level::WARN => (4, 33),
            Level::INFO => (6, 32),
            Level::DEBUG => (7, 34),
            Level::TRACE => (7, 35),
        };
        if self.look.systemd {
            write!(writer, "<{priority}>")?;
        } else {
            write!(writer, "{:.3} ", jiff::Timestamp::now())?;
        }
        if self.look.colour {
            write!(writer, "\u{1b}[{colour}m{level:5}\u{1b}[0m ")
        } else {
            write!(writer, "{level:5} ")
        }
    }
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        self.front(&mut writer, *event.metadata().level())?;
        write!(writer, "{}: ", event.metadata().target())?;
        context.format_fields(writer.by_ref(), event)?;
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
                write!(writer, " {}", fields.fields)?;
            }
        }
        writeln!(writer)
    }
}

/// Writes fields as `name=value`, escaped.
struct Fields {
    names: Arc<Names>,
}

impl<'writer> FormatFields<'writer> for Fields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = Visitor { writer, names: &self.names, first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'writer, 'names> {
    writer: Writer<'writer>,
    names: &'names Names,
    first: bool,
    result: fmt::Result,
}

impl Visitor<'_, '_> {
    fn write(&mut self, field: &Field, value: &str, is_text: bool) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.writer.write_char(' ')?;
        }
        if field.name() == "message" {
            return Escaping::new(&mut self.writer, VALUE_CHARACTERS).write_str(value);
        }
        let value = &*self.names.hidden(field.name(), value);
        self.writer.write_str(field.name().trim_start_matches("r#"))?;
        self.writer.write_char('=')?;
        if !is_text && !value.contains([' ', '=', '"', '\\']) {
            return Escaping::new(&mut self.writer, VALUE_CHARACTERS).write_str(value);
        }
        // A value that brings its own quotes along could otherwise go on with fields of its own making.
        let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
        self.writer.write_char('"')?;
        Escaping::new(&mut self.writer, VALUE_CHARACTERS).write_str(&quoted)?;
        self.writer.write_char('"')
    }
}

impl Visit for Visitor<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if self.result.is_ok() {
            self.result = self.write(field, &format!("{value:?}"), false);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if self.result.is_ok() {
            self.result = self.write(field, value, true);
        }
    }
}
