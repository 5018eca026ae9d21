//! `toolgate schema`: prints the JSON Schema of the policy file.

use std::io::{self, Write};

use crate::policy::schema_text;

/// Writes the schema.
///
/// # Errors
/// Where `out` cannot be written to.
pub fn run(out: &mut dyn Write) -> io::Result<()> {
    out.write_all(schema_text().as_bytes())
}
