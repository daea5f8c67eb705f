//! AVX2: a vector is two registers.

use std::arch::x86_64::*;

use super::{BYTES, Bytes, Lanes, Numbers, Octet, Pair, Row, Sixteen, Task, Vector, WIDTH};

/// Proof that the CPU has AVX2 and FMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, or `None` where the CPU lacks one of them.
    pub(crate) fn new() -> Option<Self> {
        let present = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        present.then_some(Avx2(()))
    }

    /// Runs `task`.
    pub(crate) fn run(self, task: impl Task) {
        // SAFETY: `self` exists only where `new` found every feature that `enter` enables.
        unsafe { enter(task) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn enter<T: Task>(task: T) {
    task.run::<Pair<Ymm>>();
}

/// Eight numbers. The type is named nowhere but in the vectors of [`enter`], so its methods run only where they are
/// present; the safety comments below refer to this.
#[derive(Clone, Copy)]
struct Ymm(__m256);

/// Thirty-two small numbers. The type is named nowhere but in the vectors of [`enter`] and of the same function for
/// AVX-512, which has all that AVX2 has.
#[derive(Clone, Copy)]
pub(crate) struct Small(__m256i);

impl Bytes for Small {
    #[inline(always)]
    fn load(from: &Row) -> Self {
        // SAFETY: called through `enter` only; `Row` is 32 bytes, aligned to 32.
        Small(unsafe { _mm256_load_si256(from.0.as_ptr().cast()) })
    }
    #[inline(always)]
    fn store(self, to: &mut Row) {
        // SAFETY: called through `enter` only; `Row` is 32 bytes, aligned to 32.
        unsafe { _mm256_store_si256(to.0.as_mut_ptr().cast(), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Small(unsafe { _mm256_adds_epu8(self.0, other.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Small(unsafe { _mm256_min_epu8(self.0, other.0) })
    }
    #[inline(always)]
    fn is_full(self) -> bool {
        // SAFETY: called through `enter` only.
        unsafe { _mm256_movemask_epi8(_mm256_cmpeq_epi8(self.0, _mm256_set1_epi8(-1))) == -1 }
    }
    #[inline(always)]
    fn below_full(self) -> u32 {
        // SAFETY: called through `enter` only.
        unsafe { !_mm256_movemask_epi8(_mm256_cmpeq_epi8(self.0, _mm256_set1_epi8(-1))) as u32 }
    }
    #[inline(always)]
    fn look_up(self, indices: &[u8; BYTES]) -> Self {
        // SAFETY: called through `enter` only; 32 bytes are read, from any address.
        Small(unsafe { _mm256_shuffle_epi8(self.0, _mm256_loadu_si256(indices.as_ptr().cast())) })
    }
}

impl Numbers for Ymm {
    type Row = Octet;
    const REGISTERS: usize = 16;
    #[inline(always)]
    fn splat(x: f32) -> Self {
        // SAFETY: called through `enter` only.
        Ymm(unsafe { _mm256_set1_ps(x) })
    }
    #[inline(always)]
    fn load(from: &Octet) -> Self {
        // SAFETY: called through `enter` only; `Octet` is 32 bytes, aligned to 32.
        Ymm(unsafe { _mm256_load_ps(from.0.as_ptr()) })
    }
    #[inline(always)]
    fn store(self, to: &mut Octet) {
        // SAFETY: called through `enter` only; `Octet` is 32 bytes, aligned to 32.
        unsafe { _mm256_store_ps(to.0.as_mut_ptr(), self.0) }
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Ymm(unsafe { _mm256_add_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Ymm(unsafe { _mm256_mul_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        // SAFETY: called through `enter` only.
        Ymm(unsafe { _mm256_fmadd_ps(self.0, factor.0, term.0) })
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Ymm(unsafe { _mm256_max_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Ymm(unsafe { _mm256_min_ps(self.0, other.0) })
    }
    #[inline(always)]
    fn max_from_zero(self, other: Self) -> Self {
        // SAFETY: called through `enter` only.
        Ymm(unsafe {
            let bits = _mm256_max_epi32(_mm256_castps_si256(self.0), _mm256_castps_si256(other.0));
            _mm256_castsi256_ps(bits)
        })
    }
    #[inline(always)]
    fn is(self, other: Self) -> bool {
        // SAFETY: called through `enter` only.
        unsafe {
            let equal = _mm256_cmpeq_epi32(_mm256_castps_si256(self.0), _mm256_castps_si256(other.0));
            _mm256_movemask_epi8(equal) == -1
        }
    }
}

impl Vector for Pair<Ymm> {
    type Part = Ymm;
    type Bytes = Small;

    #[inline(always)]
    fn join(first: Ymm, second: Ymm) -> Self {
        Pair(first, second)
    }
    #[inline(always)]
    fn split(self) -> [Ymm; 2] {
        [self.0, self.1]
    }
    #[inline(always)]
    fn sum_lanes(row: impl Fn(usize) -> Self) -> Self {
        // SAFETY: called through `enter` only.
        unsafe { Pair(Ymm(sum_lanes(&row, 0)), Ymm(sum_lanes(&row, WIDTH / 2))) }
    }
    #[inline(always)]
    fn transpose(rows: Sixteen<'_, Octet>, columns: &mut [Lanes; WIDTH]) {
        for (from, half) in [(0, 0), (0, 8), (8, 0), (8, 8)] {
            let rows = rows[half / 8][from..].first_chunk().expect("eight of sixteen");
            // SAFETY: called through `enter` only.
            unsafe { transpose(rows, from, half, columns) }
        }
    }
}

/// Transposes rows, which are lanes `lane .. lane + 8` of vectors `row .. row + 8`.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(rows: &[Octet; 8], row: usize, lane: usize, columns: &mut [Lanes; WIDTH]) {
    let mut r = [_mm256_setzero_ps(); 8];
    for (r, row) in r.iter_mut().zip(rows) {
        *r = Ymm::load(row).0;
    }
    let mut s = r;
    for i in (0..8).step_by(2) {
        s[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        s[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for i in (0..8).step_by(4) {
        for j in 0..2 {
            r[i + 2 * j] = _mm256_shuffle_ps::<0x44>(s[i + j], s[i + j + 2]);
            r[i + 2 * j + 1] = _mm256_shuffle_ps::<0xee>(s[i + j], s[i + j + 2]);
        }
    }
    for i in 0..4 {
        s[i] = _mm256_permute2f128_ps::<0x20>(r[i], r[i + 4]);
        s[i + 4] = _mm256_permute2f128_ps::<0x31>(r[i], r[i + 4]);
    }
    for (column, s) in columns[lane..].iter_mut().zip(s) {
        // SAFETY: `row` is 0 or 8, so eight numbers of the sixteen in `column` follow it, aligned to 32 bytes.
        unsafe { _mm256_store_ps(column.0[row..row + 8].as_mut_ptr(), s) }
    }
}

/// The sums of eight rows from `first` on. Each round adds the halves of what is left of two vectors' sums, side by
/// side in one.
#[inline]
#[target_feature(enable = "avx2")]
fn sum_lanes(row: &impl Fn(usize) -> Pair<Ymm>, first: usize) -> __m256 {
    let mut r = [_mm256_setzero_ps(); 8];
    for (i, r) in r.iter_mut().enumerate() {
        // In this order of the rows, the last round leaves their sums in order.
        let row = row(first + 4 * (i % 2) + i / 2);
        *r = _mm256_add_ps(row.0.0, row.1.0);
    }
    for i in 0..4 {
        let (x, y) = (r[2 * i], r[2 * i + 1]);
        // One half as it is: a blend is cheaper than a permutation.
        r[i] = _mm256_add_ps(_mm256_blend_ps::<0xf0>(x, y), _mm256_permute2f128_ps::<0x21>(x, y));
    }
    for i in 0..2 {
        let (x, y) = (_mm256_castps_pd(r[2 * i]), _mm256_castps_pd(r[2 * i + 1]));
        let (own, other) = (_mm256_blend_pd::<0b1010>(x, y), _mm256_shuffle_pd::<0b0101>(x, y));
        r[i] = _mm256_add_ps(_mm256_castpd_ps(own), _mm256_castpd_ps(other));
    }
    _mm256_add_ps(_mm256_shuffle_ps::<0x88>(r[0], r[1]), _mm256_shuffle_ps::<0xdd>(r[0], r[1]))
}
