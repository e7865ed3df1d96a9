//! Takes parameters that `tokio_postgres` does not know out of a connection string.

use percent_encoding::percent_decode_str;

/// What `tokio_postgres` reads, and the parameters of ours with their values, as they were found.
pub(super) struct Parameters {
    pub(super) rest: String,
    pub(super) taken: Vec<(String, String)>,
}

impl Parameters {
    /// Takes the parameters of these names out of a URL or of `key=value` pairs.
    pub(super) fn take(text: &str, names: &[&str]) -> Self {
        let scheme =
            ["postgres://", "postgresql://"].iter().find(|scheme| text.starts_with(**scheme));
        match scheme {
            Some(scheme) => Self::of_url(text, scheme.len(), names),
            None => Self::of_pairs(text, names),
        }
    }

    /// As `tokio_postgres` splits it: the first `@` ends the credentials, and a `?` after it begins the
    /// parameters.
    fn of_url(url: &str, scheme: usize, names: &[&str]) -> Self {
        let host = url[scheme..].find('@').map_or(scheme, |at| scheme + at + 1);
        let Some(query) = url[host..].find('?').map(|mark| host + mark) else {
            return Self { rest: url.to_owned(), taken: Vec::new() };
        };
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (mut kept, mut taken) = (Vec::new(), Vec::new());
        for pair in url[query + 1..].split('&') {
            match pair.split_once('=').map(|(key, value)| (decoded(key), value)) {
                Some((key, value)) if names.contains(&key.as_str()) => {
                    taken.push((key, decoded(value)));
                }
                _ => kept.push(pair),
            }
        }
        let kept = kept.join("&");
        let mark = if kept.is_empty() { "" } else { "?" };
        Self { rest: format!("{}{mark}{kept}", &url[..query]), taken }
    }

    /// Values may be quoted, and a backslash takes the next character as it is.
    fn of_pairs(text: &str, names: &[&str]) -> Self {
        let (mut rest, mut taken) = (String::new(), Vec::new());
        let mut left = text;
        while let Some((pair, key, value, after)) = pair(left) {
            if names.contains(&key) {
                taken.push((key.to_owned(), value));
            } else {
                rest.push_str(pair);
                rest.push(' ');
            }
            left = after;
        }
        // What is no pair is `tokio_postgres`' to refuse.
        rest.push_str(left.trim());
        Self { rest, taken }
    }
}

/// The first pair of `text`, its key and value, and what comes after it.
fn pair(text: &str) -> Option<(&str, &str, String, &str)> {
    let text = text.trim_start();
    let (key, value) = text.split_once('=')?;
    let value = value.trim_start();
    let (decoded, length) = value_of(value);
    let after = &value[length..];
    let whole = &text[..text.len() - after.len()];
    Some((whole, key.trim_end(), decoded, after))
}

/// The value that `text` begins with, and how many bytes it takes there.
fn value_of(text: &str) -> (String, usize) {
    let quoted = text.starts_with('\'');
    let mut characters = text.char_indices().skip(usize::from(quoted));
    let mut value = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' if quoted => return (value, at + 1),
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            space if space.is_whitespace() && !quoted => return (value, at),
            other => value.push(other),
        }
    }
    (value, text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(text: &str) -> (String, Vec<(String, String)>) {
        let Parameters { rest, taken } = Parameters::take(text, &["sslmode", "sslrootcert"]);
        (rest, taken)
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn ours_are_taken_out_of_a_url_and_the_rest_stays_as_it_was() {
        for (url, rest, taken) in [
            ("postgres://u:p@h/d", "postgres://u:p@h/d", &[][..]),
            (
                "postgres://u:p%3F@h/d?sslmode=require",
                "postgres://u:p%3F@h/d",
                &[("sslmode", "require")],
            ),
            (
                "postgresql://u:p?sslmode=disable@h:1,[::1]:2/d?a=b&sslrootcert=%2Fa%20b&c=d",
                "postgresql://u:p?sslmode=disable@h:1,[::1]:2/d?a=b&c=d",
                &[("sslrootcert", "/a b")],
            ),
            ("postgres:///d?host=/run&ssl%6Dode=x", "postgres:///d?host=/run", &[("sslmode", "x")]),
        ] {
            assert_eq!(take(url), (rest.to_owned(), pairs(taken)), "{url}");
        }
    }

    #[test]
    fn ours_are_taken_out_of_pairs_and_the_rest_stays_as_it_was() {
        for (text, rest, taken) in [
            ("host=h user=u", "host=h user=u ", &[][..]),
            ("host=h sslmode = require user=u", "host=h user=u ", &[("sslmode", "require")]),
            (
                r"password='a sslmode=x \' b' sslrootcert='/a b\\c' host=h",
                r"password='a sslmode=x \' b' host=h ",
                &[("sslrootcert", r"/a b\c")],
            ),
            ("host=h nonsense", "host=h nonsense", &[]),
        ] {
            assert_eq!(take(text), (rest.to_owned(), pairs(taken)), "{text}");
        }
    }
}
