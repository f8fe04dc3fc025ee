//! A syntax tree to DataFusion's logical expression: resolved, typed, and rewritten to our semantics.
//!
//! The path of every expression (aggregate functions take theirs as arguments): [`plan`] (text → logical expression of one scope, mistakes with their
//! places) and later [`compile`] (logical → physical expression for batches of a physical schema). No session, no catalog.
//! DataFusion's own simplifier is not used: it folds constants with wrapping arithmetic, and it drops and reorders operands that
//! could fail. [`crate::rewrite`] does the little that is needed.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DFSchema, DataFusionError, Result as DfResult, TableReference, plan_err};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion_expr::{AggregateUDF, Expr, HigherOrderUDF, ScalarUDF, TableSource, WindowUDF};
use datafusion_optimizer::simplify_expressions::ExprSimplifier;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use datafusion_sql::planner::{ParserOptions, PlannerContext, SqlToRel};
use datafusion_sql::sqlparser::ast::{DataType as SqlType, Expr as Tree};
use millstream_api::{Error, Result};

use crate::error::ExprError;
use crate::names::{self, Purpose};
use crate::sql::{self, Sql};
use crate::stack::with_room;
use crate::types::named_type;
use crate::{functions, mismatch, physical, rewrite};

/// A typed logical expression.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    /// The expression, coerced: every operator and function has arguments of a type that it takes.
    pub(crate) expr: Expr,
    /// Its text, without `as name`.
    pub(crate) text: String,
    /// The name that `as` gives it.
    pub(crate) alias: Option<String>,
    /// How deep it is nested: see [`with_room`].
    pub(crate) depth: usize,
}

/// Parses, resolves and types `text` (`expr` or `expr as name`) against a stream's logical schema.
pub(crate) fn plan(text: &str, scope: &Scope) -> Result<Planned, ExprError> {
    typed(sql::parse(text)?, text, scope, Purpose::Scalar)
}

/// Resolves and types `sql`, which was parsed from `text`.
pub(crate) fn typed(sql: Sql, text: &str, scope: &Scope, purpose: Purpose) -> Result<Planned, ExprError> {
    names::check(&sql, text, scope.arrow(), purpose)?;
    let expr = with_room(sql.depth, || mismatch::typed(&sql, text, scope))?;
    let Sql { text, alias, depth, .. } = sql;
    Ok(Planned { expr, text, alias, depth })
}

/// Makes a planned expression ready for batches of this physical schema.
pub(crate) fn compile(expr: &Expr, depth: usize, schema: &Schema) -> Result<Arc<dyn PhysicalExpr>> {
    let scope = Scope::new(schema)?;
    with_room(depth, || compile_in(expr, &scope)).map_err(Error::internal)
}

/// The columns that an expression may name.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    columns: DFSchema,
}

impl Scope {
    /// The columns of a stream.
    pub(crate) fn new(schema: &Schema) -> Result<Scope> {
        let columns = DFSchema::try_from(schema.clone()).map_err(Error::internal)?;
        Ok(Scope { columns })
    }

    /// As Arrow's schema.
    pub(crate) fn arrow(&self) -> &SchemaRef {
        self.columns.inner()
    }

    /// As DataFusion's schema.
    pub(crate) fn columns(&self) -> &DFSchema {
        &self.columns
    }

    /// A syntax tree as a logical expression, coerced.
    pub(crate) fn logical(&self, tree: Tree) -> DfResult<Expr> {
        self.coerced(self.resolved(tree)?)
    }

    /// A syntax tree as a logical expression, with the types that its parts have by themselves.
    pub(crate) fn resolved(&self, tree: Tree) -> DfResult<Expr> {
        let planner = SqlToRel::new_with_options(&Functions, PARSER_OPTIONS);
        rewrite::unified(planner.sql_to_expr(tree, &self.columns, &mut PlannerContext::new())?, self)
    }

    /// With casts wherever an operator or function needs them.
    pub(crate) fn coerced(&self, expr: Expr) -> DfResult<Expr> {
        ExprSimplifier::new(Default::default()).coerce(expr, &self.columns)
    }
}

/// The physical expression of a coerced logical one, with our row semantics.
pub(crate) fn compile_in(expr: &Expr, scope: &Scope) -> DfResult<Arc<dyn PhysicalExpr>> {
    static PROPERTIES: LazyLock<ExecutionProps> = LazyLock::new(ExecutionProps::new);
    let plain = create_physical_expr(expr, &scope.columns, &PROPERTIES, &PhysicalPlanningContext::default())?;
    physical::with_row_semantics(plain, scope.arrow())
}

/// Identifiers stay as they are written; a number with a point is a double.
const PARSER_OPTIONS: ParserOptions = ParserOptions {
    parse_float_as_decimal: false,
    enable_ident_normalization: false,
    support_varchar_with_length: false,
    enable_options_value_normalization: false,
    collect_spans: false,
    map_string_types_to_utf8view: true,
    default_null_ordering: datafusion_sql::planner::NullOrdering::NullsMax,
};

/// What DataFusion's planner may ask for: our functions and our types, nothing else.
struct Functions;

#[derive(Debug)]
struct Types;

impl TypePlanner for Types {
    fn plan_type_field(&self, sql_type: &SqlType) -> DfResult<Option<FieldRef>> {
        let data_type = named_type(sql_type).map_err(DataFusionError::Plan)?;
        Ok(Some(Arc::new(Field::new("", data_type, true))))
    }
}

impl ContextProvider for Functions {
    fn get_table_source(&self, name: TableReference) -> DfResult<Arc<dyn TableSource>> {
        plan_err!("there is no table {name} in an expression")
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        functions::planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(Types))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        functions::scalar(name).cloned()
    }

    fn get_higher_order_meta(&self, _: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, _: &str) -> Option<Arc<AggregateUDF>> {
        None
    }

    fn get_window_meta(&self, _: &str) -> Option<Arc<WindowUDF>> {
        None
    }

    fn get_variable_type(&self, _: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        static OPTIONS: LazyLock<ConfigOptions> = LazyLock::new(ConfigOptions::default);
        &OPTIONS
    }

    fn udf_names(&self) -> Vec<String> {
        functions::scalar_names().map(str::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udwf_names(&self) -> Vec<String> {
        Vec::new()
    }
}
