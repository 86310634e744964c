//! The arguments of a function by their names.

use proc_macro2::Ident;
use syn::{FnArg, Pat, Signature};

/// The names that the patterns of the arguments bind. `self` is none of them.
pub(crate) fn names(signature: &Signature) -> Vec<Ident> {
    let mut found = Vec::new();
    for argument in &signature.inputs {
        if let FnArg::Typed(argument) = argument {
            collect(&argument.pat, &mut found);
        }
    }
    found
}

fn collect(pattern: &Pat, found: &mut Vec<Ident>) {
    match pattern {
        // What begins with a line is not used, and need not show itself.
        Pat::Ident(name) if name.ident.to_string().starts_with('_') => {}
        Pat::Ident(name) => found.push(name.ident.clone()),
        Pat::Paren(inner) => collect(&inner.pat, found),
        Pat::Reference(inner) => collect(&inner.pat, found),
        Pat::Type(inner) => collect(&inner.pat, found),
        Pat::Slice(parts) => parts.elems.iter().for_each(|it| collect(it, found)),
        Pat::Tuple(parts) => parts.elems.iter().for_each(|it| collect(it, found)),
        Pat::TupleStruct(parts) => parts.elems.iter().for_each(|it| collect(it, found)),
        Pat::Struct(parts) => parts.fields.iter().for_each(|it| collect(&it.pat, found)),
        _ => {}
    }
}
