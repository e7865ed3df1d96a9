//! Passwords: which ones are taken, what they are made into, and whether one is it. It costs some 20 milliseconds and 19 MiB
//! each time, so that guessing costs as much.

use std::sync::Arc;
use std::time::Duration;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use hatch_domain::address::Address;
use hatch_domain::member::PasswordHash;
use hatch_eventstore::SystemEnvironment;
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::common::COMMONEST;
use crate::problem::{FieldCode, FieldError, Problem};

/// Characters of a password.
const CHARACTERS_MIN: usize = 12;
const CHARACTERS_MAX: usize = 128;

/// What one costs: KiB of memory, passes over it, lanes.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// What another build may have made one cost at most: more is no hash of ours.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 4;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

/// Passwords that are worked on at a time, and how long others wait for their turn: 76 MiB at most.
const AT_ONCE_MAX: usize = 4;
const WAIT_MAX: Duration = Duration::from_secs(3);

/// What somebody without a password is compared with, so that he takes as long as who has one.
const NOBODY: Parts = Parts {
    memory_kib: MEMORY_KIB,
    passes: PASSES,
    lanes: LANES,
    salt: [0; SALT_BYTES],
    hash: [0; HASH_BYTES],
};

/// Works on passwords, on threads of their own.
#[derive(Clone)]
pub(crate) struct Passwords(Arc<Semaphore>);

impl Default for Passwords {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE_MAX)))
    }
}

/// A hash, taken apart.
#[derive(Clone, Copy)]
struct Parts {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

/// Which of several hashes a password is that of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compared {
    /// Whether it is, for each.
    pub(crate) fits: Vec<bool>,
    /// Whether one that fits was made by less than is usual now.
    pub(crate) is_weak: bool,
}

impl Passwords {
    /// Makes a password into what is kept of it.
    pub(crate) async fn hash(&self, password: String) -> Result<PasswordHash, Problem> {
        let turn = self.turn().await?;
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&SystemEnvironment::entropy()[..SALT_BYTES]);
        let made = aside(turn, move || {
            let mut parts = Parts { salt, ..NOBODY };
            parts.hash = parts.derive(&password)?;
            Some(parts)
        });
        let parts = made.await?.ok_or_else(unmade)?;
        Ok(parts.write().into())
    }

    /// Compares a password with each of these hashes, and with nothing as often as there are fewer than `times`: it takes
    /// the same time whoever is known.
    pub(crate) async fn compare(
        &self,
        password: String,
        hashes: Vec<Option<PasswordHash>>,
        times: usize,
    ) -> Result<Compared, Problem> {
        let turn = self.turn().await?;
        aside(turn, move || {
            let mut compared = Compared { fits: Vec::new(), is_weak: false };
            for n in 0..times.max(hashes.len()) {
                let known = hashes.get(n).and_then(Option::as_ref).and_then(Parts::read);
                let parts = known.unwrap_or(NOBODY);
                let derived = parts.derive(&password);
                let is_it = derived.is_some_and(|hash| hash.ct_eq(&parts.hash).into());
                let fits = is_it && known.is_some();
                compared.is_weak |= fits && parts.is_weak();
                if n < hashes.len() {
                    compared.fits.push(fits);
                }
            }
            compared
        })
        .await
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = timeout(WAIT_MAX, Arc::clone(&self.0).acquire_owned()).await;
        turn.ok().and_then(Result::ok).ok_or_else(|| {
            Problem::unavailable("too many passwords are worked on: try again in a second")
        })
    }
}

/// Also where nobody waits for it any more, it keeps its turn until it is done.
async fn aside<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(move || {
        let done = work();
        drop(turn);
        done
    });
    done.await.map_err(|error| Problem::fault(&error))
}

fn unmade() -> Problem {
    Problem::fault(&std::io::Error::other("nothing can be made of a password"))
}

impl Parts {
    fn derive(&self, password: &str) -> Option<[u8; HASH_BYTES]> {
        let params =
            Params::new(self.memory_kib, self.passes, self.lanes, Some(HASH_BYTES)).ok()?;
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut hash = [0; HASH_BYTES];
        argon2.hash_password_into(password.as_bytes(), &self.salt, &mut hash).ok()?;
        Some(hash)
    }

    const fn is_weak(&self) -> bool {
        self.memory_kib < MEMORY_KIB || self.passes < PASSES
    }

