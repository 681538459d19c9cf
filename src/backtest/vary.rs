//! What varies, as it is said on the command line.

use super::BacktestError;

/// A column of a table or view, and the values that it shall have instead of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vary {
    /// The table or view.
    pub relation: String,
    /// Which of its rows: a column and its value; all of them without it.
    pub only: Option<(String, String)>,
    /// The column.
    pub column: String,
    /// The values, a variant each.
    pub values: Vec<String>,
}

impl Vary {
    /// Reads `table.column=1,2,3` or `table[rule=velocity].column=1,2,3`.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn parse(text: &str) -> Result<Vary, BacktestError> {
        let wrong = || BacktestError::NotVaried(text.to_owned());
        let (relation, only, rest) = match text.split_once('[') {
            Some((relation, rest)) if !relation.contains('=') => {
                let (only, rest) = rest.split_once(']').ok_or_else(wrong)?;
                let (column, value) = only.split_once('=').ok_or_else(wrong)?;
                let only = (column.trim().to_owned(), value.trim().to_owned());
                let rest = rest.strip_prefix('.').ok_or_else(wrong)?;
                (relation, Some(only), rest)
            }
            _ => {
                let (relation, rest) = text.split_once('.').ok_or_else(wrong)?;
                (relation, None, rest)
            }
        };
        let (column, values) = rest.split_once('=').ok_or_else(wrong)?;
        let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
        let names = [relation.trim(), column.trim()];
        if names.iter().any(|name| name.is_empty()) || values.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Vary {
            relation: names[0].to_owned(),
            only,
            column: names[1].to_owned(),
            values,
        })
    }

    /// What it is called in a table of outcomes.
    pub fn name(&self) -> String {
        match &self.only {
            Some((_, value)) => format!("{value}.{}", self.column),
            None => format!("{}.{}", self.relation, self.column),
        }
    }
}

/// What tells whether something was rightly blocked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// The table or view that has it.
    pub relation: String,
    /// The column.
    pub column: String,
    /// The value that means yes; without it the column is true or false.
    pub value: Option<String>,
}

impl Label {
    /// Reads `table.column` or `table.column=value`.
    ///
    /// # Errors
    /// If the text is neither.
    pub fn parse(text: &str) -> Result<Label, BacktestError> {
        let wrong = || BacktestError::NotLabel(text.to_owned());
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.trim().to_owned())),
            None => (text, None),
        };
        let (relation, column) = name.split_once('.').ok_or_else(wrong)?;
        let (relation, column) = (relation.trim(), column.trim());
        if relation.is_empty() || column.is_empty() {
            return Err(wrong());
        }
        Ok(Label {
            relation: relation.to_owned(),
            column: column.to_owned(),
            value,
        })
    }
}
