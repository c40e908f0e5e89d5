//! Which instructions the kernels use, chosen once at start.

use std::sync::OnceLock;

/// A set of instructions. Each kernel gives the same bits at every level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What every processor of the architecture has. On 64-bit ARM that is NEON: the compiler makes vectors of the plain
    /// loops; the gate checks that all of it compiles there.
    Scalar,
    /// AVX2, BMI1 and BMI2.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Level {
    /// The name that `PELTON_CPU` has for it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

/// The best level that the processor has and that the variable `PELTON_CPU` (`scalar`, `avx2`, `avx512`) allows.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let wanted = std::env::var("PELTON_CPU").unwrap_or_default();
        let allowed =
            [Level::Scalar, Level::Avx2].into_iter().find(|l| l.name() == wanted.trim()).unwrap_or(Level::Avx512);
        allowed.min(there())
    })
}

#[cfg(target_arch = "x86_64")]
fn there() -> Level {
    let half = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("bmi1") && is_x86_feature_detected!("bmi2");
    if !half {
        return Level::Scalar;
    }
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    if wide { Level::Avx512 } else { Level::Avx2 }
}

#[cfg(not(target_arch = "x86_64"))]
fn there() -> Level {
    Level::Scalar
}
