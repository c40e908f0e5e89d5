//! What is known of a stage's placement, for people: where it runs, why, what batches take.
//!
//! All reasons at once: who mends the first must not find a second.

use std::fmt;

use serde::{Serialize, Serializer};

use super::{Choice, Mode};

/// Why a stage, or some of its batches, run where they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// `pelton.device` names one.
    Named(Choice),
    /// There is no device, and why.
    NoDevice(String),
    /// The device can not run a part of the stage: an expression, and why not.
    Stop(String),
    /// The stage is kept on the processor, and why.
    Held(String),
    /// Nobody has measured the device.
    NotMeasured,
    /// Batches of fewer rows are faster on the processor.
    BreakEven(u64),
    /// All batches are.
    Never,
    /// The device is still preparing.
    Compiling,
    /// The device has failed, and how.
    GaveUp(String),
}

/// What a side was predicted to take and took.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SideReport {
    /// Batches that it folded.
    pub batches: u64,
    /// Rows that it folded.
    pub rows: u64,
    /// What a batch of the mean size (65,536 rows before there was one) is predicted to take, µs.
    pub predicted_us: f64,
    /// What a batch took, µs; nothing before there was one.
    pub measured_us: Option<f64>,
    /// Standard deviation of single batches about the prediction, as a part of it.
    pub noise: f64,
}

/// What a batch of some size is predicted to take.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Typical {
    /// Rows.
    pub rows: usize,
    /// On the processor, µs.
    pub cpu_us: f64,
    /// On the device, µs; nothing if there is none, or it can not run the stage.
    pub device_us: Option<f64>,
    /// Who would fold it.
    pub choice: Choice,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageReport {
    /// What it is.
    pub stage: String,
    /// The device that could take it.
    pub device: Option<String>,
    /// Who may be chosen.
    pub mode: Mode,
    /// All reasons.
    pub reasons: Vec<Reason>,
    /// The processor.
    pub cpu: SideReport,
    /// The device.
    pub gpu: Option<SideReport>,
    /// Rows of a batch in the mean, once there was one.
    pub mean_rows: Option<usize>,
    /// What a row brings over the bus: as it was, or as it is thought to be before a batch went there.
    pub bytes_per_row: f64,
    /// Predictions for batches of some sizes.
    pub typical: Vec<Typical>,
    /// Part of the time that went into trying the side that is not home.
    pub explored: f64,
}

impl Serialize for Choice {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(match self {
            Choice::Cpu => "cpu",
            Choice::Device => "device",
        })
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Mode::Only(choice) => choice.serialize(to),
            Mode::Auto => to.serialize_str("auto"),
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Named(_) => f.write_str("'pelton.device' says so"),
            Reason::NoDevice(why) => write!(f, "no GPU here: {why}"),
            Reason::Stop(what) | Reason::Held(what) => f.write_str(what),
            Reason::NotMeasured => f.write_str("the device is not measured; its figures are a cautious guess"),
            Reason::BreakEven(0) => f.write_str("batches of every size are faster on the device"),
            Reason::BreakEven(rows) => write!(f, "batches below {} rows are faster on the CPU", grouped(*rows)),
            Reason::Never => f.write_str("batches of every size are faster on the CPU"),
            Reason::Compiling => f.write_str("its kernel is still compiling"),
            Reason::GaveUp(why) => write!(f, "the device has failed: {why}"),
        }
    }
}

impl StageReport {
    /// Where batches go.
    pub fn place(&self) -> String {
        let device = self.device.as_deref().unwrap_or("cpu");
        let to_device = |typical: &Typical| typical.choice == Choice::Device;
        match self.mode {
            Mode::Only(Choice::Device) => device.to_string(),
            Mode::Auto if self.typical.iter().all(to_device) => device.to_string(),
            Mode::Auto if self.typical.iter().any(to_device) => format!("cpu or {device}"),
            _ => "cpu".to_string(),
        }
    }

    fn name(&self, choice: Choice) -> &str {
        match choice {
            Choice::Cpu => "cpu",
            Choice::Device => self.device.as_deref().unwrap_or("cpu"),
        }
    }
}

impl fmt::Display for StageReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.stage)?;
        writeln!(f, "  on {}", self.place())?;
        for reason in &self.reasons {
            writeln!(f, "  - {reason}")?;
        }
        if let Some(device) = &self.device {
            writeln!(f, "  {} bytes a row to {device}", short(self.bytes_per_row))?;
        }
        let device = |typical: &Typical| typical.device_us.map(short).unwrap_or_else(|| "-".into());
        writeln!(f, "  rows a batch  {:>12}  {:>12}  chosen", "cpu µs", format!("{} µs", self.name(Choice::Device)))?;
        for typical in &self.typical {
            let (rows, cpu) = (grouped(typical.rows as u64), short(typical.cpu_us));
            writeln!(f, "  {rows:>12}  {cpu:>12}  {:>12}  {}", device(typical), self.name(typical.choice))?;
        }
        let Some(mean) = self.mean_rows else { return Ok(()) };
        for (choice, side) in [(Choice::Cpu, Some(&self.cpu)), (Choice::Device, self.gpu.as_ref())] {
            let Some((side, measured)) = side.and_then(|side| Some((side, side.measured_us?))) else { continue };
            let (rows, batches) = (grouped(side.rows), grouped(side.batches));
            writeln!(
                f,
                "  {}: {rows} rows in {batches} batches, {} µs a batch; {} µs predicted for {} rows, ±{:.0} %",
                self.name(choice),
                short(measured),
                short(side.predicted_us),
                grouped(mean as u64),
                100.0 * side.noise
            )?;
        }
        writeln!(f, "  {:.1} % of the time went into trying the other side", 100.0 * self.explored)
    }
}

/// Three digits, and those before the point.
fn short(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => grouped(v.round() as u64),
    }
}

/// Thousands apart.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(|group| str::from_utf8(group).expect("digits"));
    let head = (first > 0).then_some(&digits[..first]);
    head.into_iter().chain(groups).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_easily() {
        let all: Vec<String> = [0.0, 1.234, 12.34, 99.96, 123.4, 1234.0, 1_234_567.0].map(short).into();
        assert_eq!(all, ["0.00", "1.23", "12.3", "100", "123", "1,234", "1,234,567"]);
    }
}
