//! `millstream schema`: the topology file's JSON Schema, for editors, and the reference file that is generated from it.
//!
//! Everything comes from the option structs of the registered types, the keys that all nodes share, and the settings: what
//! is printed here is what `check` accepts, also for types of the user's own. Modules in reading order:
//!
//! - `document`: the schema of the whole file
//! - `definitions`: the definitions of many schemas under one roof
//! - `tidy`: from what schemars says to what a file may say
//! - `reference`: every key as a line of TOML

mod definitions;
mod document;
mod reference;
mod tidy;

pub use document::{ROLES, RoleTable};

use millstream_api::Registry;

use crate::args::{Schema, SchemaFormat};
use crate::console::Console;
use crate::status::Status;

/// Prints the schema.
pub fn schema(args: &Schema, registry: &Registry, console: &Console) -> Status {
    match args.format {
        SchemaFormat::Json => console.print(&format!("{:#}\n", document::document(registry))),
        SchemaFormat::Toml => console.print(&reference::reference(registry)),
    }
}
