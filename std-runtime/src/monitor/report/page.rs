//! The report as a page.

use core::fmt::{self, Write as _};

use alloc::string::String;

use super::findings::{findings, number};
use super::plots::PLOTS;
use super::run::Run;
use super::svg::{Escaped, draw};
use super::text::totals;
use crate::monitor::alerts::rfc_3339;

const STYLE: &str = "\
:root{color-scheme:light dark;--back:#fff;--text:#1b1f24;--grid:#d8dde3;--soft:#59636e}
@media (prefers-color-scheme:dark){
:root{--back:#0f1318;--text:#e6eaee;--grid:#2b323a;--soft:#9aa4af}}
body{background:var(--back);color:var(--text);font:16px/1.5 system-ui,sans-serif;
max-width:1360px;margin:0 auto;padding:1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem;margin:.5rem 0}
table{border-collapse:collapse}td,th{padding:.2rem .8rem .2rem 0;text-align:right}
td:first-child,th:first-child{text-align:left}
main{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr));gap:1.5rem}
svg{width:100%;height:auto}svg text{font-size:11px;fill:var(--soft)}
polyline{fill:none;stroke-width:2;stroke-linejoin:round}.grid{stroke:var(--grid)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem;font-size:.85rem;list-style:none;padding:0}
.legend li::before{content:\"\";display:inline-block;width:.8em;height:.8em;margin-right:.4em;
background:var(--own)}
.weight{font-weight:600}.soft{color:var(--soft)}
";

/// Distinct on light and dark ground, for most kinds of colour blindness, too (Okabe and Ito).
const COLOURS: [&str; 8] =
    ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6fd1", "#8c8c8c"];

/// The report as one HTML page with its plots in it: no scripts, nothing loaded from elsewhere,
/// dark or light as the reader's system is.
#[must_use]
pub fn html(run: &Run) -> String {
    let mut page = String::new();
    // Writing to a string can't fail.
    let _ = write_page(run, &mut page);
    page
}

fn write_page(run: &Run, page: &mut String) -> fmt::Result {
    let (snapshots, seconds) = (run.len(), number(run.seconds()));
    write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <title>Turbopump: performance report</title>\n<style>\n{STYLE}"
    )?;
    for (index, colour) in COLOURS.iter().enumerate() {
        writeln!(page, ".c{index}{{stroke:{colour};--own:{colour}}}")?;
    }
    write!(
        page,
        "</style></head><body>\n<h1>Performance report</h1>\n\
         <p class=\"soft\">{snapshots} snapshots, {seconds} s from {}</p>\n",
        rfc_3339(run.start_unix_ms())
    )?;
    write_findings(run, page)?;
    page.push_str(
        "<h2>Totals</h2>\n<table><tr><th>what</th><th>in all</th><th>per second</th></tr>\n",
    );
    for (name, total, rate) in totals(run) {
        let (total, rate) = (number(total), number(rate));
        writeln!(page, "<tr><td>{name}</td><td>{total}</td><td>{rate}</td></tr>")?;
    }
    page.push_str("</table>\n<h2>Plots</h2>\n<main>\n");
    for plot in &PLOTS {
        let (lines, others) = plot.lines(run);
        if lines.is_empty() {
            continue;
        }
        let title = [plot.title, if plot.unit.is_empty() { "" } else { ", " }, plot.unit].concat();
        write!(page, "<section><h3>{}</h3>", Escaped(&title))?;
        draw(page, &title, &lines, run.seconds())?;
        page.push_str("<ul class=\"legend\">");
        for (index, line) in lines.iter().enumerate() {
            let name = if line.name.is_empty() { plot.title } else { &line.name };
            write!(page, "<li class=\"c{index}\">{}</li>", Escaped(name))?;
        }
        if others > 0 {
            write!(page, "<li class=\"soft\">and {others} with smaller values</li>")?;
        }
        page.push_str("</ul></section>\n");
    }
    page.push_str("</main></body></html>\n");
    Ok(())
}

fn write_findings(run: &Run, page: &mut String) -> fmt::Result {
    page.push_str("<h2>Findings</h2>\n<ul>\n");
    let findings = findings(run);
    for finding in &findings {
        writeln!(
            page,
            "<li><span class=\"weight\">[{}] {}.</span> {}</li>",
            finding.weight.as_str(),
            Escaped(&finding.says),
            Escaped(finding.advice)
        )?;
    }
    if findings.is_empty() {
        page.push_str("<li>Nothing stands out.</li>\n");
    }
    page.push_str("</ul>\n");
    Ok(())
}
