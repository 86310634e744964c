//! What the attribute `instrument` expands to on a host. Exempt from semantic versioning.
//!
//! How an argument becomes an attribute depends on its type, and an attribute macro knows no types. So
//! it calls `(&&&&Argument(&x)).set(..)`, and the compiler takes the method of the first trait in this
//! order whose conditions hold: each is implemented for one reference less.

use core::fmt::{Debug, Display};

use super::trace::Span;
use crate::attribute::Value;
use crate::span::type_name;

/// An argument of a function.
#[derive(Debug)]
pub struct Argument<'a, T>(pub &'a T);

/// What a [`Value`] can be made of: numbers, truth values, texts.
pub trait ByValue<'v> {
    /// Sets the attribute.
    fn set(&self, span: &mut Span, key: &str);
}

impl<'v, T: Copy + Into<Value<'v>>> ByValue<'v> for &&&Argument<'_, T> {
    fn set(&self, span: &mut Span, key: &str) {
        span.set_attribute(key, *self.0);
    }
}

/// References to such.
pub trait ByReference<'v> {
    /// Sets the attribute.
    fn set(&self, span: &mut Span, key: &str);
}

impl<'v, T: Copy + Into<Value<'v>>> ByReference<'v> for &&Argument<'_, &T> {
    fn set(&self, span: &mut Span, key: &str) {
        span.set_attribute(key, **self.0);
    }
}

/// `String` and other texts.
pub trait AsText {
    /// Sets the attribute.
    fn set(&self, span: &mut Span, key: &str);
}

impl<T: AsRef<str>> AsText for &Argument<'_, T> {
    fn set(&self, span: &mut Span, key: &str) {
        span.set_attribute(key, self.0.as_ref());
    }
}

/// Everything else that can be shown.
pub trait ByDebug {
    /// The argument's type.
    type Argument;

    /// Sets the attribute. The condition stands here and not at the implementation, so that the compiler
    /// names what is missing.
    fn set(&self, span: &mut Span, key: &str)
    where
        Self::Argument: ArgumentOrSkip;
}

impl<T> ByDebug for Argument<'_, T> {
    type Argument = T;

    fn set(&self, span: &mut Span, key: &str)
    where
        T: ArgumentOrSkip,
    {
        self.0.show(span, key);
    }
}

/// What can be recorded. An argument that cannot is named in `skip(..)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot become an attribute",
    label = "name this argument in `skip(..)`, or derive `Debug`"
)]
pub trait ArgumentOrSkip {
    /// Sets the attribute.
    fn show(&self, span: &mut Span, key: &str);
}

impl<T: Debug> ArgumentOrSkip for T {
    fn show(&self, span: &mut Span, key: &str) {
        set_debug(span, key, self);
    }
}

/// Sets an attribute to what `Display` shows.
pub fn set_display<T: Display + ?Sized>(span: &mut Span, key: &str, value: &T) {
    span.set_formatted(key, format_args!("{value}"));
}

/// Sets an attribute to what `Debug` shows.
pub fn set_debug<T: Debug + ?Sized>(span: &mut Span, key: &str, value: &T) {
    span.set_formatted(key, format_args!("{value:?}"));
}

/// Notes an error that is shown by `Debug`.
pub fn fail_debug<E: Debug + ?Sized>(span: &mut Span, error: &E) {
    span.fail_with_text(type_name::<E>(), format_args!("{error:?}"));
}
