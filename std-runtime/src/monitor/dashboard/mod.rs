//! The page that people look at: plots of what `/metrics.json` says.
//!
//! One self-contained page. Its core knows no metric: each file in `panels/` adds the plots of one
//! part of the program, and a new part adds a file and a line here.

use alloc::string::String;

static PAGE: &str = include_str!("page.html");
static STYLE: &str = include_str!("style.css");
static SCRIPTS: [&str; 8] = [
    include_str!("core.js"),
    include_str!("panels/demo.js"),
    include_str!("panels/broker.js"),
    include_str!("panels/producer.js"),
    include_str!("panels/batches.js"),
    include_str!("panels/connections.js"),
    include_str!("panels/pools.js"),
    include_str!("panels/process.js"),
];

/// The whole page, as UTF-8 of type `text/html`.
#[must_use]
pub fn page() -> String {
    PAGE.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", &SCRIPTS.concat())
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn nothing_comes_from_elsewhere() {
        let page = page();
        assert!(page.contains("panel({") && page.contains("--page:"));
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            let found = page.replace("http://www.w3.org/2000/svg", "").contains(outside);
            assert!(!found, "{outside}");
        }
    }
}
