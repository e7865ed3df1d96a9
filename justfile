# The commands of the checkout. ./dev installs what they need and then runs them.

set positional-arguments

redocly_version := "2.77.0"

# List the recipes
[private]
default:
    @just --list

# Start servers, simulator and roles on http://127.0.0.1:8080 (--split: a process a role)
up *ARGS:
    @exec cargo run --package hatch -- up "$@"

# Run the tests against servers of their own; ARGS go to cargo-nextest
test *ARGS:
    @cargo build --workspace --all-targets
    @exec "${CARGO_TARGET_DIR:-target}/debug/hatch" with-servers -- cargo nextest run --workspace "$@"

# Check formatting, lints, documentation, dependencies, scripts, and that what is forever stays as it is
lint:
    @cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 || { echo "lint: run: rustup component add rustfmt clippy" >&2; exit 1; }
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- --deny warnings
    cargo clippy --quiet --package hatch --no-default-features -- --deny warnings
    RUSTDOCFLAGS="--deny warnings" cargo doc --quiet --workspace --no-deps
    @if command -v cargo-deny >/dev/null; then cargo deny --log-level error check bans licenses sources; else echo "lint: without cargo-deny: dependencies are not checked" >&2; fi
    .ci/immutable
    @just redocly
    @if command -v shellcheck >/dev/null; then shellcheck dev .ci/run .ci/immutable .config/nginx.sh deploy/*.sh; else echo "lint: without shellcheck: scripts are not checked" >&2; fi
    @just advisories

# Check the dependencies of Cargo.lock against the RustSec advisory database, where it can be had
[private]
advisories:
    #!/bin/sh
    set -eu
    unchecked() {
        echo "lint: $*: known vulnerabilities of dependencies are not checked" >&2
        exit 0
    }
    command -v cargo-deny >/dev/null || unchecked "without cargo-deny (cargo install --locked cargo-deny)"
    # It asks the network for the database; offline, a copy of the last ninety days is as good.
    if cargo deny --log-level error fetch db >/dev/null 2>&1; then
        exec cargo deny --log-level error check advisories
    fi
    for copy in "${CARGO_HOME:-$HOME/.cargo}"/advisory-db*/*/.git; do
        [ -e "$copy" ] && exec cargo deny --log-level error --offline check advisories
    done
    unchecked "the advisory database (https://github.com/RustSec/advisory-db) cannot be reached"

# Check schema/openapi.json by redocly's rules, where npm can have it
[private]
redocly:
    #!/bin/sh
    set -eu
    unchecked() {
        echo "lint: $*: redocly does not check schema/openapi.json" >&2
        exit 0
    }
    command -v npm >/dev/null || unchecked "without npm (Node.js)"
    version=@redocly/cli@{{ redocly_version }}
    tools="$PWD/.tools/redocly"
    if [ "$(cat "$tools/version" 2>/dev/null)" != "$version" ]; then
        echo "lint: installing $version by npm into .tools/redocly" >&2
        npm install --engine-strict --silent --no-audit --no-fund --prefix "$tools" "$version" >/dev/null 2>&1 ||
            unchecked "npm cannot have $version"
        echo "$version" >"$tools/version"
    fi
    REDOCLY_TELEMETRY=off exec "$tools/node_modules/.bin/redocly" lint --config .config/redocly.yaml schema/openapi.json

# Format everything
fmt:
    cargo fmt --all

# Send and receive a message of each kind through the running up
[no-exit-message]
demo *ARGS:
    @exec cargo run --quiet --package hatch -- demo "$@"

# Run the program against the running up
[no-exit-message]
hatch *ARGS:
    #!/bin/sh
    set -eu
    case "${1:-}" in
    # It is a program of its own, which hatch only finds where it is built.
    bench) shift && exec cargo run --quiet --package hatch-bench -- "$@" ;;
    *) exec cargo run --quiet --package hatch -- "$@" ;;
    esac

# Write the OpenAPI document to schema/openapi.json, where the tests expect it
openapi:
    @cargo run --quiet --package hatch -- openapi >schema/openapi.json.new
    @mv schema/openapi.json.new schema/openapi.json

# Write the missing golden files of new events, or new versions of them, to schema/events
golden:
    @HATCH_TEST_WRITE=1 cargo test --quiet --package hatch-domain --lib golden

