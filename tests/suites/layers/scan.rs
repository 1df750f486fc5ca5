//! What a source file mentions: paths of identifiers, with their lines and whether tests alone do.
//!
//! Works on tokens, so comments and strings don't count and bodies of macros do.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A path such as `crate::pool::Lease`, or one identifier.
#[derive(Debug)]
pub(crate) struct Mention {
    /// Resolved as far as the file tells: `crate::`, `self::` and `super::` give the whole path
    /// from the crate's root, behind a first part `crate`.
    pub(crate) path: Vec<String>,
    pub(crate) line: usize,
    pub(crate) in_tests: bool,
}

/// A function's name, line, and the lines of its body.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
    pub(crate) in_tests: bool,
}

/// What was found in one file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) mentions: Vec<Mention>,
    pub(crate) functions: Vec<Function>,
    /// Names of modules that are declared at the top, with whether they are public.
    pub(crate) modules: Vec<(String, bool)>,
    /// Lines of items that exist in tests only.
    pub(crate) test_lines: usize,
    /// Where the walk is: inline modules, and whether in tests.
    module: Vec<String>,
    in_tests: bool,
}

impl Source {
    /// Reads `text`, which is the file of module `module`: its names from the crate's root.
    pub(crate) fn read(module: &[&str], text: &str) -> Result<Self, String> {
        let tokens: TokenStream = text.parse().map_err(|error| format!("not Rust: {error}"))?;
        let module = module.iter().map(|&name| name.to_owned()).collect();
        let mut source = Self { module, ..Self::default() };
        source.walk(tokens);
        Ok(source)
    }

    fn walk(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            match token {
                TokenTree::Punct(punct)
                    if punct.as_char() == '#'
                        && !self.in_tests
                        && is_cfg_test(tokens.get(at + 1)) =>
                {
                    at = self.walk_test_item(&tokens, at);
                    continue;
                }
                TokenTree::Ident(ident) if ident == "mod" => {
                    if let Some(next) = self.walk_module(&tokens, at) {
                        at = next;
                        continue;
                    }
                }
                TokenTree::Ident(ident) => {
                    if ident == "fn" {
                        self.note_function(&tokens, at);
                    }
                    at = self.walk_path(&[], &tokens, at);
                    continue;
                }
                TokenTree::Group(group) => self.walk(group.stream()),
                _ => {}
            }
            at += 1;
        }
    }

    /// An item behind `#[cfg(test)]`, from that on; returns where it ends.
    fn walk_test_item(&mut self, tokens: &[TokenTree], start: usize) -> usize {
        let ends = |token: &TokenTree| match token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            _ => false,
        };
        let len = tokens[start..].iter().position(ends).map_or(tokens.len() - start, |len| len + 1);
        let item = &tokens[start..start + len];
        self.in_tests = true;
        // Behind the attribute itself, or this would go on for ever.
        self.walk(item[2..].iter().cloned().collect());
        self.in_tests = false;
        self.test_lines += last_line(&item[len - 1]) - item[0].span().start().line + 1;
        start + len
    }

    /// `mod name { .. }` or `mod name;` at `start`.
    fn walk_module(&mut self, tokens: &[TokenTree], start: usize) -> Option<usize> {
        let TokenTree::Ident(name) = tokens.get(start + 1)? else { return None };
        match tokens.get(start + 2)? {
            TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                self.module.push(name.to_string());
                self.walk(body.stream());
                self.module.pop();
            }
            TokenTree::Punct(end) if end.as_char() == ';' => {
                let before = start.checked_sub(1).and_then(|before| tokens.get(before));
                let public = matches!(before, Some(TokenTree::Ident(word)) if word == "pub");
                self.modules.push((name.to_string(), public));
            }
            _ => return None,
        }
        Some(start + 3)
    }

    /// A path that begins at `start`, a tree of them in braces included; returns where it ends.
    fn walk_path(&mut self, prefix: &[String], tokens: &[TokenTree], start: usize) -> usize {
        let mut path = prefix.to_vec();
        let (mut at, line) = (start, tokens[start].span().start().line);
        while let Some(TokenTree::Ident(ident)) = tokens.get(at) {
            path.push(ident.to_string());
            at += 1;
            if !is_double_colon(tokens, at) {
                break;
            }
            at += 2;
            if let Some(TokenTree::Group(tree)) = tokens.get(at)
                && tree.delimiter() == Delimiter::Brace
            {
                self.walk_tree(&path, tree.stream());
                return at + 1;
            }
        }
        let path = self.resolve(path);
        self.mentions.push(Mention { path, line, in_tests: self.in_tests });
        at.max(start + 1)
    }

    fn walk_tree(&mut self, prefix: &[String], tree: TokenStream) {
        let tokens: Vec<TokenTree> = tree.into_iter().collect();
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at = match token {
                TokenTree::Ident(_) => self.walk_path(prefix, &tokens, at),
                _ => at + 1,
            };
        }
    }

    fn note_function(&mut self, tokens: &[TokenTree], start: usize) {
        let Some(TokenTree::Ident(name)) = tokens.get(start + 1) else { return };
        for token in &tokens[start..] {
            match token {
                TokenTree::Punct(punct) if punct.as_char() == ';' => return,
                TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => {
                    let line = name.span().start().line;
                    let lines = body.span_close().end().line - line + 1;
                    let (name, in_tests) = (name.to_string(), self.in_tests);
                    return self.functions.push(Function { name, line, lines, in_tests });
                }
                _ => {}
            }
        }
    }

    fn resolve(&self, path: Vec<String>) -> Vec<String> {
        let ups = path.iter().take_while(|part| *part == "super" || *part == "self").count();
        if ups == 0 {
            return path;
        }
        let supers = path.iter().take(ups).filter(|part| *part == "super").count();
        let base = self.module.len().saturating_sub(supers);
        let root = core::iter::once("crate".to_owned());
        root.chain(self.module[..base].iter().cloned()).chain(path[ups..].iter().cloned()).collect()
    }
}

fn is_double_colon(tokens: &[TokenTree], at: usize) -> bool {
    let colon = |token: Option<&TokenTree>, spacing: Option<Spacing>| match token {
        Some(TokenTree::Punct(punct)) => {
            punct.as_char() == ':' && spacing.is_none_or(|spacing| spacing == punct.spacing())
        }
        _ => false,
    };
    colon(tokens.get(at), Some(Spacing::Joint)) && colon(tokens.get(at + 1), None)
}

/// `[cfg(test)]`, `[cfg(all(test, ..))]`, `[test]`; not `[cfg(not(test))]`.
fn is_cfg_test(attribute: Option<&TokenTree>) -> bool {
    let Some(TokenTree::Group(attribute)) = attribute else { return false };
    let text: String = attribute.stream().to_string().split_whitespace().collect();
    text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

fn last_line(token: &TokenTree) -> usize {
    match token {
        TokenTree::Group(group) => group.span_close().end().line,
        _ => token.span().end().line,
    }
}
