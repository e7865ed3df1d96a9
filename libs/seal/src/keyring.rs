//! The master keys that count, and what is done with them.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hatch_domain::sealed::Sealed;
use ring::aead::LessSafeKey;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::aead::{self, KEY_BYTES};
use crate::master::MasterKey;

/// Bytes of a secret at most.
const SECRET_BYTES_MAX: usize = 32 * 1024;

/// What each layer is bound to beside the place, so that no box passes for one of the other layer.
const OF_SECRET: &[u8] = b"hatch sealed secret 1\n";
const OF_DATA_KEY: &[u8] = b"hatch wrapped data key 1\n";

/// Where a secret belongs. Put anywhere else, it does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Whose it is.
    pub tenant: Uuid,
    /// The stream whose events have it.
    pub stream: Uuid,
    /// Its name there.
    pub field: &'a str,
}

/// The master keys of an installation: the one that seals, and the one before it, which opens what it sealed until all
/// of that is wrapped anew. Cheap to clone.
#[derive(Clone, Default)]
pub struct Keyring {
    keys: Arc<Keys>,
}

#[derive(Default)]
struct Keys {
    current: Option<MasterKey>,
    previous: Option<MasterKey>,
}

/// A secret that was opened. Its memory is wiped when it goes.
pub struct Opened(Zeroizing<Vec<u8>>);

/// Why nothing is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no master key.
    #[error("no master key is set")]
    NoMasterKey,
    /// The secret is longer than any that is kept.
    #[error("a secret of more than {} bytes is not kept", SECRET_BYTES_MAX)]
    TooLong,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoChance,
}

/// Why a sealed secret does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no master key at all.
    #[error("no master key is set, and it is sealed under {wanted}")]
    NoMasterKey {
        /// The id of the key that opens it.
        wanted: String,
    },
    /// It is sealed under a key that is not here.
    #[error("it is sealed under master key {wanted}, which is not set")]
    OtherMasterKey {
        /// The id of the key that opens it.
        wanted: String,
    },
    /// The key is here, and what is sealed was changed, or is of another place.
    #[error("what is sealed was changed, or belongs elsewhere")]
    Damaged,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoChance,
}

impl Keyring {
    /// Of the key that seals and the one before it. Two times the same is one.
    #[must_use]
    pub fn new(current: Option<MasterKey>, previous: Option<MasterKey>) -> Self {
        let previous = previous.filter(|one| current.as_ref().map(MasterKey::id) != Some(one.id()));
        Self { keys: Arc::new(Keys { current, previous }) }
    }

    /// Whether there is a key that seals.
    #[must_use]
    pub fn can_seal(&self) -> bool {
        self.keys.current.is_some()
    }

    /// The id of the key that seals.
    #[must_use]
    pub fn current_id(&self) -> Option<&str> {
        self.keys.current.as_ref().map(MasterKey::id)
    }

    /// The id of the key before it.
    #[must_use]
    pub fn previous_id(&self) -> Option<&str> {
        self.keys.previous.as_ref().map(MasterKey::id)
    }

    /// Seals a secret for its place.
    ///
    /// # Errors
    /// Without a master key, and for a secret that is too long.
    pub fn seal(&self, secret: &[u8], place: &Place<'_>) -> Result<Sealed, SealError> {
        let master = self.keys.current.as_ref().ok_or(SealError::NoMasterKey)?;
        if secret.len() > SECRET_BYTES_MAX {
            return Err(SealError::TooLong);
        }
        let data_key = aead::chance::<KEY_BYTES>().map_err(|_| SealError::NoChance)?;
        let data_key = Zeroizing::new(data_key);
        let key = aead::key(&*data_key).ok_or(SealError::NoChance)?;
        let sealed = aead::seal(&key, secret, &place.bound(OF_SECRET, ""));
        let sealed = URL_SAFE_NO_PAD.encode(sealed.map_err(|_| SealError::NoChance)?);
        wrap(master, &*data_key, &sealed, place).ok_or(SealError::NoChance)
    }

    /// Opens what was sealed for that place.
    ///
    /// # Errors
    /// The key that it is sealed under is not here, or it is not what was sealed there.
    pub fn open(&self, sealed: &Sealed, place: &Place<'_>) -> Result<Opened, OpenError> {
        let data_key = self.data_key(sealed, place)?;
        self.open_with(&data_key, sealed, place)
    }

    /// The same secret under the key that seals now. None where it is under that already.
    ///
    /// # Errors
    /// As [`open`](Self::open): what does not open whole is not written anew.
    pub fn rewrap(&self, sealed: &Sealed, place: &Place<'_>) -> Result<Option<Sealed>, OpenError> {
        let data_key = self.data_key(sealed, place)?;
        self.open_with(&data_key, sealed, place)?;
        let Some(master) = &self.keys.current else {
            return Err(OpenError::NoMasterKey { wanted: sealed.master_key_id().to_owned() });
        };
        if sealed.master_key_id() == master.id() {
            return Ok(None);
        }
        let wrapped = wrap(master, &data_key, sealed.sealed(), place);
        wrapped.map(Some).ok_or(OpenError::NoChance)
    }

    fn open_with(
        &self,
        data_key: &[u8],
        sealed: &Sealed,
        place: &Place<'_>,
    ) -> Result<Opened, OpenError> {
        let key = aead::key(data_key).ok_or(OpenError::Damaged)?;
        let secret = unboxed(&key, sealed.sealed(), &place.bound(OF_SECRET, ""));
        secret.map(|secret| Opened(Zeroizing::new(secret))).ok_or(OpenError::Damaged)
    }

    fn data_key(
        &self,
        sealed: &Sealed,
        place: &Place<'_>,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let wanted = sealed.master_key_id();
        let Keys { current, previous } = &*self.keys;
        let mut keys = current.iter().chain(previous);
        let Some(master) = keys.find(|key| key.id() == wanted) else {
            let wanted = wanted.to_owned();
            return Err(match (current, previous) {
                (None, None) => OpenError::NoMasterKey { wanted },
                _ => OpenError::OtherMasterKey { wanted },
            });
        };
        let bound = place.bound(OF_DATA_KEY, wanted);
        let data_key = unboxed(master.key(), sealed.wrapped_key(), &bound);
        data_key.map(Zeroizing::new).ok_or(OpenError::Damaged)
    }
}

fn wrap(master: &MasterKey, data_key: &[u8], sealed: &str, place: &Place<'_>) -> Option<Sealed> {
    let bound = place.bound(OF_DATA_KEY, master.id());
    let wrapped = aead::seal(master.key(), data_key, &bound).ok()?;
    Sealed::of(master.id(), &URL_SAFE_NO_PAD.encode(wrapped), sealed).ok()
}

fn unboxed(key: &LessSafeKey, text: &str, bound: &[u8]) -> Option<Vec<u8>> {
    aead::open(key, URL_SAFE_NO_PAD.decode(text).ok()?, bound)
}

impl Place<'_> {
    /// What a box of that layer is bound to. Ids have a length that never changes, and the field comes last, so that no
    /// two places have the same bytes.
    fn bound(&self, layer: &[u8], master_key_id: &str) -> Vec<u8> {
        let (tenant, stream) =
            (self.tenant.as_bytes().as_slice(), self.stream.as_bytes().as_slice());
        [layer, master_key_id.as_bytes(), tenant, stream, self.field.as_bytes()].concat()
    }
}

impl Opened {
    /// The secret itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

/// It is not said.
impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opened(..)")
    }
}

/// By the ids of its keys.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Keyring");
        shown.field("current", &self.current_id()).field("previous", &self.previous_id()).finish()
    }
}
