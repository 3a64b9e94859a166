//! The module tree of `src` as its text gives it: which file declares which module, and which file uses which.
//!
//! Reads tokens, not types: a method call on a value of another file is no use of that file, a path and an
//! import are. Items under `#[cfg(test)]` are left out, and so are comments and string literals.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The files that the library is made of, without its tests.
pub struct Sources {
    pub files: Vec<File>,
    /// Every module, inline ones included, by its path from the crate's root.
    modules: BTreeMap<Vec<String>, Module>,
}

pub struct File {
    /// From the package's folder: `src/net/tls.rs`.
    pub path: String,
    /// Its text without comments, string literals and test items, line by line.
    pub code: String,
    module: Vec<String>,
}

#[derive(Default)]
struct Module {
    file: String,
    /// Names that a `use` brings in, and where they come from.
    imports: BTreeMap<String, Vec<String>>,
    /// Modules of which a `use` brings in everything.
    globs: Vec<Vec<String>>,
}

/// A `use` of one name, or of all names if it is `*`.
struct Import {
    name: String,
    path: Vec<String>,
    reexport: bool,
}

/// That one file uses another, and a path by which it does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    pub from: String,
    pub to: String,
    pub path: String,
}

impl Sources {
    pub fn of_this_package() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = Self { files: Vec::new(), modules: BTreeMap::new() };
        sources.read(root, "src/lib.rs", &[]);
        assert!(sources.files.len() > 50, "the module tree could not be read");
        sources
    }

    /// From texts by their path, of which the first is the root.
    pub fn of_texts(texts: &[(&str, &str, &[&str])]) -> Self {
        let mut sources = Self { files: Vec::new(), modules: BTreeMap::new() };
        for (path, text, module) in texts {
            let module: Vec<String> = module.iter().map(|&name| name.to_owned()).collect();
            sources.add(path, text, &module);
        }
        sources
    }

    fn read(&mut self, root: &Path, path: &str, module: &[String]) {
        let text = fs::read_to_string(root.join(path)).expect("a source file");
        for child in self.add(path, &text, module) {
            let folder = match path.rsplit_once('/').expect("a folder") {
                (folder, "lib.rs" | "mod.rs") => folder.to_owned(),
                _ => path.trim_end_matches(".rs").to_owned(),
            };
            let file = format!("{folder}/{child}.rs");
            let file =
                if root.join(&file).exists() { file } else { format!("{folder}/{child}/mod.rs") };
            self.read(root, &file, &[module, &[child]].concat());
        }
    }

    /// Adds a file; returns the names of the modules that it declares in files of their own.
    fn add(&mut self, path: &str, text: &str, module: &[String]) -> Vec<String> {
        let code = without_tests(&without_comments_and_strings(text));
        self.modules.insert(module.to_vec(), Module { file: path.into(), ..Module::default() });
        let mut declared = Vec::new();
        scan(&code, module, |inside, found| match found {
            Found::Module { name, inline: true } => {
                let inline = [inside, &[name.to_owned()]].concat();
                self.modules.insert(inline, Module { file: path.into(), ..Module::default() });
            }
            Found::Module { name, inline: false } => declared.push(name.to_owned()),
            Found::Import(_) | Found::Path(_) => {}
        });
        self.files.push(File { path: path.into(), code, module: module.to_vec() });
        declared
    }

    /// Which file uses which, sorted; what several paths show is in it once.
    pub fn uses(mut self) -> Vec<Use> {
        self.note_imports();
        let mut uses = BTreeMap::new();
        for file in &self.files {
            for (to, path) in self.used_by(file) {
                uses.entry((file.path.clone(), to)).or_insert(path);
            }
        }
        uses.into_iter().map(|((from, to), path)| Use { from, to, path }).collect()
    }

    fn note_imports(&mut self) {
        let mut imports = Vec::new();
        for file in &self.files {
            scan(&file.code, &file.module, |inside, found| {
                if let Found::Import(import) = found {
                    imports.push((inside.to_vec(), import));
                }
            });
        }
        for (inside, import) in imports {
            let Some(path) = self.absolute(&inside, &import.path) else { continue };
            let module = self.modules.get_mut(&inside).expect("a module");
            if import.name == "*" {
                module.globs.push(path);
            } else {
                module.imports.insert(import.name, path);
            }
        }
    }

    fn used_by(&self, file: &File) -> BTreeSet<(String, String)> {
        let mut used = BTreeSet::new();
        let words: Vec<&str> = tokens(&file.code);
        scan(&file.code, &file.module, |inside, found| {
            let path = match found {
                // A name that is only passed on is no use of it.
                Found::Import(import) if import.reexport => {
                    let count = words.iter().filter(|word| **word == import.name).count();
                    if count < 2 {
                        return;
                    }
                    import.path
                }
                Found::Import(import) => import.path,
                Found::Path(path) => path,
                Found::Module { .. } => return,
            };
            let Some(absolute) = self.absolute(inside, &path) else { return };
            // A module that is imported is used by the paths that begin with its name.
            if self.modules.contains_key(&absolute) {
                return;
            }
            if let Some(to) = self.file_of(&absolute, 0)
                && to != file.path
            {
                used.insert((to, path.join("::")));
            }
        });
        used
    }

    /// A path as it is written in a module, from the crate's root; `None` if it leads out of the crate.
    fn absolute(&self, inside: &[String], path: &[String]) -> Option<Vec<String>> {
        let mut rest = path;
        let mut base = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => inside.to_vec(),
            "super" => inside[..inside.len().checked_sub(1)?].to_vec(),
            name => {
                let child = [inside, &[name.to_owned()]].concat();
                if self.modules.contains_key(&child) {
                    child
                } else {
                    let imported = self.modules.get(inside)?.imports.get(name)?;
                    self.modules.contains_key(imported).then(|| imported.clone())?
                }
            }
        };
        rest = &rest[1..];
        while rest.first().is_some_and(|name| name == "super") {
            base.pop()?;
            rest = &rest[1..];
        }
        base.extend_from_slice(rest);
        Some(base)
    }

    /// Where what a path names is written, through all `pub use`.
    fn file_of(&self, path: &[String], depth: usize) -> Option<String> {
        assert!(depth < 20, "{path:?} leads in a circle of imports");
        let known = (0..=path.len()).rev().find(|end| self.modules.contains_key(&path[..*end]))?;
        let module = &self.modules[&path[..known]];
        let Some(name) = path.get(known) else { return Some(module.file.clone()) };
        if let Some(from) = module.imports.get(name) {
            return self.file_of(&[from.as_slice(), &path[known + 1..]].concat(), depth + 1);
        }
        Some(module.file.clone())
    }
}

