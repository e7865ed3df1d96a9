//! The installation's master keys.

use anyhow::{Context, ensure};
use hatch_providers::Secret;
use hatch_seal::{Keyring, MasterKey};

use super::Settings;

impl Settings {
    /// The master keys that are set: the one that seals, and the one before it.
    ///
    /// # Errors
    /// One that is none, by its name and without its text.
    pub fn keyring(&self) -> anyhow::Result<Keyring> {
        let current = key("master_key", self.master_key.as_ref())?;
        let previous = key("master_key_previous", self.master_key_previous.as_ref())?;
        ensure!(
            current.is_some() || previous.is_none(),
            "configuration: master_key_previous: expected master_key beside it, which takes its place"
        );
        Ok(Keyring::new(current, previous))
    }
}

fn key(name: &str, text: Option<&Secret>) -> anyhow::Result<Option<MasterKey>> {
    let read = text.map(|text| text.expose().parse::<MasterKey>()).transpose();
    read.with_context(|| format!("configuration: {name}"))
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;

    const FIRST: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const SECOND: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

    #[test]
    fn a_master_key_is_given_as_text_or_as_a_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), format!("{FIRST}\n")).expect("written");
        let path = file.path().to_str().expect("UTF-8");
        let by_file = load("", &[("HATCH_MASTER_KEY_FILE", path)]).expect("valid");
        let by_text = load("", &[("HATCH_MASTER_KEY", FIRST)]).expect("valid");
        let id = |settings: &super::Settings| {
            settings.keyring().expect("a key").current_id().map(str::to_owned)
        };
        assert!(id(&by_file).is_some() && id(&by_file) == id(&by_text));
        assert!(!load("", &[]).expect("valid").keyring().expect("none").can_seal());
        let both = [("HATCH_MASTER_KEY", SECOND), ("HATCH_MASTER_KEY_PREVIOUS_FILE", path)];
        let both = load("", &both).expect("valid").keyring().expect("two keys");
        assert_eq!(both.previous_id().map(str::to_owned), id(&by_text));
    }

    #[test]
    fn one_that_is_none_is_refused_by_its_name_and_never_by_its_text() {
        for (variables, key) in [
            (vec![("HATCH_MASTER_KEY", "CANARY")], "master_key: expected 32 bytes"),
            (
                vec![("HATCH_MASTER_KEY", FIRST), ("HATCH_MASTER_KEY_PREVIOUS", "CANARY")],
                "master_key_previous: expected 32 bytes",
            ),
            (
                vec![("HATCH_MASTER_KEY_PREVIOUS", FIRST)],
                "master_key_previous: expected master_key beside it",
            ),
        ] {
            let refused = load("", &variables).expect("text").keyring().expect_err(key);
            let said = format!("{refused:#}");
            assert!(said.contains(key) && !said.contains("CANARY"), "{said}");
        }
    }
}
