//! Registers of a product's rows: what the compiler does not make of plain loops by itself (with AVX-512 it was 31 times slower so).
//!
//! A product and a sum are two instructions, and two roundings, as everywhere.

use super::functions::Lane;

/// Numbers of several rows.
///
/// # Safety
/// Whoever calls any of these has the instructions, and the numbers that are read or written are there.
pub trait Register<T>: Copy {
    /// Rows of a register.
    const WIDE: usize;

    unsafe fn zero() -> Self;
    unsafe fn load(from: *const T) -> Self;
    unsafe fn store(self, into: *mut T);
    /// And the product of others, rounded first.
    unsafe fn plus_product(self, x: Self, weight: T) -> Self;
}

/// Without anything better: four numbers, of which the compiler makes what it can.
#[derive(Clone, Copy)]
pub struct Plain<T>([T; 4]);

#[expect(clippy::undocumented_unsafe_blocks, reason = "the trait says it once: the numbers are there")]
impl<T: Lane> Register<T> for Plain<T> {
    const WIDE: usize = 4;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Plain([T::default(); 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const T) -> Self {
        Plain(unsafe { from.cast::<[T; 4]>().read() })
    }

    #[inline(always)]
    unsafe fn store(self, into: *mut T) {
        unsafe { into.cast::<[T; 4]>().write(self.0) }
    }

    #[inline(always)]
    unsafe fn plus_product(self, x: Self, weight: T) -> Self {
        Plain(std::array::from_fn(|at| self.0[at].plus(x.0[at].times(weight))))
    }
}

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    use super::Register;

    macro_rules! register {
        ($T:ty, $Register:ty, $wide:literal, $zero:ident, $load:ident, $store:ident, $all:ident, $add:ident, $mul:ident) => {
            #[expect(
                clippy::undocumented_unsafe_blocks,
                reason = "the trait says it once: the caller has the instructions and the numbers"
            )]
            impl Register<$T> for $Register {
                const WIDE: usize = $wide;

                #[inline(always)]
                unsafe fn zero() -> Self {
                    unsafe { $zero() }
                }

                #[inline(always)]
                unsafe fn load(from: *const $T) -> Self {
                    unsafe { $load(from) }
                }

                #[inline(always)]
                unsafe fn store(self, into: *mut $T) {
                    unsafe { $store(into, self) }
                }

                #[inline(always)]
                unsafe fn plus_product(self, x: Self, weight: $T) -> Self {
                    unsafe { $add(self, $mul(x, $all(weight))) }
                }
            }
        };
    }
    register!(
        f32,
        __m256,
        8,
        _mm256_setzero_ps,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_mul_ps
    );
    register!(
        f64,
        __m256d,
        4,
        _mm256_setzero_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_set1_pd,
        _mm256_add_pd,
        _mm256_mul_pd
    );
    register!(
        f32,
        __m512,
        16,
        _mm512_setzero_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_mul_ps
    );
    register!(
        f64,
        __m512d,
        8,
        _mm512_setzero_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_set1_pd,
        _mm512_add_pd,
        _mm512_mul_pd
    );
}
