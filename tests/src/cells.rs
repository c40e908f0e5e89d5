//! The cells of the determinism matrix, and a small set of them in which every pair of values meets.

use std::collections::BTreeSet;
use std::fmt;

/// Rows from the source, or from the history that an earlier run kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// From the source.
    Direct,
    /// From history.
    Replayed,
}

/// Which instructions kernels may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cpu {
    /// Whatever the processor has.
    Native,
}

/// One way to run a case. None of its values may change the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cell {
    /// Direct or replayed.
    pub mode: Mode,
    /// Rows of a micro-batch at most.
    pub batch_rows: usize,
    /// Worker threads.
    pub threads: usize,
    /// Instructions.
    pub cpu: Cpu,
    /// How often the run is killed and restored on its way.
    pub restarts: usize,
    /// Where stages run.
    pub device: Device,
}

/// Where stages run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Device {
    /// On the processor.
    Cpu,
    /// On the adapter that wgpu finds; in CI that is Mesa's lavapipe. A case that can not run there runs on the processor.
    Wgpu,
    /// On an NVIDIA GPU, likewise.
    Cuda,
}

impl Device {
    /// As 'pelton.device' names it.
    pub fn name(self) -> &'static str {
        match self {
            Device::Cpu => "cpu",
            Device::Wgpu => "wgpu",
            Device::Cuda => "cuda",
        }
    }
}

const MODES: &[Mode] = &[Mode::Direct, Mode::Replayed];
const BATCH_ROWS: &[usize] = &[8192, 1, 64, 1 << 20];
const THREADS: &[usize] = &[1, 2];
const CPUS: &[Cpu] = &[Cpu::Native];
const RESTARTS: &[usize] = &[0, 2];

impl Cell {
    /// Its values as (dimension, text).
    fn values(&self) -> [(u8, String); 5] {
        [
            (0, format!("{:?}", self.mode)),
            (1, self.batch_rows.to_string()),
            (2, self.threads.to_string()),
            (3, format!("{:?}", self.cpu)),
            (4, self.restarts.to_string()),
        ]
    }

    /// The pairs of values that meet in it.
    fn pairs(&self) -> BTreeSet<[(u8, String); 2]> {
        let values = self.values();
        let of = |i: usize| (i + 1..values.len()).map(move |j| (i, j));
        (0..values.len()).flat_map(of).map(|(i, j)| [values[i].clone(), values[j].clone()]).collect()
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = if self.mode == Mode::Direct { "direct" } else { "replayed" };
        write!(
            f,
            "{mode}, batch {}, {} thread{}",
            self.batch_rows,
            self.threads,
            if self.threads == 1 { "" } else { "s" }
        )?;
        if self.restarts > 0 {
            write!(f, ", {} restarts", self.restarts)?;
        }
        if self.device != Device::Cpu {
            write!(f, ", {}", self.device.name())?;
        }
        Ok(())
    }
}

/// Every cell; the direct ones, whose histories the others read, come first.
pub fn full() -> Vec<Cell> {
    let mut cells = vec![];
    for &mode in MODES {
        for &cpu in CPUS {
            // A replay is begun anew, or not at all.
            for &restarts in if mode == Mode::Direct { RESTARTS } else { &RESTARTS[..1] } {
                for &batch_rows in BATCH_ROWS {
                    for &threads in THREADS {
                        cells.push(Cell { mode, batch_rows, threads, cpu, restarts, device: Device::Cpu });
                    }
                }
            }
        }
    }
    cells
}

/// Cells on a GPU, or what plays one: a launch a batch, so not batches of one row.
pub fn on_device(device: Device, full: bool) -> Vec<Cell> {
    let cell = |batch_rows, threads| Cell { batch_rows, threads, device, ..self::full()[0] };
    // Its lives take turns with the processor.
    let restarts = Cell { restarts: 2, ..cell(512, 2) };
    if full {
        vec![cell(8192, 1), cell(8192, 2), cell(64, 2), cell(1 << 20, 1), restarts]
    } else {
        vec![cell(8192, 2), restarts]
    }
}

/// Cells in which every two values of different dimensions meet at least once: greedily the one with most new pairs.
pub fn pairwise() -> Vec<Cell> {
    let all = full();
    let mut open: BTreeSet<_> = all.iter().flat_map(Cell::pairs).collect();
    let mut chosen = vec![];
    while !open.is_empty() {
        let new = |cell: &&Cell| cell.pairs().intersection(&open).count();
        // The first of the best, so that the set is always the same and begins with the first cell.
        let best = *all.iter().rev().max_by_key(new).expect("there is at least one cell");
        open = &open - &best.pairs();
        chosen.push(best);
    }
    chosen.sort_by_key(|c| (c.mode, all.iter().position(|a| a == c)));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_values_meet_in_pairs() {
        let (all, few) = (full(), pairwise());
        assert_eq!(all.len(), 24);
        let pairs = |cells: &[Cell]| cells.iter().flat_map(Cell::pairs).collect::<BTreeSet<_>>();
        assert_eq!(pairs(&all), pairs(&few));
        assert!(few.len() <= 10, "{few:?}");
        assert_eq!(few[0], all[0]);
        assert!(few.iter().any(|c| c.mode == Mode::Replayed && c.batch_rows == 1));
    }

    #[test]
    fn direct_cells_come_first() {
        for cells in [full(), pairwise()] {
            assert!(cells.is_sorted_by_key(|c| c.mode));
        }
    }
}
