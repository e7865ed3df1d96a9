//! The key pair that a provider signs its webhooks with, in two files.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use p256::SecretKey;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};

use crate::{Error, clock};

/// A key pair on the curve P-256.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key, as PEM in PKCS #8.
    pub private_pem: String,
    /// The public key, as PEM in SPKI: what `BEGIN PUBLIC KEY` begins.
    pub public_pem: String,
}

/// Reads the key pair of these files, or makes one and writes it there. The folder is made, too.
///
/// The private file decides: a public one that is missing or another's is written anew. Of several
/// processes that make a pair at once, all end up with the same.
///
/// # Errors
/// [`Error::KeyFile`] when a file cannot be read or written, [`Error::Key`] when the private one is
/// no key.
pub fn key_pair(private: &Path, public: &Path) -> Result<KeyPair, Error> {
    let file = |path: &Path, source| Error::KeyFile { path: path.to_owned(), source };
    let private_pem = match std::fs::read_to_string(private) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            create(private).map_err(|source| file(private, source))?
        }
        read => read.map_err(|source| file(private, source))?,
    };
    let key = SecretKey::from_pkcs8_pem(&private_pem).map_err(Error::Key)?;
    let public_pem = key
        .public_key()
        .to_public_key_pem(LineEnding::LF)
        .expect("every public key has a PEM form");
    let written = std::fs::read_to_string(public);
    if written.ok().as_ref() != Some(&public_pem) {
        let folder = public.parent().map_or(Ok(()), std::fs::create_dir_all);
        folder.and_then(|()| write(public, &public_pem)).map_err(|source| file(public, source))?;
    }
    Ok(KeyPair { private_pem, public_pem })
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}

/// Writes a new private key to where there is none, and returns what is there then.
fn create(path: &Path) -> io::Result<String> {
    let pem =
        clock::new_key().to_pkcs8_pem(LineEnding::LF).expect("every private key has a PEM form");
    place(path, &pem)?;
    std::fs::read_to_string(path)
}

/// Writes a private key to where there is none, for its owner's eyes only. It gets its name when it is whole, so that
/// nobody reads half of one.
pub(crate) fn place(path: &Path, pem: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let draft = path.with_extension(format!("{}.draft", clock::new_id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(pem.as_bytes())?;
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
