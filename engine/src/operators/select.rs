//! `Select`: filter and projection. Keeps no state.

use super::{Emit, Operator};
use crate::batch::MicroBatch;
use crate::error::Result;
use crate::expr::{Compiled, Select};
use crate::lineage::Lineage;
use crate::predicate::Predicate;

/// A [`Select`] as a step.
pub struct SelectStep(pub Select);

impl Operator for SelectStep {
    fn push(&self, _slot: usize, batch: MicroBatch, out: &mut Emit) -> Result<()> {
        let selected = self.0.run(&batch, &mut out.letters)?;
        if selected.rows() > 0 {
            out.batches.push(selected);
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let mut text = "Select".to_string();
        if let Some(columns) = &self.0.columns {
            let shown: Vec<String> =
                columns.iter().zip(self.0.schema.fields()).map(|(c, f)| format!("{}={c}", f.name())).collect();
            text += &format!(" [{}]", shown.join(", "));
        }
        if let Some(predicate) = &self.0.predicate {
            text += &format!(" where {predicate}");
        }
        text
    }

    fn predicate(&self) -> Option<&Compiled> {
        self.0.predicate.as_ref().map(Predicate::whole)
    }

    fn lineage(&self, input: &Lineage) -> Lineage {
        input.select(&self.0)
    }

    fn is_stateless(&self) -> bool {
        true
    }
}
