//! What a client asks of a view, read from a query string.
//!
//! Some names are reserved (`limit`, `order`, ...); every other name is that of a column, perhaps
//! with a condition behind it. A column with a reserved name is asked for with `.eq`.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{
    SortColumn, SortOptions, and, filter_record_batch, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::Schema;
use arrow::error::ArrowError;

use super::filter::{self, Filter, column_of};
use super::formats::Form;
use super::problem::{Problem, shortened};
use crate::catalog::{Catalog, ViewAt};

/// How many rows an answer has unless the client says otherwise.
pub(super) const ROWS: usize = 1000;
/// How many rows an answer has at most.
pub(super) const MOST_ROWS: usize = 100_000;
/// A view of no more rows is looked through rather than indexed.
const FEW_ROWS: usize = 256;

/// What a client asks of a view.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    filters: Vec<Filter>,
    /// Text that some column of a row shall contain.
    search: Option<String>,
    order: Vec<(usize, SortOptions)>,
    columns: Option<Vec<usize>>,
    pub(super) skip: usize,
    pub(super) limit: Option<usize>,
    pub(super) at: Option<u64>,
    pub(super) form: Option<Form>,
    /// The least time between two events of changes.
    pub(super) every: Option<Duration>,
}

/// Rows that answer a question.
pub(super) struct Found {
    pub(super) rows: RecordBatch,
    /// How many rows match, shown or not.
    pub(super) total: usize,
}

impl Question {
    /// Reads a query string's names and values.
    ///
    /// # Errors
    /// If a name or a value is none.
    pub(super) fn parse(schema: &Schema, pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut question = Question::default();
        for (key, value) in pairs {
            match key.as_str() {
                "limit" => {
                    let limit = usize::try_from(number(key, value)?).unwrap_or(usize::MAX);
                    if limit > MOST_ROWS {
                        let message = format!("limit is at most {MOST_ROWS}");
                        return Err(Problem::bad("bad_limit", message));
                    }
                    question.limit = Some(limit);
                }
                "skip" => {
                    question.skip = usize::try_from(number(key, value)?).unwrap_or(usize::MAX);
                }
                "at" => question.at = Some(number(key, value)?),
                "every_ms" => question.every = Some(Duration::from_millis(number(key, value)?)),
                "order" => question.order = order(schema, value)?,
                "q" => question.search = Some(value.clone()).filter(|text| !text.is_empty()),
                "columns" => {
                    let names = value.split(',').map(|name| column_of(schema, name.trim()));
                    question.columns = Some(names.collect::<Result<_, _>>()?);
                }
                "format" => question.form = Some(Form::named(value)?),
                // Who asks has been looked at already.
                "token" => {}
                _ => question.filters.push(Filter::parse(schema, key, value)?),
            }
        }
        Ok(question)
    }

    /// Whether the answer may take a while to put together, if no index helps.
    pub(super) fn is_heavy(&self, view: &ViewAt<'_>) -> bool {
        let rows = match self.picks() {
            true => self.limit.unwrap_or(ROWS).saturating_add(self.skip),
            false => view.total(),
        };
        rows.min(view.total()) > 2 * ROWS
    }

    /// The rows of a view that answer the question, out of those that an index has found if one has.
    /// Asks for an index where one would help.
    ///
    /// # Errors
    /// If the rows cannot be compared or sorted.
    pub(super) fn answer(
        &self,
        catalog: &Catalog,
        view: &ViewAt<'_>,
        limit: usize,
        indexed: Option<RecordBatch>,
    ) -> Result<Found, ArrowError> {
        if self.picks() {
            let rows = self.project(view.some_rows(self.skip, limit))?;
            let total = view.total();
            return Ok(Found { rows, total });
        }
        let rows = match indexed {
            Some(rows) => rows,
            None => {
                let columns: Vec<usize> = self.equalities().map(|(column, _)| column).collect();
                if !columns.is_empty() && view.total() > FEW_ROWS {
                    catalog.want_index(view.place(), &columns);
                }
                view.rows()
            }
        };
        let rows = self.matching(&rows)?;
        let total = rows.num_rows();
        let rows = self.ordered(rows, limit)?;
        let skip = self.skip.min(rows.num_rows());
        let rows = rows.slice(skip, limit.min(rows.num_rows() - skip));
        let rows = self.project(rows)?;
        Ok(Found { rows, total })
    }

