//! Any header lines as `baggage`: what is read is what the plainest reading of the rules finds, and
//! what is written reads as itself.

use spandrel_core::baggage::{
    BAGGAGE, MAX_BYTES, MAX_MEMBER_BYTES, MAX_MEMBERS, Member, Reader, Writer,
};
use spandrel_core::hosted::baggage::{Baggage, BaggagePropagator};
use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::propagation::ContextPropagator as _;

/// A name, its value and its metadata.
pub type Entry = (String, String, String);

/// Reads each line of `data` as one header, and writes its first lines as an entry.
///
/// # Panics
///
/// When a rule is broken.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines: Vec<&str> = text.split('\n').collect();
    check_reading(&lines);
    let mut fields = lines.iter().copied().chain(["", "", ""]);
    let [key, value, metadata] = [(); 3].map(|()| fields.next().unwrap_or_default());
    check_writing(&[(key.into(), value.into(), metadata.into())]);
}

/// Reads `lines` as the headers of one request.
///
/// # Panics
///
/// When the reader and the rules disagree.
pub fn check_reading(lines: &[&str]) {
    let expected = naive(&lines.join(","));
    let mut reader = Reader::new();
    let mut found = Vec::new();
    for line in lines {
        reader.read(line, |member| found.push(owned(&member)));
    }
    assert_eq!(found, expected);
    assert!(found.len() <= MAX_MEMBERS && reader.bytes_read() <= MAX_BYTES);
    let is_cut = lines.join(",").len() > MAX_BYTES;
    assert!(reader.left_out() > 0 || !is_cut || lines.join(",").ends_with(','));

    let carrier: Vec<(&str, &str)> = lines.iter().map(|line| (BAGGAGE, *line)).collect();
    let context = BaggagePropagator.extract_into(&Context::new(), &carrier.as_slice());
    let baggage = context.baggage();
    let mut last_wins: Vec<Entry> = Vec::new();
    for entry in expected {
        match last_wins.iter_mut().find(|there| there.0 == entry.0) {
            Some(there) => *there = entry,
            None => last_wins.push(entry),
        }
    }
    assert_eq!(entries(baggage), last_wins);
    check_writing(&last_wins);
}

/// Writes `entries`, and reads what was written.
///
/// # Panics
///
/// When the writer breaks a limit, or something is lost or changed.
pub fn check_writing(entries: &[Entry]) {
    let mut writer = Writer::new(String::new());
    let mut sent = Vec::new();
    for (key, value, metadata) in entries {
        if writer.add(key, value, metadata) {
            let metadata = metadata.trim_matches([' ', '\t']);
            sent.push((key.clone(), value.clone(), metadata.to_owned()));
        }
    }
    assert_eq!(entries.len(), sent.len() + writer.left_out() as usize);
    let text = writer.into_inner();
    assert!(text.len() <= MAX_BYTES && sent.len() <= MAX_MEMBERS);
    assert!(
        text.bytes().all(|b| matches!(b, b' '..=b'~' | b'\t')),
        "{text:?}"
    );
    assert!(
        text.split(',')
            .all(|member| member.len() <= MAX_MEMBER_BYTES)
    );
    let mut reader = Reader::new();
    let mut read = Vec::new();
    reader.read(&text, |member| read.push(owned(&member)));
    assert_eq!(read, sent);
    assert_eq!((reader.left_out(), reader.malformed()), (0, 0));
}

fn owned(member: &Member<'_>) -> Entry {
    let value = member.value();
    let text = value.to_string();
    assert!(value.as_plain().is_none_or(|plain| plain == text));
    (member.key().into(), text, member.metadata().into())
}

fn entries(baggage: &Baggage) -> Vec<Entry> {
    let entry = |(name, value, metadata): (&str, &str, &str)| {
        (name.to_owned(), value.to_owned(), metadata.to_owned())
    };
    baggage.iter().map(entry).collect()
}

/// The rules of the specification in the plainest form, over the whole list.
fn naive(list: &str) -> Vec<Entry> {
    let mut end = 0;
    let mut found = Vec::new();
    for member in list.split(',') {
        end += member.len();
        if end > MAX_BYTES {
            break;
        }
        end += 1;
        let member = member.trim_matches([' ', '\t']);
        if member.len() <= MAX_MEMBER_BYTES && found.len() < MAX_MEMBERS {
            found.extend(naive_member(member));
        }
    }
    found
}

fn naive_member(member: &str) -> Option<Entry> {
    let blank = [' ', '\t'];
    let (pair, metadata) = match member.find(';') {
        Some(at) => (&member[..at], member[at + 1..].trim_matches(blank)),
        None => (member, ""),
    };
    let at = pair.find('=')?;
    let (key, value) = (
        pair[..at].trim_matches(blank),
        pair[at + 1..].trim_matches(blank),
    );
    let separators = r#""(),/:;<=>?@[\]{}"#;
    let token = |c: char| c.is_ascii_graphic() && !separators.contains(c);
    let octet = |c: char| c.is_ascii_graphic() && !r#"",;\"#.contains(c);
    let property = |c: char| blank.contains(&c) || c.is_ascii_graphic() && c != ',';
    let is_valid = !key.is_empty()
        && key.chars().all(token)
        && value.chars().all(octet)
        && metadata.chars().all(property);
    is_valid.then(|| (key.into(), naive_decode(value), metadata.into()))
}

fn naive_decode(value: &str) -> String {
    let mut octets = Vec::new();
    let bytes = value.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let coded = value.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let coded = coded.filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let octet = coded.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        octets.push(octet.unwrap_or(bytes[at]));
        at += if octet.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&octets).into_owned()
}
