//! Errors that are returned.

use spandrel_core::hosted::trace::Tracer;
use spandrel_core::instrument;

use super::{Broken, traced};

#[instrument(tracer = tracer, err)]
fn displayed(tracer: &Tracer, text: &str) -> Result<u8, Box<dyn std::error::Error>> {
    let _ = tracer;
    let number: u8 = text.parse()?;
    if number == 0 {
        return Err(Broken(0).into());
    }
    Ok(number)
}

#[instrument(tracer = tracer, err(Debug))]
fn debugged(tracer: &Tracer) -> Result<(), Broken> {
    let _ = tracer;
    Err(Broken(2))
}

#[instrument(tracer = tracer)]
fn not_asked_for(tracer: &Tracer) -> Result<(), Broken> {
    let _ = tracer;
    Err(Broken(3))
}

#[instrument(tracer = tracer, err, skip_all)]
async fn later(tracer: &Tracer, text: &str) -> Result<u8, std::num::ParseIntError> {
    let _ = tracer;
    let number: u8 = text.parse()?;
    Ok(number)
}

/// Fault X254: the outcome of a function is that of its span.
#[test]
fn x254_returned_errors_are_the_outcome_where_the_attribute_says_so() {
    traced(
        |tracer| {
            assert!(displayed(tracer, "7").is_ok());
            assert!(displayed(tracer, "x").is_err() && displayed(tracer, "0").is_err());
            assert_eq!(debugged(tracer), Err(Broken(2)));
            assert_eq!(not_asked_for(tracer), Err(Broken(3)));
            assert!(super::futures::now(later(tracer, "y")).is_err());
        },
        r#"
        displayed text="7"
        displayed text="x" ✗ invalid digit found in string
        └─ ◆ exception exception.message="invalid digit found in string"
        displayed text="0" ✗ broken by 0
        └─ ◆ exception exception.message="broken by 0"
        debugged ✗ Broken(2)
        └─ ◆ exception exception.type="hosted::instrument::Broken" exception.message="Broken(2)"
        not_asked_for
        later ✗ invalid digit found in string
        └─ ◆ exception exception.type="core::num::error::ParseIntError" exception.message="invalid digit found in string"
        "#,
    );
}
