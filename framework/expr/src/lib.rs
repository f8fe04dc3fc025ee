//! SQL expression text to typed, vectorised expressions and aggregate functions.
//!
//! The only crate that names DataFusion. Modules in reading order:
//!
//! - [`error`]: what is wrong with an expression, and where in its text
//! - [`scalar`]: expressions that give one value for each row
//! - [`aggregate`]: aggregate functions over groups of rows

pub mod aggregate;
pub mod error;
pub mod scalar;

pub use aggregate::{Aggregate, Arguments, BoundAggregate, Groups, RowOrder};
pub use error::ExprError;
pub use scalar::{BadValue, BoundScalar, Evaluated, Scalar, ScalarKey};