/// What a scan of a file comes upon.
enum Found<'a> {
    Module { name: &'a str, inline: bool },
    Import(Import),
    Path(Vec<String>),
}

/// Reads a file's tokens from its beginning to its end. `module` is the file's own; inline modules are
/// entered.
fn scan(code: &str, module: &[String], mut found: impl FnMut(&[String], Found<'_>)) {
    let tokens = tokens(code);
    let mut inside = module.to_vec();
    // The depth of braces at which each open inline module ends.
    let (mut depth, mut ends) = (0, Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        match tokens[at] {
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                if ends.last() == Some(&depth) {
                    ends.pop();
                    inside.pop();
                }
            }
            "mod" if at + 2 < tokens.len() => {
                let (name, inline) = (tokens[at + 1], tokens[at + 2] == "{");
                found(&inside, Found::Module { name, inline });
                if inline {
                    inside.push(name.to_owned());
                    ends.push(depth);
                    depth += 1;
                }
                at += 2;
            }
            "use" if tokens.get(at + 1) != Some(&"<") => {
                let reexport = at > 0 && matches!(tokens[at - 1], "pub" | ")");
                at += 1;
                let mut imports = Vec::new();
                read_tree(&tokens, &mut at, &[], reexport, &mut imports);
                imports.into_iter().for_each(|import| found(&inside, Found::Import(import)));
            }
            first if is_word(first) && tokens.get(at + 1) == Some(&"::") => {
                let mut path = vec![first.to_owned()];
                while tokens.get(at + 1) == Some(&"::")
                    && tokens.get(at + 2).is_some_and(|next| is_word(next))
                {
                    path.push(tokens[at + 2].to_owned());
                    at += 2;
                }
                found(&inside, Found::Path(path));
            }
            _ => {}
        }
        at += 1;
    }
}

