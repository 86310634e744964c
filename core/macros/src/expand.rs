//! The function with a span around its body.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Error, Result};

use crate::arguments;
use crate::function::{Function, hidden};
use crate::options::{Field, Options, Style};

pub(crate) fn instrument(options: TokenStream, function: TokenStream) -> TokenStream {
    match expanded(options, function.clone()) {
        Ok(tokens) => tokens,
        Err(error) => {
            // The function stays, so that the mistake is the only one that is said.
            let error = error.to_compile_error();
            quote!(#error #function)
        }
    }
}

fn expanded(options: TokenStream, function: TokenStream) -> Result<TokenStream> {
    let options: Options = syn::parse2(options)?;
    let mut function: Function = syn::parse2(function)?;
    let names = arguments::names(&function.signature);
    for skipped in &options.skip {
        if !names.contains(skipped) && skipped != "self" {
            let message = format!("the function has no argument `{skipped}`");
            return Err(Error::new(skipped.span(), message));
        }
    }
    let body = Body::new(&options, &function, &names);
    if let Some(work) = function.trailing_async() {
        let statements = &work.block.stmts;
        let inner = body.of_future(&quote!(#(#statements)*), None);
        work.capture.get_or_insert_default();
        work.block = syn::parse2(quote!({ #inner }))?;
        let block = &function.block;
        return Ok(function.with_body(&quote!(#block)));
    }
    let block = &function.block;
    let statements = &block.stmts;
    let output = function.output();
    let inner = match function.signature.asyncness {
        Some(_) => body.of_future(&quote!(#(#statements)*), output.as_ref()),
        None => body.of_call(&quote!(#block), output.as_ref()),
    };
    Ok(function.with_body(&quote!({ #inner })))
}

impl Function {
    fn with_body(&self, body: &TokenStream) -> TokenStream {
        let (attributes, visibility) = (&self.attributes, &self.visibility);
        let signature = &self.signature;
        quote! {
            #(#attributes)*
            #visibility #signature #body
        }
    }
}

/// The parts of a body that do not depend on the kind of function.
struct Body<'a> {
    options: &'a Options,
    /// The path of `spandrel_core`.
    krate: TokenStream,
    span: Ident,
    result: Ident,
    start: TokenStream,
}

impl<'a> Body<'a> {
    fn new(options: &'a Options, function: &Function, arguments: &[Ident]) -> Self {
        let krate = match &options.krate {
            Some(path) => quote!(#path),
            None => quote!(::spandrel_core),
        };
        let mut body = Self {
            options,
            krate,
            span: Ident::new("span", hidden()),
            result: Ident::new("result", hidden()),
            start: TokenStream::new(),
        };
        let name = match &options.name {
            Some(name) => quote!(#name),
            None => {
                let name = syn::ext::IdentExt::unraw(&function.signature.ident).to_string();
                quote!(#name)
            }
        };
        body.start = match &options.place {
            Some(place) => body.start_in_place(&quote!(#place), &name),
            None => body.start_by_tracer(&name, arguments),
        };
        body
    }

    /// Name, kind and parent, as both builders have them.
    fn description(&self) -> TokenStream {
        let krate = &self.krate;
        let kind = self.options.kind.iter();
        let parent = self.options.parent.iter();
        quote! {
            #(.kind(#krate::span::SpanKind::#kind))*
            #(.parent(#parent))*
        }
    }

    fn start_by_tracer(&self, name: &TokenStream, arguments: &[Ident]) -> TokenStream {
        let (krate, span) = (&self.krate, &self.span);
        let tracer = match &self.options.tracer {
            Some(tracer) => quote!((#tracer)),
            None => quote!(#krate::__tracer_of_package!(#krate)),
        };
        let description = self.description();
        let root = self.options.root.map(|_| quote!(.root()));
        let fields = self.fields(arguments);
        let fields = fields.iter().map(|field| self.set(field));
        quote! {
            #[allow(unused_mut, reason = "only fields and errors change the span")]
            let mut #span = #tracer
                .span(::core::convert::AsRef::<str>::as_ref(&#name))
                #description #root
                .start();
            if #span.is_recording() {
                #[allow(unused_imports, reason = "which of them are used depends on the fields")]
                use #krate::hosted::instrument::{AsText as _, ByDebug as _, ByReference as _, ByValue as _};
                #(#fields)*
            }
        }
    }

    /// The arguments that are recorded, and the fields.
    fn fields(&self, arguments: &[Ident]) -> Vec<FieldRef<'a>> {
        let named = |name: &str| self.options.fields.iter().any(|field| field.key == name);
        // A tracer or a parent that is handed in says nothing about the call.
        let options = [&self.options.tracer, &self.options.parent];
        let serves = |name: &Ident| {
            let mut given = options.into_iter().flatten();
            given.any(|expr| matches!(expr, syn::Expr::Path(it) if it.path.is_ident(name)))
        };
        let is_recorded = |name: &&Ident| {
            self.options.skip_all.is_none()
                && !self.options.skip.contains(name)
                && !serves(name)
                && !named(&name.to_string())
        };
        let arguments = arguments.iter().filter(is_recorded);
        let arguments = arguments.map(|name| FieldRef::Owned(Field::of(name, Style::Value)));
        let fields = self.options.fields.iter().map(FieldRef::Given);
        arguments.chain(fields).collect()
    }

    fn set(&self, field: &FieldRef<'_>) -> TokenStream {
        let (krate, span) = (&self.krate, &self.span);
        let Field { key, style, value } = field.get();
        let at = syn::spanned::Spanned::span(value);
        let value = reference(value);
        match style {
            // The methods of the nearest of several traits: see `hosted::instrument`.
            Style::Value => quote_spanned! {at=>
                (&&&&#krate::hosted::instrument::Argument(#value)).set(&mut #span, #key);
            },
            Style::Display => quote_spanned! {at=>
                #krate::hosted::instrument::set_display(&mut #span, #key, #value);
            },
            Style::Debug => quote_spanned! {at=>
                #krate::hosted::instrument::set_debug(&mut #span, #key, #value);
            },
        }
    }

    fn start_in_place(&self, place: &TokenStream, name: &TokenStream) -> TokenStream {
        let (krate, span) = (&self.krate, &self.span);
        let description = self.description();
        let finds_parent = self.options.parent.is_none() && self.options.root.is_none();
        let fields = self
            .options
            .fields
            .iter()
            .map(|Field { key, value, .. }| quote!(#span.set_attribute(#key, #value);));
        quote! {
            #[allow(unused_mut, reason = "only fields and errors change the span")]
            let mut #span = #krate::instrument::PlacedSpan::start(
                #place,
                #krate::tracer::SpanBuilder::new(#name) #description,
                #finds_parent,
            );
            #(#fields)*
        }
    }

    fn is_in_place(&self) -> bool {
        self.options.place.is_some()
    }

    /// Notes a returned error.
    fn outcome(&self) -> Option<TokenStream> {
        let err = self.options.err?;
        let (krate, span, result) = (&self.krate, &self.span, &self.result);
        let error = Ident::new("error", hidden());
        let fail = match (self.is_in_place(), err.style) {
            (true, _) => quote!({ let _ = #error; #span.set_error(); }),
            (false, Style::Debug) => {
                quote!(#krate::hosted::instrument::fail_debug(&mut #span, #error))
            }
            (false, _) => quote!(#span.fail(#error)),
        };
        Some(quote_spanned! {err.span=>
            if let ::core::result::Result::Err(#error) = &#result {
                #fail
            }
        })
    }

    /// The body of a function that is no future.
    fn of_call(&self, block: &TokenStream, output: Option<&TokenStream>) -> TokenStream {
        let (krate, span, result, start) = (&self.krate, &self.span, &self.result, &self.start);
        let guard = Ident::new("guard", hidden());
        let enter = match self.is_in_place() {
            true => quote!(#span.enter();),
            false => quote!(let #guard = #span.enter();),
        };
        let Some(outcome) = self.outcome() else {
            return quote!(#start #enter #block);
        };
        let arrow = output.map(|output| quote!(-> #output));
        quote! {
            #start
            #enter
            let #result = #krate::instrument::call(move || #arrow #block);
            #outcome
            #result
        }
    }

    /// The body of a future.
    fn of_future(&self, statements: &TokenStream, output: Option<&TokenStream>) -> TokenStream {
        let (krate, span, result, start) = (&self.krate, &self.span, &self.result, &self.start);
        // The type of the block, which a closure could be given in words.
        let typed = output.map(|output| {
            let never = Ident::new("never", hidden());
            quote! {
                #[allow(unreachable_code, clippy::diverging_sub_expression, reason = "it gives the block its type")]
                if false {
                    let #never: #output = ::core::unreachable!();
                    return #never;
                }
            }
        });
        let work = quote!(async move { #typed #statements });
        let waited = match self.is_in_place() {
            false => quote! {
                #krate::hosted::current::ContextFutureExt::with_context(#work, #span.to_context()).await
            },
            true => {
                let future = Ident::new("future", hidden());
                let task = Ident::new("task", hidden());
                quote! {{
                    let mut #future = ::core::pin::pin!(#work);
                    ::core::future::poll_fn(|#task| {
                        #span.within(|| ::core::future::Future::poll(#future.as_mut(), #task))
                    })
                    .await
                }}
            }
        };
        let outcome = self.outcome();
        quote! {
            #start
            let #result = #waited;
            #outcome
            #result
        }
    }
}

/// A reference to the value of an expression, in parentheses where it needs them.
fn reference(value: &syn::Expr) -> syn::Expr {
    syn::Expr::Reference(syn::ExprReference {
        attrs: Vec::new(),
        and_token: <syn::Token![&]>::default(),
        mutability: None,
        expr: Box::new(value.clone()),
    })
}

enum FieldRef<'a> {
    Given(&'a Field),
    Owned(Field),
}

impl FieldRef<'_> {
    const fn get(&self) -> &Field {
        match self {
            Self::Given(field) => field,
            Self::Owned(field) => field,
        }
    }
}
