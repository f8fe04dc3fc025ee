//! Columns to text: what the sinks write and what a bad row is shown as.
//!
//! An encoder looks at each column's type once per batch and gives a closure per column; rows are then written by calling
//! these closures, so that there is no type test and no allocation per value. Modules in reading order:
//!
//! - [`text`]: the text of single values that is the same in all formats
//! - [`json`]: one JSON object a line
//! - [`csv`]: comma-separated values after RFC 4180
//! - [`table`]: aligned columns for people

pub mod csv;
pub mod json;
pub mod table;
pub mod text;

/// Writes the value of a row of one column.
pub(crate) type WriteValue<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;
