//! Sizes as RabbitMQ writes them.

/// Reads a size as in `frame_max`, where a KB is 1024 bytes.
pub fn byte_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" => 0,
        "KB" => 10,
        "MB" => 20,
        "GB" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

/// Reads a size as in the memory and disk limits: a unit is a power of 1000 unless it has an `i`,
/// with or without a `B` at the end.
pub fn information_unit(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (unit, base) = unit.strip_suffix('i').map_or((unit, 1000_u64), |unit| (unit, 1024));
    let power = ["", "k", "m", "g", "t", "p"].iter().position(|known| *known == unit)?;
    let is_whole = power > 0 || text.len() == digits.len();
    digits.parse::<u64>().ok().filter(|_| is_whole)?.checked_mul(base.pow(power as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_rabbitmq_s() {
        for (text, bytes) in [
            ("1", 1),
            ("2k", 2_000),
            ("2kb", 2_000),
            ("2KB", 2_000),
            ("2Ki", 2048),
            ("2KiB", 2048),
            ("2kib", 2048),
            ("2M", 2_000_000),
            ("512MB", 512_000_000),
            ("512mb", 512_000_000),
            ("1MiB", 1 << 20),
            ("2g", 2_000_000_000),
            ("2GB", 2_000_000_000),
            ("2Gi", 2 << 30),
            ("2GiB", 2 << 30),
            ("1TB", 1_000_000_000_000),
            ("1TiB", 1 << 40),
            ("1P", 1_000_000_000_000_000),
            ("1PiB", 1 << 50),
        ] {
            assert_eq!(information_unit(text), Some(bytes), "{text}");
        }
        assert_eq!(["", "GB", "1 GB", "1.5GB", "5B", "1i", "1EB", "-1", "99999999PB", "1GBB"].map(information_unit), [None; 10]);
        assert_eq!(["1", "128KB", "128kb", "1MB", "1GB"].map(byte_size), [1, 128 << 10, 128 << 10, 1 << 20, 1 << 30].map(Some));
        assert_eq!(["", "1 KB", "12B", "1k", "1KiB", "-1", "99999999999GB"].map(byte_size), [None; 7]);
    }
}
