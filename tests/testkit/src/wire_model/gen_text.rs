//! Text for scripts.

use arbitrary::{Result, Unstructured};

/// Any text: mostly short, at times around the length at which a length prefix grows.
///
/// # Errors
///
/// Those of the source of bytes.
pub fn text(u: &mut Unstructured<'_>) -> Result<String> {
    const CHARS: [char; 9] = ['a', 'b', 'Z', 'é', '語', '🦀', '\0', '"', '\n'];
    let choice = u.int_in_range(0..=11)?;
    let repeated = match choice {
        0..=8 => {
            return (0..choice)
                .map(|_| u.choose(&CHARS).copied())
                .collect::<Result<_>>();
        }
        9 => u.int_in_range(20..=70)?,
        10 => u.int_in_range(120..=130)?,
        _ => u.int_in_range(0..=400)?,
    };
    let c = *u.choose(&CHARS)?;
    Ok(std::iter::repeat_n(c, repeated).collect())
}

/// A key: one of a few, so that they repeat.
///
/// # Errors
///
/// Those of the source of bytes.
pub fn key(u: &mut Unstructured<'_>) -> Result<String> {
    const KEYS: [&str; 12] = [
        "",
        "a",
        "A",
        "b",
        "c",
        "ab",
        "ba",
        "aab",
        "http.request.method",
        "exception.type",
        "exception.message",
        "ключ",
    ];
    match u.int_in_range(0..=15)? {
        12 => text(u),
        // Enough different ones for every bit of a filter over keys, yet few enough to repeat.
        13.. => Ok(format!("k{}", u.int_in_range(10..=60)?)),
        n => Ok(KEYS.get(n).copied().unwrap_or_default().into()),
    }
}
