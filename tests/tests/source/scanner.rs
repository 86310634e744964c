//! Rust source as tokens, without comments and without items that are configured out.
//!
//! Not a parser: enough of the grammar to tell code from comments and literals, and to find where
//! an item ends.

/// A token and its line, counted from 1. `::` is one token, a string literal is a `"` and its
/// content without quotes, all other punctuation is single characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A comment, with the line on which it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    /// As written, `//` or `/* */` included.
    pub(crate) text: String,
    pub(crate) line: usize,
    /// The index of the first token behind it.
    pub(crate) token: usize,
}

/// Splits source text; comments and documentation vanish.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    tokens_and_comments(source).0
}

/// Splits source text into code and comments.
pub(crate) fn tokens_and_comments(source: &str) -> (Vec<Token>, Vec<Comment>) {
    let mut rest = source;
    let mut line = 1;
    let mut tokens = Vec::new();
    let mut comments = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (len, text) = token(rest, first);
        let (consumed, after) = rest.split_at(len);
        if let Some(text) = text {
            tokens.push(Token { text, line });
        } else if first == '/' {
            comments.push(Comment {
                text: consumed.to_owned(),
                line,
                token: tokens.len(),
            });
        }
        line += consumed.matches('\n').count();
        rest = after;
    }
    (tokens, comments)
}

