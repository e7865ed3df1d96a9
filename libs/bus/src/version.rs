//! Which NATS servers hatch works with.

/// The oldest server with `first_seq`, on which sequence = position rests.
const OLDEST: (u32, u32, u32) = (2, 10, 0);

/// Servers that lose streams when they are killed (fixed in 2.10.23).
const LOSES_STREAMS: std::ops::RangeInclusive<(u32, u32, u32)> = (2, 10, 20)..=(2, 10, 22);

/// Checks a server's version, such as `2.11.4` or `2.12.0-RC.1`; says in a sentence why not.
pub(crate) fn check(version: &str) -> Result<(), String> {
    match parse(version) {
        Some(version) if version >= OLDEST && !LOSES_STREAMS.contains(&version) => Ok(()),
        Some(parsed) if parsed < OLDEST => Err(format!(
            "nats-server {version} is too old, hatch needs 2.10 or newer: upgrade the server"
        )),
        Some(_) => Err(format!(
            "nats-server {version} loses streams when it is killed: upgrade it to 2.10.23 or newer"
        )),
        None => Err(format!("\"{version}\" is no nats-server version hatch knows")),
    }
}

fn parse(version: &str) -> Option<(u32, u32, u32)> {
    let core = version.trim_start_matches('v').split(['-', '+']).next()?;
    let mut numbers = core.split('.').map(str::parse);
    let parsed = (numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?);
    numbers.next().is_none().then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn servers_that_are_too_old_or_lose_streams_are_refused_with_a_sentence() {
        for old in ["2.9.25", "1.4.1", "2.10.20", "2.10.21", "2.10.22"] {
            let sentence = check(old).expect_err(old);
            assert!(sentence.contains(old) && sentence.contains("upgrade"), "{sentence}");
        }
        for nonsense in ["", "2.10", "2.x.1", "2.10.1.1"] {
            assert!(check(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn servers_from_2_10_on_are_taken() {
        for good in ["2.10.0", "2.10.19", "2.10.23", "2.11.4", "2.12.0-RC.1", "v2.15.1", "3.0.0"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }
}