    /// Whether the rows are the view's own, in its order.
    fn picks(&self) -> bool {
        self.filters.is_empty() && self.order.is_empty() && self.search.is_none()
    }

    /// The equalities that an index can answer, by column, each column once.
    fn equalities(&self) -> impl Iterator<Item = (usize, &ArrayRef)> {
        let mut equalities: Vec<(usize, &ArrayRef)> =
            self.filters.iter().filter_map(Filter::indexable).collect();
        equalities.sort_by_key(|(column, _)| *column);
        equalities.dedup_by_key(|(column, _)| *column);
        equalities.into_iter()
    }

    /// The rows that have the values that are asked for, if there is an index by them.
    pub(super) fn by_index(&self, view: &ViewAt<'_>) -> Option<RecordBatch> {
        let (columns, values): (Vec<usize>, Vec<ArrayRef>) = self
            .equalities()
            .map(|(column, value)| (column, Arc::clone(value)))
            .unzip();
        match columns.is_empty() {
            true => None,
            false => view.find(&columns, &values),
        }
    }

    fn matching(&self, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        match self.mask(rows)? {
            Some(mask) => filter_record_batch(rows, &mask),
            None => Ok(rows.clone()),
        }
    }

    /// For each row whether it meets the conditions; `None` if there are none.
    pub(super) fn mask(&self, rows: &RecordBatch) -> Result<Option<BooleanArray>, ArrowError> {
        let met = filter::evaluate(&self.filters, rows)?;
        let Some(text) = &self.search else {
            return Ok(met);
        };
        let found = filter::containing(rows, text)?;
        Ok(Some(match met {
            Some(met) => and(&met, &found)?,
            None => found,
        }))
    }

    /// The columns that were asked for.
    pub(super) fn project(&self, rows: RecordBatch) -> Result<RecordBatch, ArrowError> {
        match &self.columns {
            Some(columns) => rows.project(columns),
            None => Ok(rows),
        }
    }

    /// The first rows in the order that was asked for; equal ones in the view's own order.
    fn ordered(&self, rows: RecordBatch, limit: usize) -> Result<RecordBatch, ArrowError> {
        if self.order.is_empty() {
            return Ok(rows);
        }
        let mut keys: Vec<SortColumn> = self
            .order
            .iter()
            .map(|(column, options)| SortColumn {
                values: Arc::clone(rows.column(*column)),
                options: Some(*options),
            })
            .collect();
        let count = u32::try_from(rows.num_rows()).unwrap_or(u32::MAX);
        keys.push(SortColumn {
            values: Arc::new(UInt32Array::from_iter_values(0..count)),
            options: None,
        });
        let wanted = self.skip.saturating_add(limit);
        let indices = lexsort_to_indices(&keys, Some(wanted))?;
        take_record_batch(&rows, &indices)
    }
}

fn number(key: &str, value: &str) -> Result<u64, Problem> {
    let code = if key == "limit" {
        "bad_limit"
    } else {
        "bad_number"
    };
    let number = value.parse::<i64>().ok();
    let number = number.and_then(|number| u64::try_from(number).ok());
    number.ok_or_else(|| {
        let message = format!("{key} is a whole number, \"{}\" is none", shortened(value));
        Problem::bad(code, message)
    })
}

/// `-revenue,category`: by revenue, the greatest first, then by category. NULL counts as greatest.
fn order(schema: &Schema, text: &str) -> Result<Vec<(usize, SortOptions)>, Problem> {
    let key = |name: &str| {
        let name = name.trim();
        // A column's name may itself begin with a minus.
        let (name, descending) = match (schema.index_of(name), name.strip_prefix('-')) {
            (Err(_), Some(name)) => (name, true),
            _ => (name, false),
        };
        let column = column_of(schema, name)?;
        if schema.field(column).data_type().is_nested() {
            let message = format!("rows cannot be put in order by column \"{name}\"");
            return Err(Problem::bad("bad_order", message));
        }
        let options = SortOptions {
            descending,
            nulls_first: descending,
        };
        Ok((column, options))
    };
    text.split(',').map(key).collect()
}