# Write the catalogue of events in docs/events.md and schema/asyncapi.json from the types of the events
events:
    @HATCH_TEST_WRITE=1 cargo test --quiet --package hatch --test scenarios catalogue

# Write docs/errors.md from the catalogue of errors, where the tests expect it
errors:
    @HATCH_TEST_WRITE=1 cargo test --quiet --package hatch-api --lib problem::pages

# Write docs/configuration.md from the types of the settings, where the tests expect it
configuration:
    @HATCH_TEST_WRITE=1 cargo test --quiet --package hatch --lib settings::reference

# Build for release, laid out by deploy/hatch.profdata.gz, which says what runs most; leaves target/release/hatch
release:
    @just laid-out cargo build --release --package hatch

# The same with the benchmark beside it, as target/release/hatch-bench
[private]
release-bench:
    @just laid-out cargo build --release --package hatch --package hatch-bench

# Runs COMMAND, a cargo command, so that what it builds is laid out by the profile.
[private]
[no-exit-message]
laid-out *COMMAND:
    #!/bin/sh
    set -eu
    # rustc looks for it from the folder of each package.
    profile="$PWD/target/hatch.profdata"
    mkdir -p target
    gzip -dc deploy/hatch.profdata.gz >"$profile"
    # A newer file would make all that was built with it old, for cargo.
    touch -r deploy/hatch.profdata.gz "$profile"
    # What has changed since is compiled as without it: no word about each of that.
    separator=$(printf '\037')
    export CARGO_ENCODED_RUSTFLAGS="-Cprofile-use=$profile${separator}-Cllvm-args=-no-pgo-warn-mismatch"
    exec "$@"

# Make deploy/hatch.profdata.gz anew from a run of the benchmark; needs rustup's llvm-tools
profile:
    #!/bin/sh
    set -eu
    host=$(rustc -vV | sed -n 's/^host: //p')
    profdata="$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
    [ -x "$profdata" ] || { echo "profile: run: rustup component add llvm-tools" >&2; exit 1; }
    counts="$PWD/target/profile"
    CARGO_ENCODED_RUSTFLAGS="-Cprofile-generate=$counts" cargo build --release --package hatch --package hatch-bench
    # What the build's own programs did does not count.
    rm -rf "$counts"
    just measure --rate 1000 --duration 30
    "$profdata" merge --sparse --output target/hatch.profdata "$counts"
    gzip -9nc target/hatch.profdata >deploy/hatch.profdata.gz

# Measure a release build: hatch bench ARGS against an up --split with data of its own, or --url; --authenticated: with a key and limits
[no-exit-message]
bench *ARGS:
    #!/bin/sh
    set -eu
    case "${1:-}" in -h | --help) exec cargo run --quiet --package hatch-bench -- --help ;; esac
    just release-bench
    exec just measure "$@"

# What bench does once hatch and the benchmark are built for release
[private]
[no-exit-message]
measure *ARGS:
    #!/bin/sh
    set -eu
    hatch="${CARGO_TARGET_DIR:-target}/release/hatch"
    for argument in "$@"; do
        shift
        case $argument in
        --url | --url=*) elsewhere=yes ;;
        # It asks how fast messages could be accepted, whether or not they can be sent.
        --accept-only) export HATCH_ADMISSION__ENABLED=false ;;
        # As in production, with a key and limits. The benchmark itself is told of the key's file.
        --authenticated)
            keyed=yes
            export HATCH_AUTHENTICATION=required
            export HATCH_RATE_LIMIT__ENABLED=true HATCH_RATE_LIMIT__REQUESTS=1000000
            continue
            ;;
        esac
        set -- "$@" "$argument"
    done
    [ -z "${elsewhere:-}" ] || exec "$hatch" bench "$@"
    # On a disk, which the folder for temporary files may not be, and in reach of PostgreSQL's account.
    scratch=$(mktemp -d /var/tmp/hatch-bench.XXXXXX)
    chmod 711 "$scratch"
    export HATCH_DATA_DIR="$scratch" HATCH_LISTEN=127.0.0.1:0 HATCH_SIMULATOR_LISTEN=127.0.0.1:0
    "$hatch" up --split >"$scratch/up.out" &
    up=$!
    trap 'kill "$up" 2>/dev/null || true; wait "$up" || true; rm -rf "$scratch"' EXIT
    trap 'exit 130' INT TERM
    until grep -q 'hatch is ready' "$scratch/up.out"; do
        kill -0 "$up" 2>/dev/null || exit 1
        sleep 0.1
    done
    if [ -n "${keyed:-}" ]; then
        (umask 077 && "$hatch" keys create --name bench --scope messages:write --json |
            sed -n 's/.*"key": *"\([^"]*\)".*/\1/p' >"$scratch/key")
        set -- "$@" --api-key-file "$scratch/key"
    fi
    "$hatch" bench "$@"

