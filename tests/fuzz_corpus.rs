//! What random bytes have found stays found: every file of `tests/fuzz/corpus` is read as
//! `./dev fuzz` reads what it makes of them.

use std::path::Path;
use std::time::{Duration, Instant};

#[path = "fuzz/targets.rs"]
mod targets;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 6] = [
    ("mail", targets::mail),
    ("inbound_form", targets::inbound_form),
    ("twilio_form", targets::twilio_form),
    ("webhook_json", targets::webhook_json),
    ("send_request", targets::send_request),
    ("addresses", targets::addresses),
];

/// Far more than any of them takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn each_file_of_the_corpus_is_read_by_its_reader() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus");
    for (name, target) in TARGETS {
        let files = std::fs::read_dir(corpus.join(name)).expect("a folder of that name");
        let mut read = 0;
        for file in files {
            let path = file.expect("readable").path();
            let bytes = std::fs::read(&path).expect("readable");
            let began = Instant::now();
            target(&bytes);
            assert!(began.elapsed() < PATIENCE, "{} took {:?}", path.display(), began.elapsed());
            read += 1;
        }
        assert!(read > 2, "{name} has a corpus");
    }
}
