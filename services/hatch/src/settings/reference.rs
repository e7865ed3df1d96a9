//! `docs/configuration.md`, written from the types: a key is there because it is a field, with the
//! field's documentation, and with the value that it has where nothing is set.

use hatch_providers::PROVIDERS;
use serde_json::{Value, json};

use super::load::defaults_of_up;
use super::{data_dir, environment, sections};

/// What the page says before its tables.
const INTRODUCTION: &str = "\
# Configuration

<!-- Written by `just configuration` from the types of services/hatch/src/settings.rs: change those. -->

This page lists every setting of hatch: its key, its variable, its default and its meaning. The
[vocabulary](VOCABULARY.md) explains words such as lease, park and quarantine.

hatch reads `hatch.toml` in the current directory, or the file that `HATCH_CONFIG` names, and then the
variables of the environment, which win. A variable is `HATCH_` and the key in capitals, with `__` where the
key has a dot. Without either, hatch runs on the defaults below.

```toml
# hatch.toml
public_url = \"https://hatch.example.com\"

[dispatcher.retry]
attempts_max = 5
```

```console
$ export HATCH_DISPATCHER__RETRY__ATTEMPTS_MAX=5                  # the same
$ export HATCH_DISPATCHER__LOOK_UPS_MS=30000,120000               # a list
$ export HATCH_DISPATCHER__IN_DOUBT__MAIN=wait                    # a value by name
$ export HATCH_JWT='[{\"name\": \"staff\"}]'                       # a list of tables, as JSON
$ export HATCH_DATABASE_URL_FILE=/run/secrets/database-url        # any value may be the content of a file
```

A variable and its `..._FILE` together are refused.
An unknown key or a bad value stops the start with the key's name and what was expected; `hatch doctor`
says so without starting anything. Where `hatch up` starts servers and a simulator of its own, some defaults
are others, so that whatever can happen ends within a minute; they stand in the column `up`.

Keys ending in `_ms` are milliseconds. The sections of accounts (PROVIDERS, `generic`) are there or not: what is required is
so where any of their keys is set. A section that is called as a provider is the account of that name; several of a provider,
or some of few tenants, are set as `accounts.NAME`.

`serve` and `up` read file and variables again at `SIGHUP`. Accounts, `routes`, `pools`, `rate_limit` (but for `enabled` and `window_s`),
`jwt` and `log.filter` take effect at once; a line of the log names the others that have changed, which do at the next start. What
cannot be read leaves everything as it was, and the log says why.
";

/// The whole page.
fn page() -> String {
    let mut up = defaults_of_up();
    let folder = data_dir();
    let accounts = sections::of_up("http://127.0.0.1:8089", &folder);
    for account in accounts.into_iter().filter(|one| one.name.as_str() == one.provider) {
        up[account.provider] = account.set;
    }
    let names = PROVIDERS.iter().map(|provider| format!("`{}`", provider.name()));
    let mut page = INTRODUCTION.replace("PROVIDERS", &names.collect::<Vec<_>>().join(", "));
    section(&mut page, "", &environment::schema(), &up);
    page
}

/// A table of the keys at `path` that have a value, and then a section for each that has keys.
fn section(page: &mut String, path: &str, schema: &Value, up: &Value) {
    let keys = schema["properties"].as_object().expect("the schema of an object");
    let (sections, values): (Vec<_>, Vec<_>) = keys
        .iter()
        .partition(|(_, schema)| schema.get("properties").is_some() || of_names(schema).is_some());
    let inner = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    if path.is_empty() {
        page.push_str("\n## Top level\n");
    } else {
        page.push_str(&format!("\n## `{path}`\n\n{}\n", description(schema)));
    }
    page.push_str("\n| key and variable | value | default | `up` | |\n|---|---|---|---|---|\n");
    let lists: Vec<_> = values.iter().filter(|(_, value)| has_tables(value)).copied().collect();
    for (key, value) in values {
        let required = schema["required"].as_array().is_some_and(|all| all.contains(&json!(key)));
        page.push_str(&row(&inner(key), value, required, &up[key]));
    }
    for (key, value) in lists {
        list(page, &inner(key), &value["items"]);
    }
    for (key, value) in sections {
        match of_names(value) {
            Some(each) => section(page, &format!("{}.NAME", inner(key)), each, &Value::Null),
            None => section(page, &inner(key), value, &up[key]),
        }
    }
}

/// Whether it is a list whose items have keys of their own.
fn has_tables(schema: &Value) -> bool {
    schema["items"].get("properties").is_some()
}

/// A table of the keys that each item of the list at `path` has.
fn list(page: &mut String, path: &str, item: &Value) {
    page.push_str(&format!("\n## `[[{path}]]`\n\n{}\n", description(item)));
    page.push_str("\n| key | value | default | |\n|---|---|---|---|\n");
    for (key, value) in item["properties"].as_object().expect("the schema of an object") {
        let default = match &value["default"] {
            default if default.is_null() => String::new(),
            default => format!("`{default}`"),
        };
        let (kind, description) = (kind(value), description(value));
        page.push_str(&format!("| `{key}` | {kind} | {default} | {description} |\n"));
    }
}

/// The schema of each section in a section of names.
fn of_names(schema: &Value) -> Option<&Value> {
    schema.get("additionalProperties").filter(|each| each.get("properties").is_some())
}

fn row(path: &str, schema: &Value, required: bool, up: &Value) -> String {
    let variable = format!("HATCH_{}", path.to_ascii_uppercase().replace('.', "__"));
    let default = match &schema["default"] {
        _ if required => "required".to_owned(),
        default if default.is_null() => String::new(),
        default => format!("`{default}`"),
    };
    let up = if up.is_null() { String::new() } else { format!("`{up}`") };
    let (kind, description) = (kind(schema), description(schema));
    format!("| `{path}`<br>`{variable}` | {kind} | {default} | {up} | {description} |\n")
}

/// The documentation of the type or field, in one line.
fn description(schema: &Value) -> String {
    schema["description"].as_str().expect("everything is documented").replace('\n', " ")
}

/// What a value looks like.
fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["oneOf"].as_array() {
        let choices =
            choices.iter().map(|choice| format!("`{}`", choice["const"].as_str().expect("a name")));
        return choices.collect::<Vec<_>>().join(", ");
    }
    match (environment::kind(schema), schema["format"].as_str()) {
        (Some("string"), Some("password")) => "secret".to_owned(),
        (Some("string"), Some("uri")) => "URL".to_owned(),
        (Some("string"), _) => "text".to_owned(),
        (Some("integer"), _) => "integer".to_owned(),
        (Some("number"), _) => "number".to_owned(),
        (Some("boolean"), _) => "`true` or `false`".to_owned(),
        (Some("array"), _) if has_tables(schema) => "list of tables".to_owned(),
        (Some("array"), _) => format!("list: {}", kind(&schema["items"])),
        (Some("object"), _) => format!("by name: {}", kind(&schema["additionalProperties"])),
        _ => panic!("no words for {schema}"),
    }
}

#[test]
fn the_page_is_the_one_in_docs() {
    let page = page();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    if std::env::var_os("HATCH_TEST_WRITE").is_some() {
        std::fs::write(path, &page).expect("written");
    }
    let written = std::fs::read_to_string(path).expect("docs/configuration.md");
    assert!(written == page, "docs/configuration.md is out of date: run just configuration");
}
