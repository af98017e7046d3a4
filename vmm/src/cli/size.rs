//! Sizes as people write them: `512M`, `2G`, `65536`.

/// Parses a number of bytes with an optional suffix `K`, `M`, `G` or `T` (powers of 1024; `b` and `iB` may follow).
///
/// # Errors
/// A sentence that says what is wrong.
pub(crate) fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, suffix) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| format!("'{text}' does not begin with a whole number"))?;
    let suffix = suffix.trim().to_ascii_lowercase();
    let unit = suffix.strip_suffix("ib").or(suffix.strip_suffix('b')).unwrap_or(&suffix);
    let shift = match unit {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(format!("'{suffix}' is no unit: use K, M, G or T")),
    };
    number.checked_mul(1 << shift).ok_or_else(|| format!("'{text}' is more than any machine has"))
}

/// A number of bytes in the largest unit of which there is one.
pub(crate) fn format(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = bytes;
    let mut rest = 0;
    let mut units = UNITS.iter().peekable();
    while scaled >= 1024 && units.len() > 1 {
        (scaled, rest) = (scaled / 1024, scaled % 1024);
        units.next();
    }
    let unit = units.next().unwrap_or(&"B");
    if rest == 0 { format!("{scaled} {unit}") } else { format!("{scaled}.{} {unit}", rest * 10 / 1024) }
}

#[cfg(test)]
mod tests;