/// Reads `a::{b, c::d as e}` into its imports; leaves `at` behind its last token.
fn read_tree(
    tokens: &[&str],
    at: &mut usize,
    before: &[String],
    reexport: bool,
    into: &mut Vec<Import>,
) {
    let mut path = before.to_vec();
    while *at < tokens.len() {
        match tokens[*at] {
            "::" => {}
            "{" => {
                *at += 1;
                while tokens[*at] != "}" {
                    read_tree(tokens, at, &path, reexport, into);
                    if tokens[*at] == "," {
                        *at += 1;
                    }
                }
                *at += 1;
                return;
            }
            "," | ";" | "}" => break,
            "as" => {
                let name = tokens[*at + 1].to_owned();
                *at += 2;
                into.push(Import { name, path, reexport });
                return;
            }
            "*" => {
                into.push(Import { name: "*".into(), path: path.clone(), reexport });
                *at += 1;
                return;
            }
            // `a::{self}` is `a`.
            "self" if !path.is_empty() => {}
            word => path.push(word.to_owned()),
        }
        *at += 1;
    }
    if let Some(name) = path.last().cloned() {
        into.push(Import { name, path, reexport });
    }
}

fn tokens(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code;
    while let Some(first) = rest.chars().next() {
        let size = if is_word_part(first) {
            rest.find(|c| !is_word_part(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        if !first.is_whitespace() {
            tokens.push(&rest[..size]);
        }
        rest = &rest[size..];
    }
    tokens
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Blanks comments and the insides of string and character literals; line breaks stay.
pub fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let size = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(size) = literal(rest, code.chars().next_back()) {
            code.push_str("\"\"");
            size
        } else {
            code.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        code.extend(rest[..size].chars().filter(|c| *c == '\n'));
        rest = &rest[size..];
    }
    code
}

/// The size of the string or character literal that a text begins with.
fn literal(text: &str, before: Option<char>) -> Option<usize> {
    let after_word = before.is_some_and(is_word_part);
    if text.starts_with('"') {
        return Some(quoted(text, '"'));
    }
    if let Some(rest) = text.strip_prefix('r').filter(|_| !after_word || before == Some('b')) {
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if rest[hashes..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let size = rest[hashes + 1..].find(&end).expect("the end of a raw string");
            return Some(1 + hashes + 1 + size + end.len());
        }
    }
    // 'a' and '\n', but not the lifetime in &'a.
    let mut chars = text.strip_prefix('\'')?.chars();
    let first = chars.next()?;
    (first == '\\' || chars.next() == Some('\'')).then(|| quoted(text, '\''))
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Blanks the items that stand under `#[cfg(test)]`, or under a `cfg(all(test, ...))`.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) =
        ["#[cfg(test)]", "#[cfg(all(test"].iter().filter_map(|attribute| rest.find(attribute)).min()
    {
        kept.push_str(&rest[..at]);
        let size = item_size(&rest[at..]);
        kept.extend(rest[at..at + size].chars().filter(|c| *c == '\n'));
        rest = &rest[at + size..];
    }
    kept + rest
}

/// From an attribute to the end of its item: a `;` or `,` outside of all brackets, or a closed block.
fn item_size(code: &str) -> usize {
    let (mut depth, mut attribute) = (0, false);
    for (at, c) in code.char_indices() {
        match c {
            '#' if depth == 0 => attribute = true,
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth -= 1;
                if depth < 0 {
                    return at;
                }
                if depth == 0 && c == '}' {
                    return at + 1;
                }
                if depth == 0 && c == ']' && attribute {
                    attribute = false;
                }
            }
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}
