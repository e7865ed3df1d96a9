//! What `docs/ARCHITECTURE.md` says of each invariant that a constraint or the sources keep it, is so.

use std::collections::BTreeSet;
use std::path::PathBuf;

use cargo_metadata::DependencyKind;
use hatch_domain::{KINDS, event_types};

use crate::architecture::{packages, root};

/// Tables whose rows are no tenant's: what they hold is of the log as a whole, or of the installation.
const OF_NOBODY: [&str; 18] = [
    // Its client is a key, which has a tenant, or an address, which has none.
    "access.rate_limits",
    // Its key is of an address or an email, which may be nobody's.
    "access.sign_in_attempts",
    // What each dispatcher has seen of the accounts that are set.
    "dispatch.accounts",
    // Of all messages by an account, whosever they are.
    "dispatch.balance",
    // Of an account, or of a tenant that its key names.
    "dispatch.buckets",
    "dispatch.outcomes",
    "dispatch.progress",
    "es.archives",
    "es.bus_generations",
    "es.checkpoints",
    // Its key is computed from the tenant.
    "es.commands",
    "es.epoch_secrets",
    "es.log_epoch",
    "es.log_regressions",
    // Parts of webhooks, whose rows have one.
    "hatch.webhook_bodies",
    // Tokens of a provider, which are the same for whomever they are used.
    "hatch.webhook_tokens",
    "hatch.webhooks_behind",
    "rm.projection_halts",
];

/// What the domain may be built from: none of it reads, writes, waits or draws.
const PURE: [&str; 13] = [
    "chrono",
    "crc32fast",
    "idna",
    "ipnet",
    "phonenumber",
    "serde",
    "serde_json",
    "sha2",
    "subtle",
    "thiserror",
    "unicode-normalization",
    "utoipa",
    "uuid",
];

/// The sources below `folder`, without their tests.
fn sources(folder: &str) -> Vec<(PathBuf, String)> {
    let (mut folders, mut found) = (vec![root().join(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if ["tests", "testing", "tests.rs", "testing.rs", "stub.rs"].contains(&name.as_str()) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else if name.ends_with(".rs") {
                let text = std::fs::read_to_string(&path).expect("UTF-8");
                let code = text.split("#[cfg(test)]").next().unwrap_or_default().to_owned();
                found.push((path, code));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// The lines below `folder` that say one of `words`, without comments.
fn lines_with(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, code) in sources(folder) {
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}: {}", path.display(), line.trim()));
            }
        }
    }
    found
}

#[tokio::test]
async fn every_row_has_a_tenant() {
    let database = crate::harness::database().await;
    let client = database.connect().await;
    let sql = "SELECT n.nspname || '.' || c.relname,
               coalesce(bool_or(a.attname = 'tenant_id' AND a.attnotnull), false)
          FROM pg_class c
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
         WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
           AND (n.nspname IN ('access', 'es', 'dispatch', 'hatch') OR n.nspname LIKE 'rm%')
           AND c.relname NOT LIKE '%schema_history'
         GROUP BY 1";
    let rows = client.query(sql, &[]).await.expect("readable");
    let without: BTreeSet<String> =
        rows.iter().filter(|row| !row.get::<_, bool>(1)).map(|row| row.get(0)).collect();
    assert_eq!(without, OF_NOBODY.map(str::to_owned).into());
}

#[tokio::test]
async fn no_column_of_a_projection_reads_the_clock_or_chance() {
    let database = crate::harness::database().await;
    let client = database.connect().await;
    // Identity columns would number rows by who came first.
    let sql = "SELECT table_schema || '.' || table_name || '.' || column_name
          FROM information_schema.columns
         WHERE table_schema LIKE 'rm\\_%' AND (is_identity = 'YES' OR column_default ~
               '(now|clock_timestamp|transaction_timestamp|random|nextval|gen_random_uuid)\\(|CURRENT_')";
    let rows = client.query(sql, &[]).await.expect("readable");
    let impure: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(impure, Vec::<String>::new());
}

#[test]
fn no_projection_reads_a_clock_or_calls_out() {
    let words = [
        "now()",
        "clock_timestamp",
        "CURRENT_TIMESTAMP",
        "random()",
        "gen_random_uuid",
        "nextval",
        "Environment",
        "Instant",
        "SystemTime",
        "reqwest",
        "hatch_bus",
        "pg_notify",
    ];
    let found = lines_with("libs/readmodel/src/projections", &words);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn the_domain_is_built_from_what_is_pure() {
    let packages = packages();
    let domain = packages.iter().find(|package| package.name.as_str() == "hatch-domain");
    let dependencies = &domain.expect("it is there").dependencies;
    let used: BTreeSet<&str> = dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.as_str())
        .collect();
    assert_eq!(used, PURE.into());
    let words = [
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::env",
        "Instant::",
        "SystemTime",
    ];
    let found = lines_with("libs/domain/src", &words);
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn event_store_relay_and_bus_know_no_event() {
    let mut words: Vec<&str> = event_types().map(|known| known.name).collect();
    assert!(words.contains(&"MessageRequested"));
    let modules: Vec<String> =
        KINDS.iter().map(|kind| format!("hatch_domain::{}", kind.name)).collect();
    words.extend(modules.iter().map(String::as_str));
    for folder in ["libs/eventstore/src", "services/relay/src", "libs/bus/src"] {
        let found = lines_with(folder, &words);
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn no_adapter_has_a_memory() {
    let words = [
        "Mutex",
        "RwLock",
        "Atomic",
        "RefCell",
        "Cell<",
        "OnceLock",
        "LazyLock",
        "OnceCell",
        "static mut",
    ];
    let mut found = lines_with("libs/providers/src", &words);
    // The schema of a provider's settings follows from their type.
    found.retain(|line| !line.contains("/provider.rs: "));
    // What is recorded of a call lives as long as the call.
    found.retain(|line| !line.contains("/exchange.rs: "));
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn every_query_of_clients_names_its_tenant() {
    let mut files = 0;
    let all = sources("libs/readmodel/src/query").into_iter();
    for (path, code) in all.chain(sources("libs/readmodel/src/projections")) {
        let tables = ["FROM rm.", "FROM rm_", "FROM hatch.", "FROM es."];
        let reads = tables.iter().any(|table| code.contains(table));
        // Checkpoints and halts are nobody's.
        if !reads || path.ends_with("projections.rs") {
            continue;
        }
        assert!(code.contains("tenant_id"), "{} names no tenant", path.display());
        files += 1;
    }
    assert!(files > 3, "{files} files read tables, so they are written in another way now");
}

/// Whose data a request is about, its credentials say: a constant in its place would show one tenant's to another.
#[test]
fn the_api_takes_the_tenant_from_the_caller() {
    let mut named = lines_with("services/api/src", &["TenantId::DEFAULT", "TenantId(Uuid::"]);
    named.retain(|line| !line.contains("services/api/src/auth/"));
    assert!(named.is_empty(), "{named:#?}");
}
