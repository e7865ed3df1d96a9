//! Whose tokens are taken, and who signs people in, as it is set.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use chrono::TimeDelta;
use hatch_api::oidc::OidcSettings as Provider;
use hatch_api::tokens::{Algorithm, ISSUERS_MAX, Issuer, IssuerRules, KeySource, TenantSource};
use hatch_providers::Secret;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Settings, secret_file};

/// Whose tokens are taken: an issuer of JSON Web Tokens. Exactly one of `secret`, `public_key` and `jwks_url` says
/// where its keys are. A token needs `exp`, `iss`, `aud` and `sub`, and the tenant's claim.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JwtSettings {
    /// What the issuer is called here: 1 to 32 lower-case letters, digits and single dashes. Events name it, with the
    /// token's `sub`, as who did something.
    pub name: String,
    /// What its tokens have in `iss`, letter by letter.
    pub issuer: String,
    /// What its tokens for hatch have in `aud`, one or several.
    pub audience: Vec<String>,
    /// By what it signs. Default: all that its keys are for, which with `jwks_url` are all but `HS256`.
    pub algorithms: Vec<JwtAlgorithm>,
    /// The secret of `HS256`, as the text that it is and not as base64: 32 bytes or more.
    pub secret: Option<Secret>,
    /// A file with the secret.
    pub secret_file: Option<PathBuf>,
    /// The one public key, as JWK or as PEM (`BEGIN PUBLIC KEY`): RSA from 2048 bits, P-256 or Ed25519.
    pub public_key: Option<String>,
    /// A file with the public key.
    pub public_key_file: Option<PathBuf>,
    /// Where the issuer publishes its keys: an `https` URL, or an `http` one of this machine.
    pub jwks_url: Option<String>,
    /// How often they are fetched, in seconds: 30 to 86,400. A key that is not known has them fetched sooner, once a
    /// minute at most.
    pub jwks_refresh_s: u64,
    /// The claim that has the id of the tenant. Default: `tenant`.
    pub tenant_claim: Option<String>,
    /// The tenant of everybody whom this issuer gives a token, by its id, instead of `tenant_claim`.
    pub tenant: Option<String>,
    /// The claim that has the scopes, as a text with spaces or as a list. Others than those of hatch do not count.
    pub scope_claim: String,
    /// Whether a token may have the scope `platform`, by which tenants are made.
    pub platform: bool,
    /// How far the issuer's clock may be from ours, in seconds: 0 to 600.
    pub leeway_s: u32,
}

/// How a token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum JwtAlgorithm {
    /// HMAC with SHA-256.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// Who signs people in: an identity provider that speaks OpenID Connect. It sends people back to
/// `<public_url>/auth/oidc/callback`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OidcSettings {
    /// What it calls itself: an `https` URL, below which is its description.
    pub issuer: Option<String>,
    /// What it calls hatch.
    pub client_id: Option<String>,
    /// The secret that it gave with `oidc.client_id`.
    pub client_secret: Option<Secret>,
    /// What it is asked to say of people.
    pub scopes: Vec<String>,
}

impl Default for JwtSettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            issuer: String::new(),
            audience: Vec::new(),
            algorithms: Vec::new(),
            secret: None,
            secret_file: None,
            public_key: None,
            public_key_file: None,
            jwks_url: None,
            jwks_refresh_s: 300,
            tenant_claim: None,
            tenant: None,
            scope_claim: "scope".to_owned(),
            platform: false,
            leeway_s: 60,
        }
    }
}

impl Default for OidcSettings {
    fn default() -> Self {
        let scopes = ["openid", "email", "profile"].map(str::to_owned).into();
        Self { issuer: None, client_id: None, client_secret: None, scopes }
    }
}

impl JwtAlgorithm {
    const fn of_api(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::Hs256,
            Self::Rs256 => Algorithm::Rs256,
            Self::Es256 => Algorithm::Es256,
            Self::EdDsa => Algorithm::EdDsa,
        }
    }
}

impl JwtSettings {
    fn rules(&self) -> anyhow::Result<IssuerRules> {
        let (keys, tenant) = (self.keys()?, self.tenant()?);
        let algorithms = self.algorithms.iter().map(|one| one.of_api()).collect();
        Ok(IssuerRules {
            name: self.name.clone(),
            issuer: self.issuer.clone(),
            audience: self.audience.clone(),
            algorithms,
            keys,
            tenant,
            scope_claim: self.scope_claim.clone(),
            may_give_platform: self.platform,
            leeway: TimeDelta::seconds(self.leeway_s.into()),
        })
    }

