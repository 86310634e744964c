//! What stands between the parentheses of the attribute.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt as _;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Expr, LitStr, Path, Result, Token, parenthesized};

/// The options in the order in which the documentation lists them.
const NAMES: &str = "`name`, `kind`, `parent`, `root`, `fields`, `skip`, `skip_all`, `err`, `tracer`, `place`, `crate`";

const KINDS: [(&str, &str); 5] = [
    ("internal", "Internal"),
    ("server", "Server"),
    ("client", "Client"),
    ("producer", "Producer"),
    ("consumer", "Consumer"),
];

#[derive(Default)]
pub(crate) struct Options {
    pub(crate) name: Option<Expr>,
    /// A variant of `SpanKind`.
    pub(crate) kind: Option<Ident>,
    pub(crate) parent: Option<Expr>,
    pub(crate) root: Option<Span>,
    pub(crate) fields: Vec<Field>,
    pub(crate) skip: Vec<Ident>,
    pub(crate) skip_all: Option<Span>,
    pub(crate) err: Option<Outcome>,
    pub(crate) tracer: Option<Expr>,
    pub(crate) place: Option<Expr>,
    pub(crate) krate: Option<Path>,
}

/// How a returned error becomes text.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) style: Style,
    pub(crate) span: Span,
}

/// How a value becomes an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As what it is, or else by `Debug`.
    Value,
    Display,
    Debug,
}

/// An attribute of the span.
pub(crate) struct Field {
    pub(crate) key: String,
    pub(crate) style: Style,
    pub(crate) value: Expr,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        let mut seen: Vec<String> = Vec::new();
        while !input.is_empty() {
            let name = input.call(Ident::parse_any).map_err(|error| {
                let hint = format!("an option begins with its name: {NAMES}");
                Error::new(error.span(), hint)
            })?;
            let text = name.to_string();
            if seen.contains(&text) {
                return Err(Error::new(
                    name.span(),
                    format!("`{text}` stands here twice"),
                ));
            }
            options.parse_option(&name, &text, input)?;
            seen.push(text);
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        options.check()?;
        Ok(options)
    }
}

impl Options {
    fn parse_option(&mut self, name: &Ident, text: &str, input: ParseStream<'_>) -> Result<()> {
        match text {
            "name" => self.name = Some(value_of(name, input)?),
            "parent" => self.parent = Some(value_of(name, input)?),
            "tracer" => self.tracer = Some(value_of(name, input)?),
            "place" => self.place = Some(value_of(name, input)?),
            "kind" => self.kind = Some(kind(name, input)?),
            "root" => self.root = Some(name.span()),
            "skip_all" => self.skip_all = Some(name.span()),
            "skip" => {
                let names = list::<Ident>(name, input, "skip(password, body)", Ident::parse_any)?;
                self.skip = names;
            }
            "fields" => {
                let example = "fields(order.items = items.len(), %id)";
                self.fields = list(name, input, example, Field::parse)?;
            }
            "err" => self.err = Some(outcome(name, input)?),
            "crate" => {
                equals(name, input)?;
                self.krate = Some(input.call(Path::parse_mod_style)?);
            }
            _ => {
                let message = format!("there is no option `{text}`; there are {NAMES}");
                return Err(Error::new(name.span(), message));
            }
        }
        Ok(())
    }

    /// Options that exclude each other.
    fn check(&self) -> Result<()> {
        if let (Some(root), Some(_)) = (self.root, &self.parent) {
            return Err(Error::new(
                root,
                "a span with a parent is no root: leave out one of them",
            ));
        }
        if let (Some(place), Some(_)) = (&self.place, &self.tracer) {
            let message = "a place has a tracer of its own: leave out `tracer`";
            return Err(Error::new_spanned(place, message));
        }
        if let (Some(skip_all), false) = (self.skip_all, self.skip.is_empty()) {
            return Err(Error::new(
                skip_all,
                "`skip_all` skips those of `skip`, too: leave out `skip`",
            ));
        }
        let Some(place) = &self.place else {
            return Ok(());
        };
        let skips = self.skip_all.is_some() || !self.skip.is_empty();
        let is_formatted = self.fields.iter().any(|field| field.style != Style::Value)
            || self.err.is_some_and(|err| err.style == Style::Debug);
        let message = if skips {
            "with `place` no argument is recorded by itself: leave out `skip`, and name in `fields` what is"
        } else if is_formatted {
            "with `place` nothing is formatted, because that takes ten kilobytes of a device: give a value"
        } else {
            return Ok(());
        };
        Err(Error::new_spanned(place, message))
    }
}

