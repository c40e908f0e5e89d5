//! From the sum of leaves to what `predict` answers, in the arithmetic of each library.

use crate::exp::exp;

/// What is done to a row's sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Link {
    /// Nothing.
    Identity,
    /// `1 / (1 + exp(-slope · x))`, each by itself.
    Logistic {
        /// LightGBM's `sigmoid`; 1 in XGBoost.
        slope: f64,
    },
    /// `exp(x)`.
    Exp,
    /// Shares of `exp` that make one.
    Softmax,
    /// The number of the greatest, the first of equal ones.
    Greatest,
    /// 1 above 0, else 0.
    Step,
    /// `ln(1 + exp(x))`.
    Softplus,
    /// `x · |x|`.
    SignedSquare,
    /// As ONNX Runtime does it: in single precision, whatever the sums are.
    Onnx {
        /// What is done to all sums of a row.
        transform: Transform,
        /// Of two answers the second is wanted.
        second: bool,
    },
}

/// `post_transform` of ONNX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transform {
    /// Nothing.
    None,
    /// `1 / (1 + exp(-x))`, each by itself.
    Logistic,
    /// Shares of `exp` that make one.
    Softmax,
    /// Likewise, but what is 0 stays so.
    SoftmaxZero,
    /// The quantile of the normal distribution, each by itself.
    Probit,
}

impl Link {
    /// How many answers come out of so many sums.
    pub fn outputs(self, sums: usize) -> usize {
        match self {
            Link::Greatest | Link::Onnx { second: true, .. } => 1,
            _ => sums,
        }
    }

    /// In XGBoost's single precision. `exp` is rounded correctly, but for one in half a billion.
    pub fn single(self, sums: &mut [f32], into: &mut Vec<f32>) {
        let exp = |x: f32| libm::exp(f64::from(x)) as f32;
        match self {
            Link::Identity => into.extend_from_slice(sums),
            // The greatest exponent whose power is finite: common/math.h.
            Link::Logistic { .. } => into.extend(sums.iter().map(|x| 1.0 / (exp((-x).min(88.7)) + 1.0))),
            Link::Exp => into.extend(sums.iter().map(|x| exp(*x))),
            Link::Softmax => {
                let most = sums.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let mut all = 0.0f64;
                for sum in sums.iter_mut() {
                    *sum = exp(*sum - most);
                    all += f64::from(*sum);
                }
                into.extend(sums.iter().map(|x| x / all as f32));
            }
            Link::Greatest => into.push(greatest(sums) as f32),
            Link::Step => into.extend(sums.iter().map(|x| if *x > 0.0 { 1.0 } else { 0.0 })),
            Link::Softplus => into.extend(sums.iter().map(|x| libm::log1p(libm::exp(f64::from(*x))) as f32)),
            Link::SignedSquare => into.extend(sums.iter().map(|x| x * x.abs())),
            Link::Onnx { transform, second } => {
                transform.apply(sums);
                into.extend_from_slice(&sums[usize::from(second)..]);
            }
        }
    }

    /// In LightGBM's double precision.
    pub fn double(self, sums: &mut [f64], into: &mut Vec<f64>) {
        match self {
            Link::Identity => into.extend_from_slice(sums),
            Link::Logistic { slope } => into.extend(sums.iter().map(|x| 1.0 / (1.0 + exp(-slope * x)))),
            Link::Exp => into.extend(sums.iter().map(|x| exp(*x))),
            Link::Softmax => {
                let most = sums.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let mut all = 0.0;
                for sum in sums.iter_mut() {
                    *sum = exp(*sum - most);
                    all += *sum;
                }
                into.extend(sums.iter().map(|x| x / all));
            }
            Link::Greatest => into.push(greatest(sums) as f64),
            Link::Step => into.extend(sums.iter().map(|x| if *x > 0.0 { 1.0 } else { 0.0 })),
            Link::Softplus => into.extend(sums.iter().map(|x| libm::log1p(exp(*x)))),
            Link::SignedSquare => into.extend(sums.iter().map(|x| x * x.abs())),
            Link::Onnx { transform, second } => {
                let mut narrow: Vec<f32> = sums.iter().map(|x| *x as f32).collect();
                transform.apply(&mut narrow);
                into.extend(narrow[usize::from(second)..].iter().map(|x| f64::from(*x)));
            }
        }
    }
}

impl Transform {
    /// As `core/providers/cpu/ml/ml_common.h` has it.
    fn apply(self, sums: &mut [f32]) {
        let exp = |x: f32| libm::exp(f64::from(x)) as f32;
        match self {
            Transform::None => {}
            Transform::Logistic => {
                for x in sums {
                    let v = 1.0 / (1.0 + exp(-x.abs()));
                    *x = if *x < 0.0 { 1.0 - v } else { v };
                }
            }
            Transform::Softmax | Transform::SoftmaxZero => {
                let most = sums.iter().copied().fold(f32::MIN, f32::max);
                let of_zero = exp(-most);
                let mut all = 0.0;
                for x in sums.iter_mut() {
                    let is_zero = self == Transform::SoftmaxZero && x.abs() <= 0.000_000_1;
                    *x = if is_zero { *x * of_zero } else { exp(*x - most) };
                    all += *x;
                }
                sums.iter_mut().for_each(|x| *x /= all);
            }
            Transform::Probit => {
                sums.iter_mut().for_each(|x| *x = std::f32::consts::SQRT_2 * inverse_erf(2.0 * *x - 1.0))
            }
        }
    }
}

/// Winitzki's approximation, with ONNX Runtime's constants.
fn inverse_erf(x: f32) -> f32 {
    let sign = if x < 0.0 { -1.0 } else { 1.0 };
    let log = libm::log(f64::from((1.0 - x) * (1.0 + x))) as f32;
    let v = 2.0 / (std::f32::consts::PI * 0.147) + 0.5 * log;
    let w = 1.0 / 0.147f32 * log;
    sign * (-v + (v * v - w).sqrt()).sqrt()
}

fn greatest<T: PartialOrd>(sums: &[T]) -> usize {
    (1..sums.len()).fold(0, |best, at| if sums[at] > sums[best] { at } else { best })
}