    /// The one place of its keys that is set.
    fn keys(&self) -> anyhow::Result<KeySource> {
        let mut places = Vec::new();
        if let Some(secret) = &self.secret {
            places.push(KeySource::Secret(secret.clone()));
        }
        if let Some(file) = &self.secret_file {
            let secret = secret_file::read(file).context("secret_file")?;
            places.push(KeySource::Secret(Secret::new(secret)));
        }
        if let Some(key) = &self.public_key {
            places.push(KeySource::PublicKey(key.clone()));
        }
        if let Some(file) = &self.public_key_file {
            places.push(KeySource::PublicKey(secret_file::read(file).context("public_key_file")?));
        }
        if let Some(url) = &self.jwks_url {
            let url = Url::parse(url).ok().context("jwks_url: expected a URL")?;
            let every = Duration::from_secs(self.jwks_refresh_s);
            places.push(KeySource::Jwks { url, every });
        }
        let one = places.pop().filter(|_| places.is_empty());
        one.context(
            "secret: expected exactly one of secret, public_key and jwks_url, or the file of one",
        )
    }

    fn tenant(&self) -> anyhow::Result<TenantSource> {
        match (&self.tenant, &self.tenant_claim) {
            (Some(_), Some(_)) => anyhow::bail!("tenant: expected it without tenant_claim"),
            (Some(id), None) => {
                let id = id.parse().ok().context("tenant: expected the id of a tenant")?;
                Ok(TenantSource::Fixed(id))
            }
            (None, claim) => {
                Ok(TenantSource::Claim(claim.clone().unwrap_or_else(|| "tenant".to_owned())))
            }
        }
    }
}

impl Settings {
    /// The issuers whose tokens are taken.
    ///
    /// # Errors
    /// One is set as none can be, by its place in the list and the key.
    pub(crate) fn issuers(&self) -> anyhow::Result<Vec<Issuer>> {
        ensure!(
            self.jwt.len() <= ISSUERS_MAX,
            "configuration: jwt: expected {ISSUERS_MAX} issuers at most, got {}",
            self.jwt.len()
        );
        let mut issuers: Vec<Issuer> = Vec::new();
        for (n, set) in self.jwt.iter().enumerate() {
            let place = || format!("configuration: jwt.{n}");
            let issuer = set.rules().and_then(|rules| Ok(Issuer::new(rules)?));
            let issuer = issuer.map_err(|error| anyhow::anyhow!("{}.{error:#}", place()))?;
            for (key, is_taken) in [
                ("name", issuers.iter().any(|other| other.name() == issuer.name())),
                ("issuer", issuers.iter().any(|other| other.url() == issuer.url())),
            ] {
                ensure!(!is_taken, "{}.{key}: expected another than that of the others", place());
            }
            issuers.push(issuer);
        }
        Ok(issuers)
    }

