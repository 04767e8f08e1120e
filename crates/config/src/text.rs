//! Durations, sizes, shares and words: text to values, and back to the canonical text.

use std::time::Duration;

const TIME_UNITS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("B", 1),
];

/// `true`, `false` and the YAML 1.1 words.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" => Some(true),
        "false" | "off" | "no" => Some(false),
        _ => None,
    }
}

/// Digits alone: no sign, no separators, no other base.
pub(crate) fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A number without a sign and without an exponent.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 20 && t.bytes().all(|b| b.is_ascii_digit());
    (digits(whole) && digits(part)).then(|| text.parse().ok()).flatten()
}

/// `1h30m`, `250ms`, `1.5s`. Each unit once, from large to small.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut nanos: u128 = 0;
    let mut smallest = u128::MAX;
    while !rest.is_empty() {
        let number = rest.find(|c: char| c != '.' && !c.is_ascii_digit())?;
        let (digits, tail) = rest.split_at(number);
        let unit_end = tail.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(tail.len());
        let (name, tail) = tail.split_at(unit_end);
        let unit = TIME_UNITS.iter().find(|(unit, _)| *unit == name)?.1;
        if unit >= smallest {
            return None;
        }
        smallest = unit;
        nanos = nanos.checked_add(scaled(digits, unit)?)?;
        rest = tail;
    }
    (smallest != u128::MAX).then(|| from_nanos(nanos)).flatten()
}

/// A bare number in a unit of `unit_nanos`.
pub(crate) fn bare_duration(text: &str, unit_nanos: u128) -> Option<Duration> {
    scaled(text, unit_nanos).and_then(from_nanos)
}

/// `64KiB`, `1MB`, or bytes. Upper and lower case are equal.
pub(crate) fn size(text: &str) -> Option<u64> {
    if let Some(bytes) = whole(text) {
        return Some(bytes);
    }
    let at = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (digits, name) = text.split_at(at);
    let unit = SIZE_UNITS.iter().find(|(unit, _)| unit.eq_ignore_ascii_case(name))?.1;
    u64::try_from(scaled(digits.trim_end(), u128::from(unit))?).ok()
}

/// `20%` as 0.2.
pub(crate) fn percent(text: &str) -> Option<f64> {
    hundredths(text.strip_suffix('%')?.trim_end())
}

/// 20 as 0.2. The shift is decimal, so that nothing is lost: 0.07 is exactly what `0.0007` reads as.
pub(crate) fn hundredths(text: &str) -> Option<f64> {
    decimal(text).and_then(|_| format!("{text}e-2").parse().ok())
}

pub(crate) fn show_duration(duration: Duration) -> String {
    let mut nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".into();
    }
    let mut text = String::new();
    for (name, unit) in TIME_UNITS {
        let count = nanos / unit;
        if count > 0 {
            put!(text, "{count}{name}");
            nanos -= count * unit;
        }
    }
    text
}

pub(crate) fn show_size(bytes: u64) -> String {
    SIZE_UNITS
        .iter()
        .take(8)
        .find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit))
        .map_or_else(|| bytes.to_string(), |(name, unit)| format!("{}{name}", bytes / unit))
}

/// As a percentage that reads back as exactly this share.
pub(crate) fn show_share(share: f64) -> String {
    let text = format!("{share}");
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let part = format!("{part:0<2}");
    let (shifted, rest) = part.split_at(2);
    let whole = format!("{whole}{shifted}");
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if rest.is_empty() { format!("{whole}%") } else { format!("{whole}.{rest}%") }
}

fn scaled(text: &str, unit: u128) -> Option<u128> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |t: &str| !t.is_empty() && t.len() <= 18 && t.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(part) {
        return None;
    }
    let part_scale = 10u128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let whole = whole.parse::<u128>().ok()?.checked_mul(unit)?;
    let part = part.parse::<u128>().ok()?.checked_mul(unit)?;
    // A share of a nanosecond or of a byte is a slip, not a value.
    (part % part_scale == 0).then(|| whole.checked_add(part / part_scale)).flatten()
}

fn from_nanos(nanos: u128) -> Option<Duration> {
    u64::try_from(nanos).ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written() {
        let ms = Duration::from_millis;
        for (text, want) in [
            ("30s", ms(30_000)),
            ("1h", ms(3_600_000)),
            ("100ms", ms(100)),
            ("1h30m", ms(5_400_000)),
            ("1.5s", ms(1500)),
            ("0s", ms(0)),
            ("2d", ms(172_800_000)),
        ] {
            assert_eq!(duration(text), Some(want), "{text}");
            assert_eq!(duration(&show_duration(want)), Some(want));
        }
        for text in
            ["", "s", "30", "30 s", "-1s", "1s1h", "1s1s", "1e3s", ".5s", "1w", "0.1ns", "99999999999d"]
        {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_read_as_written() {
        for (text, want) in [("64KiB", 65_536), ("1MB", 1_000_000), ("17", 17), ("1.5kib", 1536), ("0", 0)] {
            assert_eq!(size(text), Some(want), "{text}");
            assert_eq!(size(&show_size(want)), Some(want));
        }
        for text in ["", "KiB", "-1", "1.5", "1 QB", "0.1B", "18446744073709551616"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    #[test]
    fn shares_survive_their_print() {
        for n in 0..=10_000u32 {
            let share = f64::from(n) / 10_000.0;
            assert_eq!(percent(&show_share(share)), Some(share), "{share}");
        }
    }
}
