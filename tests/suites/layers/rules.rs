//! The rules: each takes what a file mentions and says what is wrong with it.

use crate::scan::Source;

/// Lines of a file at most, tests not counted.
const FILE_LINES_MAX: usize = 600;
/// Lines of a function at most.
const FUNCTION_LINES_MAX: usize = 70;
/// Columns of a line at most.
const COLUMNS_MAX: usize = 100;

/// One file of a crate.
pub(crate) struct File {
    /// From the repository's root.
    pub(crate) path: String,
    /// Names of its module, from the crate's root.
    pub(crate) module: Vec<String>,
    pub(crate) text: String,
    pub(crate) source: Source,
}

impl File {
    /// `path` is from the repository's root; the module follows from what is behind `src/`.
    pub(crate) fn new(path: &str, text: String) -> Result<Self, String> {
        let inside = path.split_once("src/").map_or("", |(_, inside)| inside);
        let module = inside.trim_end_matches(".rs").trim_end_matches("mod").trim_end_matches("lib");
        let module: Vec<&str> = module.split('/').filter(|name| !name.is_empty()).collect();
        let source = Source::read(&module, &text).map_err(|error| format!("{path}: {error}"))?;
        let module = module.into_iter().map(str::to_owned).collect();
        Ok(Self { path: path.to_owned(), module, text, source })
    }

    /// Its module directly below the crate's root, `None` for the root itself.
    fn layer(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }

    /// Whether the whole file is there for tests only.
    fn is_tests(&self) -> bool {
        self.module.iter().any(|name| name == "tests") || self.path.starts_with("tests/")
    }

    fn at(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }
}

/// The modules of `core/src/lib.rs`, lowest first, as the table in its documentation has them.
pub(crate) fn layers_of(lib: &str) -> Vec<String> {
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | [`"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}

/// Every public module is in the table, and nothing else is.
pub(crate) fn table(lib: &File, layers: &[String], findings: &mut Vec<String>) {
    let is_row = |name: &String| layers.contains(name);
    for (name, public) in &lib.source.modules {
        if *public && !is_row(name) {
            findings.push(lib.at(1, &format!("module {name} has no row in the table of layers")));
        }
    }
    for name in layers {
        if !lib.source.modules.iter().any(|(module, public)| module == name && *public) {
            findings.push(lib.at(1, &format!("{name} is in the table but is no public module")));
        }
    }
}

/// A module uses those above it in the table; private ones, which are not there, use none of them.
pub(crate) fn layering(file: &File, layers: &[String], findings: &mut Vec<String>) {
    let Some(own) = file.layer() else { return };
    if file.is_tests() {
        return;
    }
    let rank_of = |name: &str| layers.iter().position(|layer| layer == name);
    for mention in file.source.mentions.iter().filter(|mention| !mention.in_tests) {
        let [root, used, ..] = &mention.path[..] else { continue };
        if root != "crate" || used == own {
            continue;
        }
        let Some(used_rank) = rank_of(used) else { continue };
        if rank_of(own).is_none_or(|own_rank| own_rank < used_rank) {
            let what = format!("{own} uses {used}, which is not above it in the table of layers");
            findings.push(file.at(mention.line, &what));
        }
    }
}

/// RocketMQ is the first application of the rest; nothing knows it, tests included.
pub(crate) fn rocketmq(file: &File, findings: &mut Vec<String>) {
    if matches!(file.layer(), None | Some("rocketmq")) {
        return;
    }
    for mention in &file.source.mentions {
        if mention.path.len() > 1 && mention.path[..2] == ["crate", "rocketmq"] {
            findings.push(file.at(mention.line, "the generic half uses rocketmq"));
        }
    }
}

/// `embedded-io` and its like are the driver's business.
pub(crate) fn transport(file: &File, findings: &mut Vec<String>) {
    if file.layer() == Some("driver") {
        return;
    }
    for mention in &file.source.mentions {
        if mention.path.iter().any(|part| part.starts_with("embedded_io")) {
            findings.push(file.at(mention.line, "only driver may name embedded-io"));
        }
    }
}

/// Unsafe code, and leave to write it, are in `allowed` only.
pub(crate) fn safety(file: &File, allowed: Option<&str>, findings: &mut Vec<String>) {
    if allowed.is_some() && file.layer() == allowed {
        return;
    }
    for mention in &file.source.mentions {
        if mention.path.iter().any(|part| part == "unsafe" || part == "unsafe_code") {
            findings.push(file.at(mention.line, "unsafe code does not belong here"));
        }
    }
}

/// Time and randomness are arguments.
pub(crate) fn clocks(file: &File, findings: &mut Vec<String>) {
    for mention in &file.source.mentions {
        let reads = mention.path.windows(2).any(|pair| pair == ["Instant", "now"]);
        if reads || mention.path.iter().any(|part| part == "SystemTime") {
            findings.push(file.at(mention.line, "the core reads no clock: take `Now`"));
        }
    }
}

/// Files, functions and lines that are too long to be read.
pub(crate) fn sizes(file: &File, findings: &mut Vec<String>) {
    let lines = file.text.lines().count() - file.source.test_lines;
    if lines > FILE_LINES_MAX && file.module.last().is_none_or(|name| name != "tests") {
        let what = format!("{lines} lines without tests, at most {FILE_LINES_MAX}: split it");
        findings.push(file.at(1, &what));
    }
    for function in &file.source.functions {
        if function.lines > FUNCTION_LINES_MAX && !function.in_tests && !file.is_tests() {
            let (name, lines) = (&function.name, function.lines);
            let what = format!("{name} has {lines} lines, at most {FUNCTION_LINES_MAX}: split it");
            findings.push(file.at(function.line, &what));
        }
    }
}

/// Public asynchronous functions say what becomes of their work when their future is dropped.
pub(crate) fn promises(file: &File, findings: &mut Vec<String>) {
    let mut says_so = false;
    for (number, line) in (1..).zip(file.text.lines().map(str::trim)) {
        if line.starts_with("pub async fn ") && !says_so {
            findings.push(file.at(number, "its documentation has no part `# Cancel safety`"));
        }
        let is_above = line.starts_with("///") || line.starts_with("#[");
        says_so = is_above && (says_so || line == "/// # Cancel safety");
    }
}

pub(crate) fn columns(path: &str, text: &str, findings: &mut Vec<String>) {
    for (number, line) in (1..).zip(text.lines()) {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            findings.push(format!("{path}:{number}: {columns} columns, at most {COLUMNS_MAX}"));
        }
    }
}

/// Folders that exist on somebody's machine only. In two halves, so that this file has none.
const HOMES: [(&str, &str); 5] =
    [("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/wo", "rk/"), ("C:\\Us", "ers\\")];

/// No absolute path of a machine.
pub(crate) fn paths(path: &str, text: &str, findings: &mut Vec<String>) {
    for (number, line) in (1..).zip(text.lines()) {
        for home in HOMES.map(|(first, second)| [first, second].concat()) {
            let begins_here = |at: usize| {
                let before = line[..at].chars().next_back();
                before.is_none_or(|before| !before.is_alphanumeric() && !"./-_}".contains(before))
            };
            if line.match_indices(&home).any(|(at, _)| begins_here(at)) {
                findings.push(format!("{path}:{number}: a path of one machine, {home}"));
            }
        }
    }
}
