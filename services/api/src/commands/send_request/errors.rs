//! What is wrong with a request.

use crate::field_error::Fault;
use crate::problem::{FieldCode, FieldError};

/// What is wrong with a request, collected.
#[derive(Debug, Default)]
pub(super) struct Errors(pub(super) Vec<FieldError>);

impl Errors {
    /// The value is not of the form that `detail` says.
    pub(super) fn add(&mut self, pointer: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, detail));
    }

    /// A fault of another kind.
    pub(super) fn add_coded(
        &mut self,
        code: FieldCode,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) {
        self.0.push(FieldError::coded(code, pointer, detail));
    }

    /// The value, or a note of why `pointer` has none.
    pub(super) fn take<T, E: Fault>(&mut self, pointer: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.0.push(FieldError::of(pointer, &error))).ok()
    }
}