fn equals(name: &Ident, input: ParseStream<'_>) -> Result<()> {
    if input.peek(Token![=]) {
        input.parse::<Token![=]>()?;
        return Ok(());
    }
    Err(Error::new(
        name.span(),
        format!("`{name}` needs a value: `{name} = ..`"),
    ))
}

fn value_of(name: &Ident, input: ParseStream<'_>) -> Result<Expr> {
    equals(name, input)?;
    input.parse()
}

fn kind(name: &Ident, input: ParseStream<'_>) -> Result<Ident> {
    equals(name, input)?;
    let (text, span) = match input.parse::<Option<LitStr>>()? {
        Some(text) => (text.value(), text.span()),
        None => {
            let kind = input.call(Ident::parse_any)?;
            (kind.to_string(), kind.span())
        }
    };
    let mut kinds = KINDS.iter();
    match kinds.find(|(kind, _)| text.eq_ignore_ascii_case(kind)) {
        Some((_, variant)) => Ok(Ident::new(variant, span)),
        None => Err(Error::new(
            span,
            "a kind is `Internal`, `Server`, `Client`, `Producer` or `Consumer`",
        )),
    }
}

fn list<T>(
    name: &Ident,
    input: ParseStream<'_>,
    example: &str,
    parse: fn(ParseStream<'_>) -> Result<T>,
) -> Result<Vec<T>> {
    if !input.peek(syn::token::Paren) {
        let message = format!("`{name}` needs a list, as in `{example}`");
        return Err(Error::new(name.span(), message));
    }
    let content;
    parenthesized!(content in input);
    let items = Punctuated::<T, Token![,]>::parse_terminated_with(&content, parse)?;
    Ok(items.into_iter().collect())
}

fn outcome(name: &Ident, input: ParseStream<'_>) -> Result<Outcome> {
    let mut style = Style::Display;
    if input.peek(syn::token::Paren) {
        let content;
        parenthesized!(content in input);
        let word = content.call(Ident::parse_any)?;
        style = match word.to_string().as_str() {
            "Debug" => Style::Debug,
            "Display" => Style::Display,
            _ => {
                let message = "an error is shown by `Display`, or with `err(Debug)` by `Debug`";
                return Err(Error::new(word.span(), message));
            }
        };
    }
    let span = name.span();
    Ok(Outcome { style, span })
}

impl Field {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        // `%id` and `?id` stand for `id = %id` and `id = ?id`.
        if let Some(style) = sigil(input)? {
            let ident: Ident = input.parse()?;
            return Ok(Self::of(&ident, style));
        }
        let (key, ident) = match input.parse::<Option<LitStr>>()? {
            Some(text) => (text.value(), None),
            None => dotted(input)?,
        };
        if let (Some(ident), false) = (&ident, input.peek(Token![=])) {
            return Ok(Self::of(ident, Style::Value));
        }
        if !input.peek(Token![=]) {
            return Err(input.error(format!("the field `{key}` needs a value: `{key} = ..`")));
        }
        input.parse::<Token![=]>()?;
        Ok(Self {
            key,
            style: sigil(input)?.unwrap_or(Style::Value),
            value: input.parse()?,
        })
    }

    /// An attribute with the name of a variable.
    pub(crate) fn of(ident: &Ident, style: Style) -> Self {
        Self {
            key: ident.unraw().to_string(),
            style,
            value: Expr::Path(syn::ExprPath {
                attrs: Vec::new(),
                qself: None,
                path: ident.clone().into(),
            }),
        }
    }
}

fn sigil(input: ParseStream<'_>) -> Result<Option<Style>> {
    if input.parse::<Option<Token![%]>>()?.is_some() {
        return Ok(Some(Style::Display));
    }
    let is_debug = input.parse::<Option<Token![?]>>()?.is_some();
    Ok(is_debug.then_some(Style::Debug))
}

/// A key of names with dots between them, and the name if it is one alone.
fn dotted(input: ParseStream<'_>) -> Result<(String, Option<Ident>)> {
    let first = input.call(Ident::parse_any)?;
    let mut key = first.unraw().to_string();
    let mut is_one = true;
    while input.parse::<Option<Token![.]>>()?.is_some() {
        is_one = false;
        key.push('.');
        key.push_str(&input.call(Ident::parse_any)?.unraw().to_string());
    }
    Ok((key, is_one.then_some(first)))
}
