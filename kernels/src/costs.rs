//! What folding costs, on the processor and on a device: plain numbers that somebody has measured.
//!
//! A device says what it costs in these terms, and whoever places stages takes them as a first guess. All times are those of
//! one worker: how long it is held.

use serde::{Deserialize, Serialize};

/// What the processor takes to fold a batch: `batch_us + rows · (key_ns + states · state_ns)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProcessorProfile {
    /// A batch, whatever is in it; µs.
    pub batch_us: f64,
    /// Finding the group of a row; ns.
    pub key_ns: f64,
    /// Folding a row into one state; ns.
    pub state_ns: f64,
}

/// What a device takes to fold a batch, `launch_us + copy_t0_us + rows · row_ns + bytes / copy_gb_s`, and to give groups back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceProfile {
    /// Submitting a batch and starting its kernels, without the copy; µs.
    pub launch_us: f64,
    /// A copy to the device before its first byte; µs.
    pub copy_t0_us: f64,
    /// What a copy to the device brings, 10⁹ bytes a second.
    pub copy_gb_s: f64,
    /// A row beside the copy of its bytes: packing, and kernels that do not hide behind the copy; ns.
    pub row_ns: f64,
    /// Reading groups back before the first byte; µs.
    pub read_t0_us: f64,
    /// What a copy from the device brings, 10⁹ bytes a second.
    pub read_gb_s: f64,
    /// Making a group that was read back one of the processor's; ns.
    pub merge_ns: f64,
}

impl Default for ProcessorProfile {
    /// A slow core: numbers of a virtual machine, small groups.
    fn default() -> Self {
        ProcessorProfile { batch_us: 2.0, key_ns: 5.0, state_ns: 3.0 }
    }
}

impl Default for DeviceProfile {
    /// So slow that no fold is worth the way: what is assumed of a device that nobody has measured.
    fn default() -> Self {
        DeviceProfile {
            launch_us: 1000.0,
            copy_t0_us: 100.0,
            copy_gb_s: 0.5,
            row_ns: 500.0,
            read_t0_us: 1000.0,
            read_gb_s: 0.5,
            merge_ns: 1000.0,
        }
    }
}
