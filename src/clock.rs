//! The time of day in UTC, for timestamps in results.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// Now, as RFC 3339 in UTC to the second. `SOURCE_DATE_EPOCH` (seconds since 1970), when set, stands in for
/// the clock.
#[must_use]
pub fn now_utc() -> String {
    let fixed = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.parse().ok());
    rfc3339(fixed.unwrap_or_else(|| Timestamp::now().as_second()))
}

/// The time from now until the date of an HTTP header, as `Sun, 06 Nov 1994 08:49:37 GMT`; none when it has
/// passed, and `None` for what is no date.
#[must_use]
pub fn until(date: &str) -> Option<Duration> {
    let date = rfc2822::parse(date).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(Timestamp::now())).unwrap_or_default())
}

/// `seconds` since 1970-01-01T00:00:00Z as RFC 3339; those beyond the year 9999 are its end.
fn rfc3339(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_come_out_right_around_leap_days() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(951_782_399), "2000-02-28T23:59:59Z");
        assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(rfc3339(1_709_251_199), "2024-02-29T23:59:59Z");
        assert_eq!(rfc3339(4_102_444_800), "2100-01-01T00:00:00Z");
        assert!(rfc3339(i64::MAX).starts_with("9999-12-3"), "{}", rfc3339(i64::MAX));
    }
}
