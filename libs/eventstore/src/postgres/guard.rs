//! The methods of authentication that a server may ask for.
//!
//! The guard reads along while a server asks for authentication. A request that is not allowed becomes
//! an error of the read that would have completed it, so the client never learns of the request and
//! never answers it.

use super::ServerRefusal;

/// The ways of authentication that are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Methods {
    /// The server asks for nothing: it trusts, or knows the user by his socket or certificate.
    none: bool,
    /// The server learns nothing that it could use elsewhere.
    scram: bool,
    /// The server gets a hash that is as good as the password.
    md5: bool,
    /// The server gets the password itself.
    password: bool,
}

impl Default for Methods {
    fn default() -> Self {
        Self { none: true, scram: true, md5: false, password: false }
    }
}

/// The method itself asks for a proof, and the server's answer proves that it knows the password.
const SCRAM: &str = "scram-sha-256";

impl Methods {
    /// Reads libpq's `require_auth`: methods with commas between them, or what is not allowed, each with
    /// a `!`.
    pub(super) fn parse(text: &str) -> Result<Self, ServerRefusal> {
        let names: Vec<&str> = text.split(',').map(str::trim).collect();
        let negated = names.iter().filter(|name| name.starts_with('!')).count();
        let mut methods = match negated {
            0 => Self { none: false, scram: false, md5: false, password: false },
            all if all == names.len() => {
                Self { none: true, scram: true, md5: true, password: true }
            }
            _ => return Err(Self::unknown(text)),
        };
        for name in names {
            let method = match name.trim_start_matches('!') {
                "none" => &mut methods.none,
                SCRAM => &mut methods.scram,
                "md5" => &mut methods.md5,
                "password" => &mut methods.password,
                _ => return Err(Self::unknown(text)),
            };
            *method = negated == 0;
        }
        Ok(methods)
    }

    fn unknown(text: &str) -> ServerRefusal {
        ServerRefusal::new(format!(
            "require_auth: expected some of none, {SCRAM}, md5 and password with commas between them, or \
             each with a ! for what is not allowed, got {text:?}"
        ))
    }
}

/// Longest message about authentication; SCRAM's take some hundred bytes.
const MESSAGE_BYTES_MAX: usize = 4_096;

/// Most rounds of hashing that a server may ask for. PostgreSQL asks for 4,096 unless told otherwise;
/// each takes about a microsecond of a thread that others wait for.
const ITERATIONS_MAX: u32 = 1_000_000;

/// Bytes of a message before its body: its kind and its length, which does not count the kind.
const HEADER_BYTES: usize = 5;

/// Reads along until the server says that the client is authenticated.
#[derive(Debug)]
pub(super) struct Guard {
    methods: Methods,
    /// What came of the present message, as far as it says what it is.
    message: Vec<u8>,
    /// Bytes of a message of another kind that are still to come.
    skip: usize,
    /// Whether anything was asked for.
    asked: bool,
    passed: bool,
}

impl Guard {
    pub(super) const fn new(methods: Methods) -> Self {
        Self { methods, message: Vec::new(), skip: 0, asked: false, passed: false }
    }

    /// Whether authentication is over: nothing needs to be watched any more.
    pub(super) const fn has_passed(&self) -> bool {
        self.passed
    }

    /// Looks at what came next.
    ///
    /// # Errors
    /// The bytes complete a request that must not be answered.
    pub(super) fn watch(&mut self, mut bytes: &[u8]) -> Result<(), ServerRefusal> {
        while !bytes.is_empty() && !self.passed {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let wanted = self.wanted()?.saturating_sub(self.message.len()).min(bytes.len());
            self.message.extend_from_slice(&bytes[..wanted]);
            bytes = &bytes[wanted..];
            if self.message.len() >= HEADER_BYTES && self.message[0] != b'R' {
                self.skip = self.length()?.saturating_sub(HEADER_BYTES);
                self.message.clear();
            } else if self.message.len() >= HEADER_BYTES && self.message.len() == self.length()? {
                self.judge()?;
                self.message.clear();
            }
        }
        Ok(())
    }

    /// How long the present message has to be before it can be looked at.
    fn wanted(&self) -> Result<usize, ServerRefusal> {
        match self.message.len() {
            0..HEADER_BYTES => Ok(HEADER_BYTES),
            _ => self.length(),
        }
    }

    /// The length of the present message, whose header is there.
    fn length(&self) -> Result<usize, ServerRefusal> {
        let length = [self.message[1], self.message[2], self.message[3], self.message[4]];
        let length = u32::from_be_bytes(length) as usize + 1;
        let most = if self.message[0] == b'R' { MESSAGE_BYTES_MAX } else { usize::MAX };
        match (HEADER_BYTES..=most).contains(&length) {
            true => Ok(length),
            false => Err(ServerRefusal::new("what answers does not speak as PostgreSQL does")),
        }
    }

    /// Judges a whole message about authentication.
    fn judge(&mut self) -> Result<(), ServerRefusal> {
        let body = &self.message[HEADER_BYTES..];
        let code = body.first_chunk().map(|code| u32::from_be_bytes(*code));
        let Methods { none, scram, md5, password } = self.methods;
        let allowed = match code {
            Some(0) => {
                self.passed = true;
                self.asked || none
            }
            Some(3) => password,
            Some(5) => md5,
            Some(10) => scram,
            Some(11) => return iterations(&body[4..]),
            // The client knows no other, and says so.
            _ => return Ok(()),
        };
        self.asked = true;
        if allowed { Ok(()) } else { Err(refusal(code)) }
    }
}