# Measure the parts, each beside raw PostgreSQL in the same run; ARGS go to criterion
[no-exit-message]
bench-micro *ARGS:
    @just release
    @TMPDIR=/var/tmp "${CARGO_TARGET_DIR:-target}/release/hatch" with-servers --durable -- \
        just laid-out cargo bench --package hatch-bench --bench micro -- "$@"

# Measure the same work on a log of 0.1, 1 and 10 million events, or of SIZES
[no-exit-message]
bench-growth *SIZES:
    @just release
    @TMPDIR=/var/tmp "${CARGO_TARGET_DIR:-target}/release/hatch" with-servers --durable -- \
        just laid-out cargo bench --package hatch-bench --bench growth -- "$@"

# Measure hatch beside the bare path of a message, which has nothing of hatch's around it
[no-exit-message]
bench-skeleton:
    @just laid-out cargo build --profile bench --package hatch
    @TMPDIR=/var/tmp "${CARGO_TARGET_DIR:-target}/release/hatch" with-servers --durable -- \
        just laid-out cargo bench --package hatch-bench --bench skeleton

# Hold the running up, or another hatch, against its own OpenAPI document
[no-exit-message]
schemathesis URL="http://127.0.0.1:8080" *ARGS:
    @shift $(( $# > 0 ? 1 : 0 )); exec schemathesis --config-file .config/schemathesis.toml run "{{URL}}/api/v1/openapi.json" "$@"

# Have the providers' official SDKs send by the simulator, and verify what it posts; ARGS such as --only twilio,vonage
[no-exit-message]
conformance *ARGS:
    @cargo build --quiet --package hatch
    @exec python3 tests/conformance/run.py --program "${CARGO_TARGET_DIR:-target}/debug/hatch" "$@"

# Kill everything 200 times under load, then hold log, read models and provider against each other
crash KILLS="200" MESSAGES="10000":
    @HATCH_TEST_CRASH_KILLS={{KILLS}} HATCH_TEST_CRASH_MESSAGES={{MESSAGES}} just test --no-capture nothing_is_lost_doubled_or_stuck

# Kill the dispatcher KILLS times between claim, call and outcome, then count what was accepted twice or stays in doubt
doubts KILLS="1000":
    @HATCH_TEST_KILLS={{KILLS}} just test --no-capture nobody_gets_a_message_twice_and_no_doubt_stays

# Let PAIRS withdrawals, up to 1,000, race with messages to the same recipients
consent-race PAIRS="1000":
    @HATCH_TEST_CONSENT_PAIRS={{PAIRS}} just test --no-capture no_message_is_attempted_after

# Let everything that can go wrong around hatch go wrong for MINUTES, then hold log, read models and provider against each other
storm MINUTES="30":
    @HATCH_TEST_STORM_MINUTES={{MINUTES}} just test --no-capture in_a_storm

# Try random bytes on everything that reads what strangers write, SECONDS each; tests/fuzz/artifacts has what is found
fuzz SECONDS="60":
    #!/bin/sh
    set -eu
    # cargo-fuzz asks for flags that the stable toolchain keeps for itself. Without unsafe code there is little
    # for the address sanitizer to see.
    export RUSTC_BOOTSTRAP=1
    for target in mail inbound_form twilio_form webhook_json send_request addresses; do
        grown=tests/fuzz/target/corpus/$target
        mkdir -p "$grown"
        cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none "$target" "$grown" "tests/fuzz/corpus/$target" -- \
            -max_total_time={{ SECONDS }} -timeout=10 -rss_limit_mb=2048 -max_len=65536
    done

# Abuse a running hatch in ten ways at once for SECONDS, and print what it used before, during and after
abuse SECONDS="120":
    @HATCH_TEST_ABUSE_SECONDS={{SECONDS}} just test --no-capture strangers_cannot_stop
