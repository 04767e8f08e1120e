//! Single figures, each with its budget if it has one.

use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

/// What a figure may be at most, and where that is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) most: f64,
    pub(crate) words: &'static str,
}

struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    budget: Option<Budget>,
}

/// All of a run, in the order they were measured.
#[derive(Default)]
pub(crate) struct Figures(Vec<Figure>);

impl Figures {
    /// One without a budget.
    pub(crate) fn add(&mut self, name: impl Into<String>, value: f64, unit: &'static str) {
        self.0.push(Figure { name: name.into(), value, unit, budget: None });
    }

    /// One with a budget.
    pub(crate) fn judge(&mut self, name: impl Into<String>, value: f64, unit: &'static str, budget: Budget) {
        self.0.push(Figure { name: name.into(), value, unit, budget: Some(budget) });
    }

    /// For people.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(presets::UTF8_FULL_CONDENSED);
        table.set_header(["figure", "value", "unit", "budget", ""]);
        for figure in &self.0 {
            table.add_row([
                figure.name.clone(),
                digits(figure.value),
                figure.unit.to_owned(),
                figure.budget.map_or("-", |budget| budget.words).to_owned(),
                figure.verdict().unwrap_or_default().to_owned(),
            ]);
        }
        if let Some(column) = table.column_mut(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        table
    }

    /// For programs.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let object = |figure: &Figure| {
            let budget = figure.budget.map(|budget| budget.words);
            json!({ "name": figure.name, "value": figure.value, "unit": figure.unit, "budget": budget,
                "verdict": figure.verdict() })
        };
        self.0.iter().map(object).collect()
    }
}

impl Figure {
    fn verdict(&self) -> Option<&'static str> {
        self.budget.map(|budget| if self.value <= budget.most { "met" } else { "missed" })
    }
}

/// As many digits as mean something.
fn digits(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 0.1 || v == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_met_up_to_its_last_bit_and_no_further() {
        let mut figures = Figures::default();
        let budget = Budget { most: 2.0, words: "2" };
        figures.judge("at it", 2.0, "", budget);
        figures.judge("beyond", 2.1, "", budget);
        figures.judge("no figure", f64::NAN, "", budget);
        figures.add("free", 9.0, "");
        let verdicts: Vec<_> = figures.0.iter().map(Figure::verdict).collect();
        assert_eq!(verdicts, [Some("met"), Some("missed"), Some("missed"), None]);
    }
}
