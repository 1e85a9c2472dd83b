//! What a program may return, by its kind and place of attachment.

use crate::fault::Rule;
use crate::step::Use;
use crate::verifier::Verifier;

impl Verifier<'_> {
    /// The value in r0 at the program's exit.
    pub fn check_return_code(&mut self) -> Rule {
        self.check_reg_arg(0, Use::Read)
    }
}
