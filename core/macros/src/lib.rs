//! The attribute `instrument` of Spandrel. Use it through `spandrel-core` (feature `macros`), where the
//! module `instrument` describes what it does.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod arguments;
mod expand;
mod function;
mod options;

#[cfg(test)]
mod tests;

use proc_macro::TokenStream;

/// Makes a span for each call of a function.
///
/// `spandrel_core::instrument` describes the options, and what is recorded where.
#[proc_macro_attribute]
pub fn instrument(options: TokenStream, function: TokenStream) -> TokenStream {
    expand::instrument(options.into(), function.into()).into()
}
