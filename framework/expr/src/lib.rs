//! SQL expression text to typed, vectorised expressions and aggregate functions.
//!
//! The only crate that names DataFusion. Modules in reading order:
//!
//! - [`error`]: what is wrong with an expression, and where in its text
//! - `sql`, `nesting`, `chains`, `distinct`, `arrows`, `shorthands`: text to a syntax tree that is not too deep, with shorthands written out
//! - `stack`: room for deep expressions
//! - `types`: which Arrow types may be in a stream, and what SQL calls them
//! - `functions`: which functions there are; `adapted`, `bounded`, `growth`: what is ours about DataFusion's; `absent`: what others call them
//! - [`catalogue`]: the functions as a list for people
//! - `formats`, `time_text`, `time_reading`, `json`, on `texts`: functions of our own, of times and of JSON
//! - `names`: columns, functions and constructs, checked on the syntax tree
//! - `doubts`: what is right and hardly meant; `normal`: texts that mean the same
//! - `syntax` and `planner`: the path from text to a logical expression, and from that to a physical one
//! - `rules` and `mismatch`: types that do not fit together, found, placed and worded
//! - `rewrite` and `canonical`: our semantics on logical expressions
//! - `physical` and `evaluate`: our semantics row by row
//! - [`scalar`]: expressions that give one value for each row
//! - [`order`]: which row comes first by a list of expressions
//! - [`joined`]: expressions over the two sides of a join
//! - [`aggregate`]: aggregate functions over groups of rows

mod absent;
mod adapted;
pub mod aggregate;
mod arrows;
mod bounded;
mod canonical;
pub mod catalogue;
mod chains;
mod distinct;
mod doubts;
pub mod error;
mod evaluate;
mod formats;
mod functions;
mod growth;
pub mod joined;
mod json;
mod mismatch;
mod names;
mod nesting;
mod normal;
pub mod order;
mod physical;
mod planner;
mod rewrite;
mod rules;
pub mod scalar;
mod shorthands;
mod sql;
mod stack;
mod syntax;
mod texts;
mod time_reading;
mod time_text;
mod types;

pub use aggregate::{Aggregate, Arguments, BoundAggregate, ComputeItem, GroupExpression, Groups, Interner, RowOrder};
pub use doubts::{doubts, doubts_of_items};
pub use error::ExprError;
pub use joined::{Condition, Equality, JoinScope, Side};
pub use normal::normal_text;
pub use order::OrderItem;
pub use scalar::{BadValue, BoundScalar, Evaluated, Scalar, ScalarKey};
