//! The examples of the standards, by our cryptography: RFC 7515 (appendix A), RFC 7519 (sections 3.1 and 6.1), RFC 8037
//! (appendix A).

use jsonwebtoken::Validation;
use serde_json::{Value, json};

use super::key::{Key, KeySet};
use super::text::read;
use super::{Algorithm, crypto};

/// The claims of all examples, as the standards have them: with line breaks.
const CLAIMS: &str = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt\
    cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

const HS256: (&str, &str) =
    ("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
const HS256_KEY: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

const RS256: (&str, &str) = (
    "eyJhbGciOiJSUzI1NiJ9",
    "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7\
     AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4\
     BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K\
     0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv\
     hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB\
     p0igcN_IoypGlUPQGe77Rw",
);
pub(super) const RSA_MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp\
    -Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOW\
    vG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUs\
    LA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k\
    G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2\
    PAcDTW9gb54h4FRWyuXpoQ";
const RSA_PEM: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEAofgWCuLjybRlzo0tZWJj
NiuSfb4p4fAkd/wWJcyQoTbji9k0l8W26mPddxHmfHQp+Vaw+4qPCJrcS2mJPMEz
P1Pt0Bm4d4QlL+yRT+SFd2lZS+pCgNMsD1W/YpRPEwOWvG6b32690r2jZ47soMZo
9wGzjb/7OMg0LOL+bSf63kpaSHSXndS5z5rexMdbBYUsLA9e+KXBdQOS+UTo7WTB
EMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6/I5IhlJH7aGhyxX
FvUK+DWNmoudF8NAco9/h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXp
oQIDAQAB
-----END PUBLIC KEY-----
";

const ES256: (&str, &str) = (
    "eyJhbGciOiJFUzI1NiJ9",
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSA\
     pmWQxfKTUJqPP3-Kg6NU1Q",
);
const EC_POINT: (&str, &str) =
    ("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
const EC_PEM: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV7
6e8Tus9uPHvRVEXH8UTNG72bfocs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==
-----END PUBLIC KEY-----";

/// RFC 8037, appendix A.4: its payload is a text, and no claims.
const ED25519: [&str; 3] = [
    "eyJhbGciOiJFZERTQSJ9",
    "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5B\
     hVsPt9g7sVvpAr_MuM0KAg",
];
const ED25519_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const ED25519_PEM: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----";

fn set(keys: Result<KeySet, &'static str>, algorithm: Algorithm) -> KeySet {
    let keys = keys.expect("a key");
    assert_eq!(keys.algorithm(), Some(algorithm));
    keys
}

fn public(text: &str, algorithm: Algorithm) -> KeySet {
    set(KeySet::of_public_key(text), algorithm)
}

fn jwk(members: Value, algorithm: Algorithm) -> KeySet {
    public(&members.to_string(), algorithm)
}

/// Whether `key` has signed it.
fn is_signed(key: &Key, [header, payload, signature]: [&str; 3]) -> bool {
    crypto::install();
    let message = format!("{header}.{payload}");
    let algorithm = key.algorithm.of_crate();
    jsonwebtoken::crypto::verify(signature, message.as_bytes(), &key.decoding, algorithm)
        .expect("it can be read")
}

/// Every key of the examples, in each way that it is set.
fn keys() -> Vec<(&'static str, Algorithm, KeySet)> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let secret = URL_SAFE_NO_PAD.decode(HS256_KEY).expect("base64url");
    let rsa = json!({"kty": "RSA", "n": RSA_MODULUS, "e": "AQAB"});
    let point = json!({"kty": "EC", "crv": "P-256", "x": EC_POINT.0, "y": EC_POINT.1});
    let edwards = json!({"kty": "OKP", "crv": "Ed25519", "x": ED25519_KEY});
    let (hs, rs, es, ed) = (Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa);
    vec![
        ("a secret", hs, set(KeySet::of_secret(&secret), hs)),
        ("RSA as JWK", rs, jwk(rsa, rs)),
        ("RSA as PEM", rs, public(RSA_PEM, rs)),
        ("P-256 as JWK", es, jwk(point, es)),
        ("P-256 as PEM", es, public(EC_PEM, es)),
        ("Ed25519 as JWK", ed, jwk(edwards, ed)),
        ("Ed25519 as PEM", ed, public(ED25519_PEM, ed)),
    ]
}

fn example(algorithm: Algorithm) -> [&'static str; 3] {
    match algorithm {
        Algorithm::Hs256 => [HS256.0, CLAIMS, HS256.1],
        Algorithm::Rs256 => [RS256.0, CLAIMS, RS256.1],
        Algorithm::Es256 => [ES256.0, CLAIMS, ES256.1],
        Algorithm::EdDsa => ED25519,
    }
}

#[test]
fn the_examples_of_the_standards_are_signed_as_they_say() {
    for (what, algorithm, keys) in keys() {
        let key = keys.find(None, algorithm).expect("the one key");
        let [header, payload, signature] = example(algorithm);
        assert!(is_signed(key, [header, payload, signature]), "{what}");
        assert!(!is_signed(key, [header, HS256.0, signature]), "{what}: another payload");
        for other in [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
            if other != algorithm {
                assert!(!is_signed(key, [header, payload, example(other)[2]]), "{what}: {other:?}");
                assert!(keys.find(None, other).is_none(), "{what} is a key for {other:?}");
            }
        }
    }
}

#[test]
fn the_claims_of_the_examples_are_read_by_the_whole_way() {
    crypto::install();
    for (what, algorithm, keys) in keys() {
        if algorithm == Algorithm::EdDsa {
            continue;
        }
        let key = keys.find(None, algorithm).expect("the one key");
        let text = example(algorithm).join(".");
        assert_eq!(read(&text).expect("a token").issuer(), Some("joe"), "{what}");
        let mut checks = Validation::new(algorithm.of_crate());
        (checks.validate_exp, checks.validate_aud) = (false, false);
        let token = jsonwebtoken::decode::<Value>(&text, &key.decoding, &checks);
        let claims = token.expect("it is signed").claims;
        let expected =
            json!({"iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true});
        assert_eq!(claims, expected, "{what}");
    }
}

/// RFC 7515, appendix A.5, and RFC 7519, section 6.1.
#[test]
fn what_is_not_secured_is_no_token() {
    let unsecured = format!("eyJhbGciOiJub25lIn0.{CLAIMS}.");
    assert_eq!(read(&unsecured).err(), Some("a token without a signature"));
    let signed = format!("{unsecured}{}", HS256.1);
    assert_eq!(read(&signed).err(), Some("a token of an algorithm that is not taken"));
}
