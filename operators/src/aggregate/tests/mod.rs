//! Tests of the aggregate operator.
