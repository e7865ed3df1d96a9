//! How an error is written with everything that caused it.

use std::error::Error;
use std::fmt;

/// An error with what caused it, as one sentence: `read the stream: the log is unavailable: connection refused`.
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let causes = std::iter::successors(self.0.source(), |&error| error.source());
        for cause in causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Failed(Option<Box<Self>>);

    impl fmt::Display for Failed {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(if self.0.is_some() { "write the file" } else { "the disk is full" })
        }
    }

    impl Error for Failed {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.0.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn an_error_is_followed_by_its_causes() {
        let cause = Failed(None);
        assert_eq!(Chain(&cause).to_string(), "the disk is full");
        let error = Failed(Some(Box::new(cause)));
        assert_eq!(Chain(&error).to_string(), "write the file: the disk is full");
    }
}
