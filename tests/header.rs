//! `include/hangup.h` is what the code says: `src/ffi/hangup.h.in` has its chapters and its prose, `src/ffi` its
//! functions, structures and handles (read by cbindgen), and `src/vocabulary.rs` its enumerations.
//!
//! A line of the template that begins with `@` lists names. Each is replaced by the declaration of that name, and
//! `prefix_*` by all declarations with that prefix that no other line names. `UPDATE_HEADER=1 cargo test --test header`
//! rewrites the header.

use std::fmt::Write as _;
use std::path::Path;

/// One declaration with its comment.
struct Item {
    name: String,
    text: String,
}

#[test]
fn the_header_is_what_the_code_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let template = std::fs::read_to_string(root.join("src/ffi/hangup.h.in")).expect("the template");
    let mut items: Vec<Item> = hangup::declarations().iter().map(enumeration).collect();
    items.extend(items_of(&cbindgen_output(root)));
    let text = composed(&template, &items);

    let path = root.join("include/hangup.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&path, &text).expect("include/hangup.h can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == text, "include/hangup.h is out of date: run `make header`");
}

/// The template with its names replaced. Every item has exactly one place.
fn composed(template: &str, items: &[Item]) -> String {
    let patterns: Vec<&str> = template
        .lines()
        .filter_map(|l| l.strip_prefix('@'))
        .flat_map(str::split_whitespace)
        .collect();
    let mut header = String::new();
    for line in template.lines() {
        let Some(names) = line.strip_prefix('@') else {
            writeln!(header, "{line}").expect("a String takes all");
            continue;
        };
        let mut texts = Vec::new();
        for pattern in names.split_whitespace() {
            let here: Vec<&str> = items
                .iter()
                .filter(|item| place_of(&item.name, &patterns) == pattern)
                .map(|item| item.text.as_str())
                .collect();
            assert!(!here.is_empty(), "{pattern} in the template stands for nothing");
            texts.extend(here);
        }
        // Lists that follow each other are one list.
        if header.ends_with("\n@\n") {
            header.truncate(header.len() - 2);
            header.push('\n');
        }
        writeln!(header, "{}\n@", texts.join("\n\n")).expect("a String takes all");
    }
    header.replace("\n@\n", "\n")
}

/// The pattern that names an item: the whole name, or else the longest prefix.
fn place_of<'a>(name: &str, patterns: &[&'a str]) -> &'a str {
    let prefix = |pattern: &str| pattern.strip_suffix('*').is_some_and(|p| name.starts_with(p));
    let exact: Vec<_> = patterns.iter().filter(|pattern| **pattern == name).collect();
    assert!(exact.len() < 2, "{name} stands twice in the template");
    exact
        .first()
        .copied()
        .or_else(|| patterns.iter().filter(|p| prefix(p)).max_by_key(|p| p.len()))
        .unwrap_or_else(|| panic!("{name} has no place in src/ffi/hangup.h.in"))
}

fn cbindgen_output(root: &Path) -> String {
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml")).expect("cbindgen.toml");
    let bindings = cbindgen::Builder::new()
        .with_crate(root)
        .with_config(config)
        .generate()
        .expect("src/ffi is what cbindgen can read");
    let mut text = Vec::new();
    bindings.write(&mut text);
    String::from_utf8(text).expect("a header is UTF-8")
}

/// cbindgen writes one declaration after the other, with an empty line between them. Public types of the core are
/// among them if they have constants; they are left out.
fn items_of(output: &str) -> impl Iterator<Item = Item> {
    let item = |text: &str| Some(Item { name: name_of(text)?, text: with_short_comments(text) });
    output.trim().split("\n\n").filter_map(item)
}

/// Comments of one line without lines for their ends.
fn with_short_comments(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let before = lines.len().checked_sub(2).map(|at| lines[at].trim_start().to_owned());
        if line.trim_start() == "*/" && before.as_deref() == Some("/**") {
            let comment = lines.pop().unwrap_or_default();
            let comment = comment.trim_start().trim_start_matches("* ");
            let begin = lines.pop().unwrap_or_default();
            lines.push(format!("{begin} {comment} */"));
        } else {
            lines.push(line.to_owned());
        }
    }
    lines.join("\n")
}

/// The name of the ABI that a declaration with its comment declares.
fn name_of(text: &str) -> Option<String> {
    let declaration = text.rsplit_once("*/\n").map_or(text, |(_, last)| last);
    let declaration = declaration.rsplit_once("} ").map_or(declaration, |(_, name)| name);
    let before = match (declaration.split_once("(*"), declaration.split_once('(')) {
        (Some((_, callback)), _) => callback.split(')').next()?,
        (None, Some((function, _))) => function,
        (None, None) => declaration.trim_end_matches(';'),
    };
    let name = before.rsplit(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    name.starts_with("hangup_").then(|| name.to_owned())
}

/// A vocabulary as a C enumeration.
fn enumeration(declaration: &hangup::Declaration) -> Item {
    let mut text = comment(declaration.documentation, "");
    text.push_str("typedef enum HANGUP_ENUM_TYPE {\n");
    if declaration.c_type == "hangup_status" {
        text.push_str(&comment(&["Success."], "    "));
        text.push_str("    HANGUP_OK = 0,\n");
    }
    for value in declaration.values {
        text.push_str(&comment(value.documentation, "    "));
        writeln!(text, "    {} = {},", declaration.constant(value), value.number)
            .expect("a String takes all");
    }
    write!(text, "}} {};", declaration.c_type).expect("a String takes all");
    Item { name: declaration.c_type.to_owned(), text }
}

fn comment(lines: &[&str], indent: &str) -> String {
    if let [line] = lines {
        return format!("{indent}/** {} */\n", line.trim());
    }
    let lines: String = lines
        .iter()
        .map(|line| format!("{indent} * {}", line.trim()).trim_end().to_owned() + "\n")
        .collect();
    format!("{indent}/**\n{lines}{indent} */\n")
}
