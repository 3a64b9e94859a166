//! The naming rule of the C ABI, as the top of the header states it.

#[path = "c/abi.rs"]
mod abi;

use std::collections::BTreeSet;

/// What a function of the whole process or thread is named.
const WITHOUT_NOUN: &[&str] = &[
    "hangup_features",
    "hangup_has_feature",
    "hangup_set_interrupt_check",
    "hangup_set_io_threads",
    "hangup_version",
    "hangup_version_text",
];

/// What a function does that changes what its handle stands for, beside set, add and clear.
const VERBS: &[&str] = &[
    "add",
    "close",
    "close_all",
    "close_connection",
    "close_idle",
    "close_origin",
    "download",
    "drain",
    "drive",
    "fire",
    "fire_after",
    "free_body",
    "get",
    "load_cookies",
    "network_changed",
    "next",
    "preconnect",
    "read",
    "read_all",
    "read_available",
    "read_full",
    "remove_header",
    "send",
    "shutdown",
    "shutdown_write",
    "submit",
    "take_stream",
    "write_all",
    "write",
    "try_write",
    "finish",
    "abort",
];

/// The parts of a function's declaration.
struct Function {
    name: String,
    returns: String,
    parameters: Vec<String>,
}

/// The header's declarations, sorted by what they are.
#[derive(Default)]
struct Header {
    handles: BTreeSet<String>,
    enumerations: Vec<(String, Vec<String>)>,
    callbacks: Vec<String>,
    others: Vec<String>,
    functions: Vec<Function>,
}

impl Header {
    fn read() -> Header {
        let mut header = Header::default();
        for statement in statements(&abi::header_declarations()) {
            if let Some(rest) = statement.strip_prefix("typedef enum HANGUP_ENUM_TYPE {") {
                let (values, name) = rest.split_once('}').expect("an end");
                let values = values.split(',').filter(|value| !value.trim().is_empty());
                let names = values.map(|value| value.split('=').next().expect("a name").trim());
                let names = names.map(str::to_owned).collect();
                header.enumerations.push((name.trim().to_owned(), names));
            } else if let Some((_, rest)) = statement.split_once("(*") {
                header.callbacks.push(rest.split(')').next().expect("a name").to_owned());
            } else if let Some(rest) = statement.strip_prefix("typedef struct {") {
                header.others.push(rest.rsplit('}').next().expect("a name").trim().to_owned());
            } else if let Some(rest) = statement.strip_prefix("typedef struct ") {
                header.handles.insert(rest.split(' ').next().expect("a name").to_owned());
            } else if !statement.starts_with("_Static_assert") && !statement.starts_with("extern") {
                header.functions.push(function(&statement));
            }
        }
        assert_eq!(header.functions.len(), abi::header_functions().len());
        header
    }
}

fn statements(code: &str) -> Vec<String> {
    let code = code.replace("extern \"C\" {", "");
    let (mut found, mut depth, mut begin) = (Vec::new(), 0, 0);
    for (at, letter) in code.char_indices() {
        depth += i32::from(letter == '{') - i32::from(letter == '}');
        if letter == ';' && depth == 0 {
            found.push(code[begin..at].split_whitespace().collect::<Vec<_>>().join(" "));
            begin = at + 1;
        }
    }
    found
}

fn function(statement: &str) -> Function {
    let (before, parameters) = statement.split_once('(').unwrap_or_else(|| panic!("{statement}"));
    let at = before.rfind([' ', '*']).expect("a type before the name") + 1;
    Function {
        name: before[at..].to_owned(),
        returns: before[..at].trim().to_owned(),
        parameters: parameters.trim_end_matches(')').split(", ").map(str::to_owned).collect(),
    }
}

#[test]
fn every_function_is_named_for_its_noun_and_what_it_does() {
    let header = Header::read();
    for Function { name, returns, parameters } in &header.functions {
        assert!(!name.contains("_get_") && !name.ends_with("_clone"), "{name}");
        let text = name.strip_suffix("_text").is_some_and(|stem| {
            header.enumerations.iter().any(|(enumeration, _)| enumeration == stem)
        });
        if text || WITHOUT_NOUN.contains(&name.as_str()) {
            continue;
        }
        let noun = header
            .handles
            .iter()
            .filter(|handle| name.starts_with(&format!("{handle}_")))
            .max_by_key(|handle| handle.len())
            .unwrap_or_else(|| panic!("{name} has no noun"));
        let what = &name[noun.len() + 1..];
        let changes = ["set_", "add_", "clear_"].iter().any(|verb| what.starts_with(verb));
        let is_self = |parameter: &String| {
            parameter.trim_start_matches("const ").starts_with(&format!("{noun} *"))
        };
        match what {
            "new" | "new_as_given" | "new_connect" | "shared" | "child" | "copy" => {
                let made = format!("{noun} *");
                assert!(
                    *returns == made
                        || parameters.iter().any(|p| p.starts_with(&format!("{made}*"))),
                    "{name} makes no handle"
                );
            }
            "ref" => assert!(*returns == format!("{noun} *") && is_self(&parameters[0]), "{name}"),
            "free" => assert!(returns == "void" && parameters.len() == 1, "{name}"),
            _ => {
                assert!(is_self(&parameters[0]), "the first parameter of {name} is its handle");
                // A property reads: it takes a const handle, or makes another handle.
                let property = parameters[0].starts_with("const ")
                    || parameters.iter().any(|parameter| parameter.contains("**events"));
                let verb = VERBS.contains(&what) || what.starts_with("submit");
                assert!(
                    property || verb || changes,
                    "{name} changes its {noun}: name it set_, add_, clear_ or a verb of the list"
                );
                assert!(!changes || returns == "hangup_status", "{name} can't say that it failed");
            }
        }
    }
}

#[test]
fn every_handle_can_be_freed() {
    let functions = abi::header_functions();
    for handle in Header::read().handles {
        // These live as long as one call of a function of the caller.
        if handle != "hangup_addresses" && handle != "hangup_token" {
            assert!(functions.contains(&format!("{handle}_free")), "{handle}_free");
        }
    }
}

#[test]
fn every_constant_is_named_for_its_type_and_has_a_name_at_run_time() {
    let header = Header::read();
    assert!(header.enumerations.len() > 10);
    for (name, constants) in &header.enumerations {
        let prefix = match name.as_str() {
            "hangup_status" => "HANGUP_".to_owned(),
            name => format!("{}_", name.to_uppercase()),
        };
        for constant in constants {
            assert!(constant.starts_with(&prefix), "{constant} of {name}");
        }
        let text = header.functions.iter().find(|f| f.name == format!("{name}_text"));
        let text = text.unwrap_or_else(|| panic!("{name}_text"));
        assert!(text.returns == "const char *" && text.parameters[0].starts_with(name), "{name}");
    }
}

#[test]
fn only_types_of_functions_end_with_fn() {
    let header = Header::read();
    assert!(header.callbacks.iter().all(|name| name.ends_with("_fn")), "{:?}", header.callbacks);
    let others = header.handles.iter().chain(&header.others);
    let others = others.chain(header.enumerations.iter().map(|(name, _)| name));
    for name in others {
        assert!(!name.ends_with("_fn"), "{name}");
    }
}
