//! What the columns of an edge are made of, as text over the columns of tables: it tells the state of `SUM(a)` from that of
//! `SUM(2 * a)`, whatever numbers the columns have in between. Filters are not part of it: a state goes on under another one.

use std::collections::BTreeSet;

use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::utils::collect_columns;

use crate::expr::{Compiled, Select};
use crate::graph::{Graph, Input, SourceNode};
use crate::sql::ColumnKind;

/// The columns of an edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lineage {
    columns: Vec<String>,
    /// What stands for columns that are not listed: the step that makes them.
    step: Option<String>,
}

impl Lineage {
    /// Columns that a step makes which it alone knows, as text.
    pub fn of_step(text: &str) -> Self {
        let name = format!("{:016x}", pelton_kernels::digest::hash_text(text) as u64);
        Lineage { columns: vec![], step: Some(name) }
    }

    fn of_source(source: &SourceNode) -> Self {
        let Some(def) = &source.table else { return Lineage::of_step("constant rows") };
        let column = |at: &usize| {
            let column = &def.columns[*at];
            match &column.kind {
                ColumnKind::Computed(expr) => format!("({expr})"),
                _ => format!("{}.{}", def.table.name, column.name),
            }
        };
        Lineage { columns: source.columns.iter().map(column).collect(), step: None }
    }

    /// How many columns are known.
    pub fn width(&self) -> usize {
        self.columns.len()
    }

    /// What a column is made of. Those behind the last are what tells the order of rows.
    pub fn column(&self, at: usize) -> String {
        match (self.columns.get(at), &self.step) {
            (Some(text), _) => text.clone(),
            (None, Some(step)) => format!("{step}.{at}"),
            (None, None) => format!("order.{}", at - self.columns.len()),
        }
    }

    /// An expression over these columns.
    pub fn expr(&self, expr: &Compiled) -> String {
        let mut text = expr.to_string();
        let mut columns: Vec<(String, usize)> =
            collect_columns(expr).iter().map(|column| (column.to_string(), column.index())).collect();
        // The longest first: `a@1` is a part of `aa@1` and of `a@12`.
        columns.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        for (number, (name, _)) in columns.iter().enumerate() {
            text = text.replace(name, &format!("\u{1}{number}\u{2}"));
        }
        for (number, (_, index)) in columns.iter().enumerate() {
            text = text.replace(&format!("\u{1}{number}\u{2}"), &self.column(*index));
        }
        text
    }

    /// Behind a filter and projection.
    pub fn select(&self, select: &Select) -> Self {
        match &select.columns {
            None => self.clone(),
            Some(columns) => {
                let column = |expr: &Compiled| {
                    let any: &dyn std::any::Any = expr.as_ref();
                    match any.downcast_ref::<Column>() {
                        Some(column) => self.column(column.index()),
                        None => format!("({})", self.expr(expr)),
                    }
                };
                Lineage { columns: columns.iter().map(column).collect(), step: None }
            }
        }
    }

    /// The first of these columns.
    pub fn first(&self, width: usize) -> Self {
        Lineage { columns: self.columns.iter().take(width).cloned().collect(), step: self.step.clone() }
    }

    /// With further columns behind these, which `text` makes.
    pub fn and(&self, text: &str, more: usize) -> Self {
        match self.step {
            Some(_) => Lineage::of_step(&format!("{self:?} {text}")),
            None => {
                let made = Lineage::of_step(text);
                let more = (0..more).map(|at| made.column(at));
                Lineage { columns: self.columns.iter().cloned().chain(more).collect(), step: None }
            }
        }
    }

    /// Of several inputs with the same columns.
    fn union(mut inputs: Vec<Lineage>) -> Self {
        let different: BTreeSet<String> = inputs.iter().map(|input| format!("{input:?}")).collect();
        match different.len() {
            0 => Lineage::default(),
            1 => inputs.swap_remove(0),
            _ => {
                let width = inputs.iter().map(|input| input.columns.len()).max().unwrap_or(0);
                let column = |at| inputs.iter().map(|input| input.column(at)).collect::<Vec<_>>().join(" or ");
                match inputs.iter().any(|input| input.step.is_some()) {
                    true => Lineage::of_step(&format!("{inputs:?}")),
                    false => Lineage { columns: (0..width).map(column).collect(), step: None },
                }
            }
        }
    }

    /// What comes to each step of a graph.
    pub fn of_inputs(graph: &Graph) -> Vec<Lineage> {
        let sources: Vec<Lineage> = graph.sources.iter().map(Lineage::of_source).collect();
        let (mut inputs, mut outputs): (Vec<Lineage>, Vec<Lineage>) = (vec![], vec![]);
        for node in &graph.nodes {
            let of = |input: &Input| match input {
                Input::Source(source) => sources[*source].clone(),
                Input::Node(node) => outputs[*node].clone(),
            };
            let input = Lineage::union(node.inputs.iter().map(of).collect());
            let output = node.operator.lineage(&input);
            inputs.push(input);
            outputs.push(output);
        }
        inputs
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use datafusion_expr::Operator;
    use datafusion_physical_expr::expressions::BinaryExpr;

    use super::*;

    fn column(name: &str, at: usize) -> Compiled {
        Arc::new(Column::new(name, at))
    }

    #[test]
    fn names_are_told_apart() {
        let lineage = Lineage { columns: (0..13).map(|at| format!("t.c{at}")).collect(), step: None };
        let sum = |a, b| -> Compiled { Arc::new(BinaryExpr::new(a, Operator::Plus, b)) };
        let text = lineage.expr(&sum(sum(column("a", 1), column("a", 12)), column("aa", 1)));
        assert_eq!(text, "t.c1 + t.c12 + t.c1");
        assert_eq!(lineage.column(14), "order.1");
        let step = Lineage::of_step("x");
        assert_ne!(step.expr(&column("a", 1)), Lineage::of_step("y").expr(&column("a", 1)));
        assert_ne!(step.column(0), step.column(1));
        assert_eq!(lineage.and("window", 2).columns.len(), 15);
    }
}