    /// Who signs people in, where somebody does.
    ///
    /// # Errors
    /// Something of it is not set.
    pub(crate) fn identity_provider(&self) -> anyhow::Result<Option<Provider>> {
        let Some(OidcSettings { issuer, client_id, client_secret, scopes }) = &self.oidc else {
            return Ok(None);
        };
        let required = |key, set: &Option<String>| {
            set.clone().with_context(|| format!("configuration: oidc.{key}: expected a text"))
        };
        Ok(Some(Provider {
            issuer: required("issuer", issuer)?,
            client_id: required("client_id", client_id)?,
            client_secret: client_secret
                .clone()
                .context("configuration: oidc.client_secret: expected a text")?,
            redirect: format!("{}/auth/oidc/callback", self.public_url()),
            scopes: scopes.clone(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::load;

    const STAFF: &str = "[[jwt]]\nname = \"staff\"\nissuer = \"https://id.example.com\"\n\
        audience = [\"hatch\"]\n";

    fn refusal(toml: &str) -> String {
        let settings = load(toml, &[]).expect("what is wrong is said later");
        settings.issuers().err().unwrap_or_else(|| panic!("{toml}")).to_string()
    }

    #[test]
    fn issuers_are_tables_of_the_file_or_a_list_in_a_variable() {
        let secret = "secret = \"0123456789abcdef0123456789abcdef\"\n";
        let toml =
            format!("{STAFF}{secret}{}", STAFF.replace("staff", "apps").replace("id.", "apps."));
        let toml = format!("{toml}jwks_url = \"https://apps.example.com/keys\"\nplatform = true\n");
        let settings = load(&toml, &[]).expect("valid");
        let issuers = settings.issuers().expect("two issuers");
        let names: Vec<_> = issuers.iter().map(|issuer| issuer.name()).collect();
        assert_eq!(names, ["staff", "apps"]);
        assert_eq!(settings.jwt[0].leeway_s, 60);
        assert!(settings.jwt[1].platform && !settings.jwt[0].platform);
        let list = r#"[{"name": "staff", "issuer": "a", "audience": ["hatch"], "algorithms": ["HS256"],
            "secret": "0123456789abcdef0123456789abcdef"}]"#;
        let settings = load("", &[("HATCH_JWT", list)]).expect("valid");
        assert_eq!(settings.issuers().expect("one issuer")[0].url(), "a");
        assert!(load("", &[]).expect("valid").issuers().expect("none").is_empty());
    }

    #[test]
    fn keys_and_secrets_are_in_files_where_that_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("secret");
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").expect("written");
        let toml = format!("{STAFF}secret_file = {file:?}\n");
        assert!(load(&toml, &[]).expect("valid").issuers().is_ok());
        let missing = refusal(&format!("{STAFF}public_key_file = \"/no/such/file\"\n"));
        assert!(missing.starts_with("configuration: jwt.0.public_key_file: "), "{missing}");
        std::fs::write(&file, "x".repeat(70_000)).expect("written");
        let long = refusal(&format!("{STAFF}public_key_file = {file:?}\n"));
        assert!(long.contains("65536 bytes at most"), "{long}");
    }

    #[test]
    fn an_issuer_that_cannot_be_is_refused_by_its_place_and_key_and_no_secret_is_said() {
        let secret = "secret = \"CANARY-0123456789abcdef0123456789abcdef\"\n";
        let fixed = "tenant = \"00000000-0000-0000-0000-000000000000\"\n";
        for (toml, key) in [
            (STAFF.to_owned(), "jwt.0.secret"),
            (format!("{STAFF}secret = \"CANARY\"\n"), "jwt.0.secret"),
            (format!("{STAFF}{secret}public_key = \"CANARY\"\n"), "jwt.0.secret"),
            (format!("{STAFF}public_key = \"CANARY\"\n"), "jwt.0.public_key"),
            (format!("{STAFF}jwks_url = \"CANARY\"\n"), "jwt.0.jwks_url"),
            (format!("{STAFF}jwks_url = \"http://h/k\"\n"), "jwt.0.jwks_url"),
            (format!("{STAFF}{secret}algorithms = [\"RS256\"]\n"), "jwt.0.algorithms"),
            (format!("{STAFF}{secret}tenant = \"acme\"\n"), "jwt.0.tenant"),
            (format!("{STAFF}{secret}{fixed}tenant_claim = \"org\"\n"), "jwt.0.tenant"),
            (format!("{STAFF}{secret}{STAFF}{secret}"), "jwt.1.name"),
            (format!("{STAFF}{secret}{}{secret}", STAFF.replace("staff", "apps")), "jwt.1.issuer"),
            (STAFF.repeat(21), "jwt"),
        ] {
            let said = refusal(&toml);
            assert!(said.starts_with(&format!("configuration: {key}: ")), "{key}: {said}");
            assert!(!said.contains("CANARY"), "{said}");
        }
        for (variable, value) in [
            ("HATCH_JWT", "CANARY"),
            ("HATCH_JWT", r#"[{"secret": ["CANARY"]}]"#),
            ("HATCH_JWT", r#"[{"of tomorrow": "CANARY"}]"#),
            ("HATCH_OIDC", "CANARY"),
        ] {
            let said = load("", &[(variable, value)]).expect_err(value).to_string();
            assert!(!said.contains("CANARY"), "{said}");
        }
    }

    #[test]
    fn an_identity_provider_is_set_whole_or_not_at_all() {
        let whole = "public_url = \"https://hatch.example.com\"\n[oidc]\n\
            issuer = \"https://id.example.com\"\nclient_id = \"hatch\"\n";
        let secret = ("HATCH_OIDC__CLIENT_SECRET", "secret");
        let settings = load(whole, &[secret]).expect("valid");
        let provider = settings.identity_provider().expect("valid").expect("a provider");
        assert_eq!(provider.redirect, "https://hatch.example.com/auth/oidc/callback");
        assert_eq!(provider.scopes, ["openid", "email", "profile"]);
        let settings = load(whole, &[]).expect("what is missing is said later");
        let said = settings.identity_provider().expect_err("no secret").to_string();
        assert!(said.starts_with("configuration: oidc.client_secret: "), "{said}");
        assert!(load("", &[]).expect("valid").identity_provider().expect("valid").is_none());
    }
}
