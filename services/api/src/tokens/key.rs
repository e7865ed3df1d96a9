//! Keys by which tokens are verified. A key is good for one algorithm, which its type says, whatever a token claims.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::Algorithm;

/// Keys of a set at most.
pub(crate) const KEYS_MAX: usize = 100;

/// Bytes of the name of a key at most.
pub(super) const KID_BYTES_MAX: usize = 256;

/// A shorter secret could be guessed from one token (RFC 7518, section 3.2).
const SECRET_BYTES_MIN: usize = 32;

/// Bytes of an RSA modulus: 2,048 to 8,192 bits.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1_024;
const EXPONENT_BYTES: std::ops::RangeInclusive<usize> = 1..=5;

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

/// What stands before the 65 bytes of a point of P-256 (RFC 5480).
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// What stands before the 32 bytes of a key of Ed25519 (RFC 8410).
const ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// What says that a key is one of RSA (RFC 3279).
const RSA: [u8; 15] =
    [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

const POINT_BYTES: usize = 32;

/// A key, its name, and the one algorithm that it is for.
pub(crate) struct Key {
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The keys of an issuer.
#[derive(Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
    /// Whether somebody has set the one key: then a token may name it as it likes.
    is_set: bool,
}

impl KeySet {
    /// The one key that is a secret of both.
    pub(super) fn of_secret(secret: &[u8]) -> Result<Self, &'static str> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err("expected 32 bytes or more");
        }
        let decoding = DecodingKey::from_secret(secret).map_err(|_| "expected a secret")?;
        let key = Key { kid: None, algorithm: Algorithm::Hs256, decoding };
        Ok(Self { keys: vec![key], is_set: true })
    }

    /// The one key that is public, as a JWK or as PEM.
    pub(super) fn of_public_key(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        let key = if text.starts_with('{') {
            let jwk = serde_json::from_str(text).map_err(|_| "expected a JWK or PEM")?;
            of_jwk(&jwk)?
        } else {
            of_pem(text)?
        };
        Ok(Self { keys: vec![key], is_set: true })
    }

    /// The keys of a JWK set (RFC 7517, section 5) that are of use here: others may be there for somebody else.
    pub(crate) fn of_jwks(body: &[u8]) -> Result<Self, String> {
        let set: Value = serde_json::from_slice(body).map_err(|_| "the answer is no JSON")?;
        let all = set["keys"].as_array().ok_or("the answer is no set of keys")?;
        if all.len() > KEYS_MAX {
            return Err(format!("the set has more than {KEYS_MAX} keys"));
        }
        let keys: Vec<Key> = all.iter().filter_map(|jwk| of_jwk(jwk).ok()).collect();
        if keys.is_empty() {
            return Err("no key of the set can be used: RSA, P-256 and Ed25519 can".to_owned());
        }
        Ok(Self { keys, is_set: false })
    }

    pub(crate) const fn len(&self) -> usize {
        self.keys.len()
    }

    /// The one algorithm of a key that is set.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        self.keys.first().filter(|_| self.is_set).map(|key| key.algorithm)
    }

    /// The key that a token means. Where it names none, there must be only one that it can mean.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|key| key.algorithm == algorithm);
        let Some(kid) = kid else { return fitting.next().filter(|_| fitting.next().is_none()) };
        fitting.find(|key| match &key.kid {
            Some(name) => name == kid,
            None => self.is_set,
        })
    }
}

