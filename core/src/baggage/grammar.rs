//! The characters of the header: <https://www.w3.org/TR/baggage/#definition>.

/// Returns true if `key` can be sent: a token, which is one or more of `A-Z`, `a-z`, `0-9` and
/// ``!#$%&'*+-.^_`|~``.
///
/// <https://www.rfc-editor.org/rfc/rfc7230#section-3.2.6>
#[must_use]
pub fn is_key(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(is_token_char)
}

const fn is_token_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Visible ASCII without `"`, `,`, `;` and `\`.
pub(super) const fn is_value_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// Properties as they are sent: their grammar is not looked into, but nothing in it can end the
/// member or the header.
pub(super) fn is_metadata(text: &str) -> bool {
    let is_fit = |byte: u8| is_blank(byte) || (byte.is_ascii_graphic() && byte != b',');
    text.bytes().all(is_fit)
}

pub(super) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// `text` without blanks around it.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}
