//! The function that the attribute stands on.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::parse::{Parse, ParseStream};
use syn::{
    Attribute, Block, Error, Expr, ExprAsync, Result, ReturnType, Signature, Stmt, Token,
    Visibility,
};

pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    pub(crate) block: Block,
}

impl Parse for Function {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let here = input.span();
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature: Signature = input.parse().map_err(|_| {
            Error::new(
                here,
                "`instrument` stands on a function, and makes a span for each call",
            )
        })?;
        if input.peek(Token![;]) {
            let message = "a method without a body cannot be traced: put the attribute on its implementations";
            return Err(Error::new_spanned(&signature, message));
        }
        if let Some(constness) = &signature.constness {
            let message =
                "a constant function cannot be traced: it may run while the program is compiled";
            return Err(Error::new_spanned(constness, message));
        }
        Ok(Self {
            attributes,
            visibility,
            signature,
            block: input.parse()?,
        })
    }
}

impl Function {
    /// The type that is returned, if it can be written down in the body.
    pub(crate) fn output(&self) -> Option<TokenStream> {
        match &self.signature.output {
            ReturnType::Default => Some(quote::quote!(())),
            ReturnType::Type(_, output) => {
                let tokens = output.to_token_stream();
                (!has_word(tokens.clone(), "impl")).then_some(tokens)
            }
        }
    }

    /// The async block that the function returns, boxed or not, as those do that stand for an
    /// `async fn` in a trait.
    pub(crate) fn trailing_async(&mut self) -> Option<&mut ExprAsync> {
        if self.signature.asyncness.is_some() {
            return None;
        }
        let Some(Stmt::Expr(last, None)) = self.block.stmts.last_mut() else {
            return None;
        };
        match last {
            Expr::Async(work) => Some(work),
            Expr::Call(call) if is_box_pin(&call.func) => match call.args.first_mut() {
                Some(Expr::Async(work)) => Some(work),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Returns true for `Box::pin`, with or without a path in front.
fn is_box_pin(function: &Expr) -> bool {
    let Expr::Path(path) = function else {
        return false;
    };
    let mut names = path
        .path
        .segments
        .iter()
        .rev()
        .map(|it| it.ident.to_string());
    names.next().as_deref() == Some("pin") && names.next().as_deref() == Some("Box")
}

fn has_word(tokens: TokenStream, word: &str) -> bool {
    tokens.into_iter().any(|tree| match tree {
        proc_macro2::TokenTree::Ident(ident) => ident == word,
        proc_macro2::TokenTree::Group(group) => has_word(group.stream(), word),
        _ => false,
    })
}

/// The place of names that the function cannot see.
pub(crate) fn hidden() -> Span {
    Span::mixed_site()
}
