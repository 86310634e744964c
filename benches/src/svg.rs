//! A bar chart by hand.

use std::fmt::Write as _;

/// One group of bars.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Above the bars.
    pub title: String,
    /// Who, how much, and what to write beside the bar.
    pub bars: Vec<(String, f64, String)>,
}

const WIDTH: f64 = 860.0;
const LABELS: f64 = 260.0;
const BAR: f64 = 18.0;
const GAP: f64 = 5.0;
const HEAD: f64 = 34.0;

/// Readers in dark mode get light text, and the page's own background shows through.
const STYLE: &str = "<style>text{fill:#1f2328}.value{fill:#57606a}.bar{fill:#8c959f}\
    .ours{fill:#d9480f}@media(prefers-color-scheme:dark){text{fill:#e6edf3}\
    .value{fill:#9198a1}.bar{fill:#656c76}.ours{fill:#ff7b3d}}</style>";

/// Horizontal bars, each group on its own scale; ours are coloured. Shorter is better.
#[must_use]
pub fn chart(title: &str, groups: &[Group]) -> String {
    let rows: usize = groups.iter().map(|group| group.bars.len()).sum();
    let height = 50.0 + groups.len() as f64 * (HEAD + 8.0) + rows as f64 * (BAR + GAP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height:.0}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\">\n\
         <title>{0}</title>\n\
         {STYLE}\n\
         <text x=\"16\" y=\"28\" font-size=\"17\" font-weight=\"600\">{0}</text>\n",
        escape(title)
    );
    let mut y = 44.0;
    for group in groups {
        y += HEAD;
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"{:.0}\" font-weight=\"600\">{}</text>",
            y - 10.0,
            escape(&group.title)
        );
        let longest = group.bars.iter().map(|bar| bar.1).fold(0.0, f64::max);
        for (name, value, text) in &group.bars {
            let ours = name.starts_with("spandrel");
            let class = if ours { "ours" } else { "bar" };
            let weight = if ours { "600" } else { "400" };
            let length = (value / longest * (WIDTH - LABELS - 120.0)).max(1.0);
            let middle = y + BAR - 4.5;
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{middle:.1}\" text-anchor=\"end\" font-weight=\"{weight}\">{}</text>\
                 <rect x=\"{LABELS}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\" \
                 class=\"{class}\"/>\
                 <text x=\"{:.1}\" y=\"{middle:.1}\" class=\"value\">{}</text>",
                LABELS - 8.0,
                escape(name),
                LABELS + length + 6.0,
                escape(text)
            );
            y += BAR + GAP;
        }
        y += 8.0;
    }
    svg.push_str("</svg>\n");
    svg
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