/// A public key as a JWK (RFC 7517, RFC 7518, RFC 8037), if it is there to verify tokens.
fn of_jwk(jwk: &Value) -> Result<Key, &'static str> {
    let text = |name: &str| jwk[name].as_str();
    if jwk.get("d").is_some() || jwk.get("k").is_some() {
        return Err("expected a public key: this one has its private part");
    }
    let is_other = |name: &str, value: &str| jwk.get(name).is_some_and(|said| said != value);
    let operations = jwk.get("key_ops").map(|all| all.as_array().cloned().unwrap_or_default());
    if is_other("use", "sig") || operations.is_some_and(|all| !all.contains(&"verify".into())) {
        return Err("expected a key for signatures");
    }
    let bytes = |name: &str| {
        let text = text(name).ok_or("expected a whole key")?;
        URL_SAFE_NO_PAD.decode(text).map_err(|_| "expected base64url without padding")
    };
    let (algorithm, decoding) = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => (Algorithm::Rs256, of_rsa(&bytes("n")?, &bytes("e")?)?),
        (Some("EC"), Some("P-256")) => {
            (Algorithm::Es256, of_point(&[&[4][..], &bytes("x")?[..], &bytes("y")?[..]].concat())?)
        }
        (Some("OKP"), Some("Ed25519")) => (Algorithm::EdDsa, of_ed25519(&bytes("x")?)?),
        _ => return Err("expected a key of RSA, P-256 or Ed25519"),
    };
    if is_other("alg", algorithm.name()) {
        return Err("expected a key for RS256, ES256 or EdDSA");
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
        Some(_) => return Err("expected a short text as kid"),
    };
    Ok(Key { kid, algorithm, decoding })
}

/// A public key as PEM: what `openssl pkey -pubout` writes.
fn of_pem(pem: &str) -> Result<Key, &'static str> {
    const EXPECTED: &str = "expected a JWK, or PEM that begins with BEGIN PUBLIC KEY";
    let body = pem.strip_prefix(BEGIN).and_then(|rest| rest.trim_end().strip_suffix(END));
    let body: String = body.ok_or(EXPECTED)?.split_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| EXPECTED)?;
    let (algorithm, decoding) = if let Some(point) = der.strip_prefix(&P256) {
        (Algorithm::Es256, of_point(point)?)
    } else if let Some(key) = der.strip_prefix(&ED25519) {
        (Algorithm::EdDsa, of_ed25519(key)?)
    } else {
        let key = rsa_public_key(&der).ok_or("expected a key of RSA, P-256 or Ed25519")?;
        (Algorithm::Rs256, DecodingKey::from_rsa_der(key))
    };
    Ok(Key { kid: None, algorithm, decoding })
}

fn of_rsa(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, &'static str> {
    // ring wants none of the zeros that some write.
    let significant = |bytes: &[u8]| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let (n, e) = (significant(modulus), significant(exponent));
    if !MODULUS_BYTES.contains(&n.len()) || !EXPONENT_BYTES.contains(&e.len()) {
        return Err("expected an RSA key of 2048 to 8192 bits");
    }
    Ok(DecodingKey::from_rsa_raw_components(&n, &e))
}

fn of_point(point: &[u8]) -> Result<DecodingKey, &'static str> {
    if point.len() != 1 + 2 * POINT_BYTES || point[0] != 4 {
        return Err("expected a point of P-256 that is not compressed");
    }
    Ok(DecodingKey::from_ec_der(point))
}

fn of_ed25519(key: &[u8]) -> Result<DecodingKey, &'static str> {
    if key.len() != POINT_BYTES {
        return Err("expected 32 bytes of Ed25519");
    }
    Ok(DecodingKey::from_ed_der(key))
}

/// The RSA key in a `SubjectPublicKeyInfo`. A length below 256, as short keys have, is written otherwise: it is none.
fn rsa_public_key(der: &[u8]) -> Option<&[u8]> {
    let whole = element(der, 0x30)?;
    let key = element(whole.strip_prefix(&RSA)?, 0x03)?.strip_prefix(&[0])?;
    element(key, 0x30).map(|_| key)
}

/// The content of the one DER element that `der` is, of that tag and with a length of two bytes.
fn element(der: &[u8], tag: u8) -> Option<&[u8]> {
    let (length, content) = der.strip_prefix(&[tag, 0x82])?.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*length)) == content.len()).then_some(content)
}
