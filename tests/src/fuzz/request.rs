//! A pipeline with scopes, a late clock, interleaved pushes and any answers: every body is what
//! the model says.

use arbitrary::Unstructured;

use crate::wire_model::RequestScript;

/// Runs the script that `data` makes.
///
/// # Panics
///
/// When a request is not the expected one.
pub fn run(data: &[u8]) {
    if let Ok(script) = Unstructured::new(data).arbitrary::<RequestScript>() {
        let _ = script.run();
    }
}
