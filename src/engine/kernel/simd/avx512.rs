//! AVX-512: a vector is one register.

use std::arch::x86_64::*;

use super::{Lanes, Numbers, Sixteen, Task, Vector, WIDTH};

/// Proof that the CPU has the AVX-512 instructions that [`enter`] is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, or `None` where the CPU lacks one of the features.
    pub(crate) fn new() -> Option<Self> {
        let present = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("avx2");
        present.then_some(Avx512(()))
    }

    /// Runs `task`.
    pub(crate) fn run(self, task: impl Task) {
        // SAFETY: `self` exists only where `new` found every feature that `enter` enables.
        unsafe { enter(task) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,bmi2,avx2")]
fn enter<T: Task>(task: T) {
    task.run::<Zmm>();
}

/// Sixteen numbers. The type is named nowhere but in [`enter`], so its methods run only where AVX-512 is present;
/// the safety comments below refer to this.
#[derive(Clone, Copy)]
struct Zmm(__m512);

impl Numbers for Zmm {
    type Row = Lanes;
    const REGISTERS: usize = 32;
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: called through `enter` only.
        Zmm(unsafe { _mm512_set1_ps(x) })
    }
    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        // SAFETY: called through `enter` only; `Lanes` is 64 bytes, aligned to 64.
        Zmm(unsafe { _mm512_load_ps(from.0.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes) {
        // SAFETY: called through `enter` only; `Lanes` is 64 bytes, aligned to 64.
        unsafe { _mm512_store_ps(to.0.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Zmm(unsafe { _mm512_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Zmm(unsafe { _mm512_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: called through `enter` only.
        Zmm(unsafe { _mm512_fmadd_ps(self.0, factor.0, term.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Zmm(unsafe { _mm512_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Zmm(unsafe { _mm512_min_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn max_from_zero(self, other: Self) -> Self {
        // Zen 5 compares two vectors of integers a cycle, but one of numbers.
        // SAFETY: called through `enter` only.
        Zmm(unsafe {
            let bits = _mm512_max_epi32(_mm512_castps_si512(self.0), _mm512_castps_si512(other.0));
            _mm512_castsi512_ps(bits)
        })
    }
    #[inline(always)]
    fn is(self, other: Self) -> bool {
        // SAFETY: called through `enter` only.
        unsafe { _mm512_cmpneq_epi32_mask(_mm512_castps_si512(self.0), _mm512_castps_si512(other.0)) == 0 }
    }
}

impl Vector for Zmm {
    type Part = Zmm;
    type Bytes = super::avx2::Small;

    #[inline(always)]
    fn join(first: Zmm, _: Zmm) -> Self {
        first
    }
    #[inline(always)]
    fn split(self) -> [Zmm; 2] {
        [self; 2]
    }
    #[inline(always)]
    fn sum_lanes(row: impl Fn(usize) -> Self) -> Self {
        // SAFETY: called through `enter` only.
        Zmm(unsafe { sum_lanes(&row) })
    }
    #[inline(always)]
    fn transpose([rows, _]: Sixteen<'_, Lanes>, columns: &mut [Lanes; WIDTH]) {
        // SAFETY: called through `enter` only; all loads and stores are of whole `Lanes`.
        unsafe { transpose(rows, columns) }
    }
}

/// A 16 × 16 transpose in four rounds: single numbers, pairs, quarters, halves of a register.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: &[Lanes; WIDTH], columns: &mut [Lanes; WIDTH]) {
    let mut r = [_mm512_setzero_ps(); WIDTH];
    for (r, row) in r.iter_mut().zip(rows) {
        *r = Zmm::load(row).0;
    }
    let mut s = r;
    for i in (0..WIDTH).step_by(2) {
        s[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
    for i in (0..WIDTH).step_by(4) {
        for j in 0..2 {
            let (low, high) = (_mm512_castps_pd(s[i + j]), _mm512_castps_pd(s[i + j + 2]));
            r[i + 2 * j] = _mm512_castpd_ps(_mm512_unpacklo_pd(low, high));
            r[i + 2 * j + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low, high));
        }
    }
    for i in (0..WIDTH).step_by(8) {
        for j in 0..4 {
            s[i + j] = _mm512_shuffle_f32x4::<0x88>(r[i + j], r[i + j + 4]);
            s[i + j + 4] = _mm512_shuffle_f32x4::<0xdd>(r[i + j], r[i + j + 4]);
        }
    }
    for i in 0..8 {
        r[i] = _mm512_shuffle_f32x4::<0x88>(s[i], s[i + 8]);
        r[i + 8] = _mm512_shuffle_f32x4::<0xdd>(s[i], s[i + 8]);
    }
    for (column, r) in columns.iter_mut().zip(r) {
        Zmm(r).store(column);
    }
}

/// Each round adds the halves of what is left of two vectors' sums, side by side in one vector.
#[inline]
#[target_feature(enable = "avx512f")]
fn sum_lanes(row: &impl Fn(usize) -> Zmm) -> __m512 {
    // In this order of the rows, the last round leaves their sums in order.
    let mut r = [_mm512_setzero_ps(); WIDTH];
    for (i, r) in r.iter_mut().enumerate() {
        *r = row(4 * (i % 4) + i / 4).0;
    }
    for i in 0..8 {
        let (x, y) = (r[2 * i], r[2 * i + 1]);
        r[i] = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(x, y), _mm512_shuffle_f32x4::<0xee>(x, y));
    }
    for i in 0..4 {
        let (x, y) = (r[2 * i], r[2 * i + 1]);
        r[i] = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(x, y), _mm512_shuffle_f32x4::<0xdd>(x, y));
    }
    for i in 0..2 {
        let (x, y) = (_mm512_castps_pd(r[2 * i]), _mm512_castps_pd(r[2 * i + 1]));
        let (low, high) = (_mm512_unpacklo_pd(x, y), _mm512_unpackhi_pd(x, y));
        r[i] = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
    }
    _mm512_add_ps(_mm512_shuffle_ps::<0x88>(r[0], r[1]), _mm512_shuffle_ps::<0xdd>(r[0], r[1]))
}