/// Refuses a request for so many rounds of hashing that they would take the thread for long.
fn iterations(body: &[u8]) -> Result<(), ServerRefusal> {
    let rounds = body.split(|byte| *byte == b',').find_map(|part| part.strip_prefix(b"i="));
    let rounds = rounds.and_then(|rounds| str::from_utf8(rounds).ok()?.parse().ok());
    match rounds.unwrap_or(0) {
        0..=ITERATIONS_MAX => Ok(()),
        more => Err(ServerRefusal::new(format!(
            "the server asks for {more} rounds of hashing of the password: expected at most {ITERATIONS_MAX} \
             (scram_iterations)"
        ))),
    }
}

fn refusal(code: Option<u32>) -> ServerRefusal {
    const REMEDY: &str = "give the user a password under password_encryption = 'scram-sha-256' and let \
         pg_hba.conf ask for scram-sha-256, or";
    ServerRefusal::new(match code {
        Some(3) => format!(
            "the server asks for the password itself, and got nothing: {REMEDY} allow it by \
             require_auth=password in database_url"
        ),
        Some(5) => format!(
            "the server asks for an md5 hash of the password, and got nothing: {REMEDY} allow it by \
             require_auth=md5 in database_url"
        ),
        Some(0) => "the server asks for no password, and require_auth in database_url wants one: let \
             pg_hba.conf ask for scram-sha-256, or add none to require_auth"
            .to_owned(),
        _ => "the server asks for a password by SCRAM, which require_auth in database_url does not allow: \
             add scram-sha-256 there"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).expect("short").to_be_bytes();
        [&[kind][..], &length, body].concat()
    }

    fn request(code: u32, body: &[u8]) -> Vec<u8> {
        message(b'R', &[&code.to_be_bytes()[..], body].concat())
    }

    /// Whether the guard lets `messages` through, cut as `cut` says.
    fn passes(methods: Methods, messages: &[Vec<u8>], cut: usize) -> Result<bool, String> {
        let mut guard = Guard::new(methods);
        for bytes in messages.concat().chunks(cut) {
            guard.watch(bytes).map_err(|refusal| refusal.to_string())?;
        }
        Ok(guard.has_passed())
    }

    #[test]
    fn only_scram_is_answered_unless_told_otherwise() {
        let scram = request(10, b"SCRAM-SHA-256\0\0");
        let (clear, md5, good) = (request(3, b""), request(5, b"salt"), request(0, b""));
        let notice = message(b'N', &[b'R'; 300]);
        for cut in 1..40 {
            let passes = |methods, messages: &[Vec<u8>]| passes(methods, messages, cut);
            let default = Methods::default();
            assert_eq!(passes(default, &[notice.clone(), scram.clone(), good.clone()]), Ok(true));
            assert_eq!(passes(default, std::slice::from_ref(&good)), Ok(true));
            let refused = passes(default, &[notice.clone(), clear.clone()]).expect_err("refused");
            assert!(refused.contains("require_auth=password"), "{refused}");
            let refused = passes(default, &[md5.clone(), good.clone()]).expect_err("refused");
            assert!(refused.contains("require_auth=md5"), "{refused}");
            let told = Methods::parse("md5,password").expect("methods");
            assert_eq!(passes(told, &[clear.clone(), good.clone()]), Ok(true));
            assert_eq!(passes(told, &[md5.clone(), good.clone()]), Ok(true));
            passes(told, &[scram.clone(), good.clone()]).expect_err("not allowed");
            let scram_only = Methods::parse(SCRAM).expect("a method");
            passes(scram_only, std::slice::from_ref(&good)).expect_err("a password is wanted");
        }
    }

    #[test]
    fn a_server_cannot_ask_for_endless_hashing_or_a_message_without_an_end() {
        let rounds = |count: &str| request(11, format!("r=x,s=eA==,i={count}").as_bytes());
        let default = Methods::default();
        assert_eq!(passes(default, &[rounds("4096")], 7), Ok(false));
        passes(default, &[rounds("4000000000")], 7).expect_err("too many");
        passes(default, &[request(10, &[b'x'; MESSAGE_BYTES_MAX])], 7).expect_err("too long");
        passes(default, &[b"N\0\0\0\0".to_vec()], 7).expect_err("no message");
    }

    #[test]
    fn methods_are_named_as_in_libpq() {
        assert_eq!(Methods::parse("none, scram-sha-256"), Ok(Methods::default()));
        assert_eq!(Methods::parse("!password,!md5"), Ok(Methods::default()));
        for bad in ["", "gss", "md5,!password", "scram-sha-256,"] {
            Methods::parse(bad).expect_err(bad);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_a_server_sends_makes_it_panic(bytes: Vec<u8>, cut in 1..9_usize) {
            let mut guard = Guard::new(Methods::default());
            for part in bytes.chunks(cut) {
                if guard.watch(part).is_err() {
                    break;
                }
            }
        }
    }
}