    /// As other programs write it, too.
    fn write(&self) -> String {
        let Self { memory_kib, passes, lanes, salt, hash } = self;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash));
        format!("$argon2id$v=19$m={memory_kib},t={passes},p={lanes}${salt}${hash}")
    }

    fn read(text: &PasswordHash) -> Option<Self> {
        let mut parts = text.as_str().split('$');
        let (Some(""), Some("argon2id"), Some("v=19"), Some(cost), Some(salt), Some(hash), None) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        ) else {
            return None;
        };
        let mut costs = cost.split(',');
        let mut number = |name: &str, max: u32| {
            let text = costs.next()?.strip_prefix(name)?;
            text.parse().ok().filter(|number: &u32| (1..=max).contains(number))
        };
        let (memory_kib, passes) = (number("m=", MEMORY_KIB_MAX)?, number("t=", PASSES_MAX)?);
        let lanes = number("p=", LANES_MAX)?;
        let salt = STANDARD_NO_PAD.decode(salt).ok()?.try_into().ok()?;
        let hash = STANDARD_NO_PAD.decode(hash).ok()?.try_into().ok()?;
        Some(Self { memory_kib, passes, lanes, salt, hash })
    }
}

/// Refuses what is guessed first, and what nobody types.
pub(crate) fn check(pointer: &str, password: &str, email: &Address) -> Result<(), FieldError> {
    let folded = password.to_lowercase();
    let (code, detail) = match password.chars().count() {
        ..CHARACTERS_MIN => (FieldCode::InvalidValue, "expected 12 to 128 characters"),
        CHARACTERS_MIN..=CHARACTERS_MAX => match () {
            () if COMMONEST.contains(&folded.as_str()) || is_one_character(&folded) => {
                (FieldCode::NotAllowed, "expected none of those that everybody guesses first")
            }
            () if folded == email.as_str().to_lowercase() => {
                (FieldCode::NotAllowed, "expected another one than the email")
            }
            () => return Ok(()),
        },
        _ => (FieldCode::TooLong, "expected 12 to 128 characters"),
    };
    Err(FieldError::coded(code, pointer, detail))
}

/// Whether it can be the password of anybody: what cannot is not worked on.
pub(crate) fn is_possible(password: &str) -> bool {
    (CHARACTERS_MIN..=CHARACTERS_MAX).contains(&password.chars().count())
}

fn is_one_character(text: &str) -> bool {
    let mut characters = text.chars();
    let first = characters.next();
    characters.all(|c| Some(c) == first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email() -> Address {
        Address::email("ann.lee@example.com").expect("a mailbox")
    }

    #[tokio::test]
    async fn a_password_is_told_from_another_and_nothing_is_like_one() {
        let passwords = Passwords::default();
        let text = "a long enough password".to_owned();
        let hash = passwords.hash(text.clone()).await.expect("made");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert_ne!(passwords.hash(text.clone()).await.expect("made"), hash, "another salt");
        let hashes = vec![None, Some(hash), Some("$argon2id$nonsense".to_owned().into())];
        let compared = passwords.compare(text, hashes.clone(), 1).await.expect("compared");
        assert_eq!(compared, Compared { fits: vec![false, true, false], is_weak: false });
        let other = passwords.compare("another password".to_owned(), hashes, 3).await;
        assert_eq!(other.expect("compared").fits, [false; 3]);
        let nobody = passwords.compare("a password".to_owned(), Vec::new(), 1).await;
        assert!(nobody.expect("compared").fits.is_empty());
    }

    #[test]
    fn a_hash_is_read_as_it_is_written_and_one_that_costs_too_much_is_none() {
        let written = Parts { salt: [7; SALT_BYTES], hash: [9; HASH_BYTES], ..NOBODY }.write();
        let read = Parts::read(&written.clone().into()).expect("a hash");
        assert_eq!(read.write(), written);
        assert!(!read.is_weak());
        let weak = Parts::read(&written.replace("m=19456", "m=4096").into()).expect("a hash");
        assert!(weak.is_weak());
        for other in [
            written.replace("argon2id", "argon2i"),
            written.replace("m=19456", "m=4294967295"),
            written.replace("t=2", "t=0"),
            written.replace("p=1", "p=99"),
            written.replace("v=19", "v=16"),
            format!("{written}$"),
            String::new(),
        ] {
            assert!(Parts::read(&other.clone().into()).is_none(), "{other}");
        }
    }

    #[test]
    fn what_everybody_guesses_is_no_password() {
        for password in ["correct horse battery", "Übung macht den Meister", &"xy".repeat(64)] {
            assert!(check("/password", password, &email()).is_ok(), "{password}");
        }
        let long = "xy".repeat(65);
        for password in
            ["short", "elevenchars", "Password1234", "zzzzzzzzzzzz", "Ann.Lee@example.com", &long]
        {
            assert!(check("/password", password, &email()).is_err(), "{password}");
        }
        for common in COMMONEST {
            assert!(
                is_possible(common) && common.to_lowercase() == common,
                "{common} is for nothing"
            );
        }
    }
}
