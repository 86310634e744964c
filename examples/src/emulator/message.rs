//! The messages of the firmware on a serial line that carries no frames: `kind, length (u32, little
//! endian), content`. The firmware's `output.rs` writes them.

use std::fmt;

/// One message of the firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// The body of an OTLP request.
    Body(Vec<u8>),
    /// A piece of a compressed body.
    Piece(Vec<u8>),
    /// A number, under its name.
    Number(String, u64),
}

/// The output ends within a message, or is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOutput;

impl fmt::Display for CutOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the output of the device is cut")
    }
}

impl std::error::Error for CutOutput {}

/// Returns all messages that a device wrote before it ended.
///
/// # Errors
///
/// When the output is not a row of whole messages.
pub fn messages(mut output: &[u8]) -> Result<Vec<Message>, CutOutput> {
    let mut all = Vec::new();
    while !output.is_empty() {
        let (&[kind, a, b, c, d], rest) = output.split_first_chunk().ok_or(CutOutput)?;
        let len = u32::from_le_bytes([a, b, c, d]) as usize;
        let (content, rest) = rest.split_at_checked(len).ok_or(CutOutput)?;
        all.push(message(kind, content).ok_or(CutOutput)?);
        output = rest;
    }
    Ok(all)
}

fn message(kind: u8, content: &[u8]) -> Option<Message> {
    Some(match kind {
        b'B' => Message::Body(content.to_vec()),
        b'Z' => Message::Piece(content.to_vec()),
        b'N' => {
            let (value, name) = content.split_first_chunk()?;
            let name = std::str::from_utf8(name).ok()?.to_owned();
            Message::Number(name, u64::from_le_bytes(*value))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_distinguished() {
        let output = b"B\x02\0\0\0hiN\x09\0\0\0\x07\0\0\0\0\0\0\0nZ\0\0\0\0";
        assert_eq!(
            messages(output),
            Ok(vec![
                Message::Body(b"hi".to_vec()),
                Message::Number("n".into(), 7),
                Message::Piece(Vec::new()),
            ])
        );
    }

    #[test]
    fn output_that_is_cut_anywhere_is_refused() {
        let output = b"N\x09\0\0\0\x07\0\0\0\0\0\0\0n";
        for len in 1..output.len() {
            assert_eq!(messages(&output[..len]), Err(CutOutput), "{len}");
        }
        assert_eq!(messages(b"?\0\0\0\0"), Err(CutOutput));
    }
}
