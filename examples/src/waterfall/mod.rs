//! Traces as text: [`spandrel_core::hosted::waterfall`] for what the collector of this crate
//! received.

mod received;

use crate::ReceivedSpan;
pub use spandrel_core::hosted::waterfall::{SpanView, Style, draw};

/// The spans as one waterfall for each trace, oldest first, in lines of at most `style.width`
/// columns (at least 40). The order of `spans` does not matter.
#[must_use]
pub fn waterfall(spans: &[ReceivedSpan], style: Style) -> String {
    let views: Vec<SpanView<'_>> = spans.iter().map(SpanView::from).collect();
    draw(&views, style)
}

/// The style that fits this program's standard output, as wide as its terminal.
#[must_use]
pub fn style_of_stdout() -> Style {
    let stdout = std::io::stdout();
    let columns = terminal_size::terminal_size_of(&stdout).map(|(width, _)| width.0.into());
    Style::of_stdout(columns)
}

#[cfg(test)]
mod tests;
