//! `docker-compose.yml`, as far as it goes: maps, lists, text, and anchors that are merged.

use std::collections::{BTreeMap, VecDeque};

use serde_json::{Map, Value};

/// The services of a file.
pub(crate) struct Compose(Value);

/// What a service is started with.
pub(crate) struct Service {
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// Files with more of it, which the environment goes before.
    pub(crate) env_files: Vec<String>,
}

impl Compose {
    /// Reads `text`, in which `${NAME:?...}` stands for a variable, and `${NAME:-...}` for one that need not be.
    pub(crate) fn read(text: &str, variables: &BTreeMap<String, String>) -> Self {
        let text = filled(text, variables);
        let lines = text.lines().filter(|line| {
            let text = line.trim_start();
            !text.is_empty() && !text.starts_with('#')
        });
        let line = |line: &str| Line {
            indent: line.len() - line.trim_start().len(),
            text: line.trim().to_owned(),
        };
        let mut lines: VecDeque<Line> = lines.map(line).collect();
        let read = block(&mut lines, &mut Map::new());
        assert!(lines.is_empty(), "all of it is understood: {:?}", lines.front());
        Self(read)
    }

    pub(crate) fn service(&self, name: &str) -> Service {
        let service = &self.0["services"][name];
        let environment = service["environment"].as_object().into_iter().flatten();
        let files = service["env_file"].as_array().into_iter().flatten();
        Service {
            env_files: files.map(|file| text(&file["path"])).collect(),
            command: texts(&service["command"]),
            environment: environment.map(|(name, value)| (name.clone(), text(value))).collect(),
        }
    }
}

#[derive(Debug)]
struct Line {
    indent: usize,
    text: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("text: {value}")).to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// `text` with its variables.
fn filled(text: &str, variables: &BTreeMap<String, String>) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (variable, rest) = part.split_once('}').expect("it ends");
        let (name, otherwise) = variable.split_once(':').unwrap_or((variable, ""));
        let value = variables.get(name).map(String::as_str);
        filled +=
            value.or_else(|| otherwise.strip_prefix('-')).unwrap_or_else(|| panic!("no {name}"));
        filled += rest;
    }
    filled
}

/// The map or the list that begins here.
fn block(lines: &mut VecDeque<Line>, anchors: &mut Map<String, Value>) -> Value {
    let Some(first) = lines.front() else { return Value::Null };
    let indent = first.indent;
    if first.text.starts_with("- ") {
        let mut list = Vec::new();
        while lines.front().is_some_and(|line| line.indent == indent && line.text.starts_with("- "))
        {
            let text = lines.pop_front().map(|line| line.text[2..].to_owned()).unwrap_or_default();
            let is_map = key_value(&text).is_some();
            if is_map {
                lines.push_front(Line { indent: indent + 2, text: text.clone() });
            }
            list.push(if is_map { block(lines, anchors) } else { scalar(&text) });
        }
        return list.into();
    }
    let mut map = Map::new();
    while let Some(line) = lines.front().filter(|line| line.indent == indent) {
        let Some((key, rest)) = key_value(&line.text) else { panic!("a key: {line:?}") };
        let (key, rest) = (key.to_owned(), rest.to_owned());
        lines.pop_front();
        let anchor = rest.strip_prefix('&').map(str::to_owned);
        let nested = rest.is_empty() || anchor.is_some();
        let deeper = lines.front().is_some_and(|next| next.indent > indent);
        let value = match (nested, deeper) {
            (true, true) => block(lines, anchors),
            (true, false) => Value::Null,
            (false, _) => scalar(&rest),
        };
        if let Some(name) = rest.strip_prefix('*').filter(|_| key == "<<") {
            map.extend(anchors[name].as_object().expect("a map").clone());
        } else if let Some(name) = anchor {
            anchors.insert(name, value.clone());
            map.insert(key, value);
        } else {
            map.insert(key, value);
        }
    }
    map.into()
}

fn key_value(text: &str) -> Option<(&str, &str)> {
    if text.starts_with(['"', '[']) {
        return None;
    }
    text.split_once(": ").or_else(|| Some((text.strip_suffix(':')?, "")))
}

fn scalar(text: &str) -> Value {
    let bare = |text: &str| Value::String(text.trim().trim_matches('"').to_owned());
    match text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        Some(list) => list.split(',').map(bare).collect(),
        None => bare(text),
    }
}

#[test]
fn a_service_has_what_it_says_and_what_it_merges() {
    let text = "
x-base: &base
  environment: &environment
    URL: postgres://a:${PASSWORD:?draw it}@b/c?d=e&f=g
    ADDRESS: ${ADDRESS:-http://127.0.0.1:1}
  networks: [one, two]
services:
  # One of its own.
  first:
    <<: *base
    command: [serve, --roles, \"first\"]
  second:
    <<: *base
    environment:
      <<: *environment
      URL: other
    env_file:
      - path: some.env
        required: false
    command:
      - second
      - -cssl=on
volumes:
  data:
";
    let variables = BTreeMap::from([("PASSWORD".to_owned(), "secret".to_owned())]);
    let compose = Compose::read(text, &variables);
    let first = compose.service("first");
    assert_eq!(first.command, ["serve", "--roles", "first"]);
    assert_eq!(first.environment["URL"], "postgres://a:secret@b/c?d=e&f=g");
    let second = compose.service("second");
    assert_eq!(second.command, ["second", "-cssl=on"]);
    assert_eq!(second.environment["URL"], "other");
    assert_eq!(second.environment["ADDRESS"], "http://127.0.0.1:1");
    assert_eq!((first.env_files, second.env_files), (vec![], vec!["some.env".to_owned()]));
}