/// The length of the first lexical element of `rest`, and its text unless it is space or comment.
fn token(rest: &str, first: char) -> (usize, Option<String>) {
    if first.is_whitespace() {
        return (first.len_utf8(), None);
    }
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), None);
    }
    if rest.starts_with("/*") {
        return (block_comment_len(rest), None);
    }
    if let Some((len, content)) = string(rest) {
        return (len, Some(format!("\"{content}")));
    }
    if first == '\'' {
        let len = quote_len(rest);
        return (len, Some(rest[..len].to_owned()));
    }
    if is_word(first) {
        let start = if rest.starts_with("r#") { 2 } else { 0 };
        let word = rest[start..].split(|c| !is_word(c)).next().unwrap_or("");
        return (start + word.len(), Some(word.to_owned()));
    }
    let len = if rest.starts_with("::") {
        2
    } else {
        first.len_utf8()
    };
    (len, Some(rest[..len].to_owned()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Block comments nest.
fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                break;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// The length and content of a string literal of any kind: plain, byte, C, raw.
fn string(rest: &str) -> Option<(usize, &str)> {
    let prefix = ["br", "cr", "b", "c", "r", ""]
        .into_iter()
        .find(|prefix| rest.starts_with(prefix))?;
    let body = &rest[prefix.len()..];
    if prefix.ends_with('r') {
        let hashes = body.len() - body.trim_start_matches('#').len();
        let body = body[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let len = body.find(&end).unwrap_or(body.len());
        let total = prefix.len() + hashes + 1 + len + end.len();
        return Some((total.min(rest.len()), &body[..len]));
    }
    let body = body.strip_prefix('"')?;
    let mut escaped = false;
    let len = body
        .find(|c| {
            let end = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            end
        })
        .unwrap_or(body.len());
    Some(((prefix.len() + len + 2).min(rest.len()), &body[..len]))
}

/// A character literal, or else a lifetime.
fn quote_len(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match chars.next() {
        Some((_, '\\')) => {
            let after_escaped = 3;
            rest.get(after_escaped..)
                .and_then(|tail| tail.find('\''))
                .map_or(rest.len(), |end| after_escaped + end + 1)
        }
        Some(_) => match chars.next() {
            Some((at, '\'')) => at + 1,
            _ => 1 + rest[1..].find(|c| !is_word(c)).unwrap_or(rest.len() - 1),
        },
        None => rest.len(),
    }
}

/// What a configuration predicate is taken for: `test`, or `feature = "std"` written so. `None`
/// leaves it open, and the items in.
pub(crate) type Holds<'a> = &'a dyn Fn(&str) -> Option<bool>;

/// Drops the items whose `cfg` cannot hold.
pub(crate) fn active(tokens: &[Token], holds: Holds<'_>) -> Vec<Token> {
    let places = active_places(tokens, holds);
    places.into_iter().map(|at| tokens[at].clone()).collect()
}

/// The indices of the tokens that are left without the items whose `cfg` cannot hold.
pub(crate) fn active_places(tokens: &[Token], holds: Holds<'_>) -> Vec<usize> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let inner = is(tokens, at + 1, "!");
        let open = at + 1 + usize::from(inner);
        if !is(tokens, at, "#") || !is(tokens, open, "[") {
            kept.push(at);
            at += 1;
            continue;
        }
        let end = group_end(tokens, open);
        let off =
            is(tokens, open + 1, "cfg") && predicate(tokens, open + 3, holds).0 == Some(false);
        match (off, inner) {
            (true, true) => return Vec::new(),
            (true, false) => at = item_end(tokens, end),
            (false, _) => {
                kept.extend(at..end);
                at = end;
            }
        }
    }
    kept
}

/// Whether the token at `at` is `text`.
pub(crate) fn is(tokens: &[Token], at: usize, text: &str) -> bool {
    tokens.get(at).is_some_and(|token| token.text == text)
}

/// The place after the bracket that closes the one at `open`.
pub(crate) fn group_end(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
    }
    tokens.len()
}

/// The value of the predicate at `at`, and the place after it.
fn predicate(tokens: &[Token], at: usize, holds: Holds<'_>) -> (Option<bool>, usize) {
    let name = tokens.get(at).map_or("", |token| token.text.as_str());
    if is(tokens, at + 1, "=") {
        let value = tokens.get(at + 2).map_or("", |token| &token.text);
        return (holds(&format!("{name} = {value}\"")), at + 3);
    }
    if !is(tokens, at + 1, "(") {
        return (holds(name), at + 1);
    }
    let end = group_end(tokens, at + 1);
    let mut values = Vec::new();
    let mut next = at + 2;
    while next < end - 1 {
        let (value, after) = predicate(tokens, next, holds);
        values.push(value);
        next = after + usize::from(is(tokens, after, ","));
    }
    let value = match name {
        "not" => values.first().copied().flatten().map(|value| !value),
        "any" => decide(&values, true),
        "all" => decide(&values, false),
        _ => None,
    };
    (value, end)
}

/// `decisive` where one value is, its opposite where all are, open otherwise.
fn decide(values: &[Option<bool>], decisive: bool) -> Option<bool> {
    if values.contains(&Some(decisive)) {
        Some(decisive)
    } else if values.contains(&None) {
        None
    } else {
        Some(!decisive)
    }
}

/// The place after the item, field, variant or statement that starts at `at`.
fn item_end(tokens: &[Token], mut at: usize) -> usize {
    const ITEMS: [&str; 14] = [
        "pub",
        "fn",
        "mod",
        "use",
        "impl",
        "struct",
        "enum",
        "const",
        "static",
        "trait",
        "type",
        "extern",
        "macro_rules",
        "async",
    ];
    while is(tokens, at, "#") && is(tokens, at + 1, "[") {
        at = group_end(tokens, at + 1);
    }
    // In an item, a comma outside of brackets separates generic parameters; it ends a field.
    let is_item = tokens.get(at).is_some_and(|token| {
        let field = is(tokens, at + 1, ":") || is(tokens, at + 2, ":");
        ITEMS.contains(&token.text.as_str()) && !(token.text == "pub" && field)
    });
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            ")" | "]" | "}" => return at,
            "(" | "[" => at = group_end(tokens, at),
            "{" => return group_end(tokens, at),
            _ => at += 1,
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> String {
        let texts: Vec<_> = tokens(source).into_iter().map(|token| token.text).collect();
        texts.join(" ")
    }

    fn without_test(source: &str) -> String {
        let off = |name: &str| matches!(name, "test" | "feature = \"std\"").then_some(false);
        let kept = active(&tokens(source), &off);
        let texts: Vec<_> = kept.into_iter().map(|token| token.text).collect();
        texts.join(" ")
    }

    #[test]
    fn comments_vanish_and_literals_do_not_become_code() {
        assert_eq!(words("a // crate::b\n/* c /* d */ e */ f"), "a f");
        assert_eq!(words("/// crate::b\n//! x\nfn"), "fn");
        assert_eq!(
            words(r##"("// a", r#"b " c"#, b"\"", 'x', '\'', '"', b'"')"##)
                .matches(',')
                .count(),
            6
        );
        assert_eq!(words("&'a str 'static r#type"), "& 'a str 'static type");
        assert_eq!(words("\"é\" 'é' z"), "\"é 'é' z");
    }

    #[test]
    fn comments_are_found_with_their_place_and_not_in_literals() {
        let source = "a // b\n/* c\n/* d */ */ \"// e\" // f\n/// g";
        let found: Vec<_> = tokens_and_comments(source)
            .1
            .into_iter()
            .map(|comment| (comment.text, comment.line, comment.token))
            .collect();
        let expected = [
            ("// b", 1, 1),
            ("/* c\n/* d */ */", 2, 1),
            ("// f", 3, 2),
            ("/// g", 4, 2),
        ]
        .map(|(text, line, token)| (text.to_owned(), line, token));
        assert_eq!(found, expected);
    }

    #[test]
    fn lines_are_counted_across_literals_and_comments() {
        let lines: Vec<_> = tokens("a\n/*\n*/ b \"\n\" c")
            .iter()
            .map(|t| t.line)
            .collect();
        assert_eq!(lines, [1, 3, 3, 4]);
    }

    #[test]
    fn items_that_are_configured_out_vanish_whole() {
        assert_eq!(without_test("#[cfg(test)] mod tests { a { b } } c"), "c");
        assert_eq!(
            without_test("#[cfg(test)] #[path = \"x\"] mod tests; c"),
            "c"
        );
        assert_eq!(
            without_test("#[cfg(test)] pub fn f<A, B>(a: A) -> B { a } c"),
            "c"
        );
        assert_eq!(
            without_test("S { #[cfg(test)] pub a: u8, b: u8 }"),
            "S { b : u8 }"
        );
        assert_eq!(without_test("S { #[cfg(test)] a: [u8; 2] }"), "S { }");
        assert_eq!(without_test("#![cfg(test)] a"), "");
        assert_eq!(
            without_test("#[cfg(any(test, feature = \"std\"))] extern crate std; c"),
            "c"
        );
    }

    #[test]
    fn items_that_may_be_there_stay() {
        for kept in [
            "not(test)",
            "target_os = \"linux\"",
            "any(test, unix)",
            "all(unix, windows)",
        ] {
            let source = format!("#[cfg({kept})] mod a;");
            assert!(without_test(&source).ends_with("mod a ;"), "{source}");
        }
    }
}
