//! What is wrong with a request.

use crate::problem::FieldError;

/// What is wrong with a request, collected.
#[derive(Debug, Default)]
pub(super) struct Errors(pub(super) Vec<FieldError>);

impl Errors {
    pub(super) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    /// The value, or a note of why `pointer` has none.
    pub(super) fn take<T, E: ToString>(
        &mut self,
        pointer: &str,
        result: Result<T, E>,
    ) -> Option<T> {
        result.map_err(|error| self.add(pointer, error.to_string())).ok()
    }
}
