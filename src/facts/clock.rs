//! The time of day: read once a transaction, so that judging it needs no clock and can be repeated later.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::word::Weekday;

/// When a transaction began, in the time zone of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Clock {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// monday to sunday.
    pub weekday: Weekday,
    /// The day of the month, 1 to 31.
    pub day: u8,
    /// 1 to 12.
    pub month: u8,
}

impl Clock {
    /// What the clocks of a time zone show at this moment.
    pub fn at(moment: Timestamp, zone: &TimeZone) -> Clock {
        let shown = zone.to_datetime(moment);
        // jiff's fields are signed; within their ranges they are never negative
        let small = |n: i8| u8::try_from(n).unwrap_or_default();
        let place = usize::try_from(shown.weekday().to_monday_one_offset()).unwrap_or_default();
        Clock {
            hour: small(shown.hour()),
            minute: small(shown.minute()),
            weekday: Weekday::ALL.get(place).copied().unwrap_or_default(),
            day: small(shown.day()),
            month: small(shown.month()),
        }
    }
}
