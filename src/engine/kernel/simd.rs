//! Vectors of 16 lanes, and the instruction set they run on, chosen at run time.
//!
//! A stage of the kernel is a [`Task`], written once over the [`Vector`] trait; [`Simd::run`] compiles it for every
//! instruction set. One module for each instruction set holds all `unsafe` code: a token that exists only where the CPU has
//! the feature, the vector type, and the one function that enters code compiled for it. All of them compute the same IEEE
//! operations in the same order (multiply and add are fused where the code says so, and nowhere else), so scores are the
//! same bits on all of them.

use std::fmt;

use crate::{Error, Result};

#[cfg(target_arch = "x86_64")]
mod avx2;

#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;

/// Filters in a vector.
pub(crate) const WIDTH: usize = 16;

/// The environment variable that forces an instruction set.
pub const VARIABLE: &str = "BINDSCAN_SIMD";

/// Sixteen numbers in memory, one cache line.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f32; WIDTH]);

impl Default for Lanes {
    fn default() -> Lanes {
        Lanes::ZERO
    }
}

impl Lanes {
    /// Zero in every lane.
    pub(crate) const ZERO: Lanes = Lanes([0.0; WIDTH]);
}

/// Lanes of a [`Row`].
pub(crate) const BYTES: usize = 32;

/// Thirty-two small numbers in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(32))]
pub(crate) struct Row(pub(crate) [u8; BYTES]);

impl Row {
    /// Zero in every lane.
    pub(crate) const ZERO: Row = Row([0; BYTES]);
    /// The greatest number in every lane.
    pub(crate) const FULL: Row = Row([u8::MAX; BYTES]);
}

/// Thirty-two small numbers in registers.
pub(crate) trait Bytes: Copy {
    /// Reads a row.
    fn load(from: &Row) -> Self;
    /// Writes a row.
    fn store(self, to: &mut Row);
    /// Sums, lane by lane; 255 in place of any that are greater.
    fn add(self, other: Self) -> Self;
    /// The lesser of the two, lane by lane.
    fn min(self, other: Self) -> Self;
    /// True if every lane is 255.
    fn is_full(self) -> bool;
    /// Bit i: whether lane i is below 255.
    fn below_full(self) -> u32;
    /// For each index below 16 the lane of that number, for each index from 128 on 0. The second sixteen lanes are to be as
    /// the first ones; other indices mean nothing.
    fn look_up(self, indices: &[u8; BYTES]) -> Self;
}

/// Eight numbers in memory.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(C, align(32))]
pub(crate) struct Octet(pub(crate) [f32; WIDTH / 2]);

/// Numbers in memory that make up [`Lanes`], all of them or a half.
pub(crate) trait Part: Copy {
    /// Number of these that hold sixteen numbers.
    const PARTS: usize;
    /// `lanes` as these, one after another.
    fn of(lanes: &[Lanes]) -> &[Self];
    /// As [`of`](Part::of).
    fn of_mut(lanes: &mut [Lanes]) -> &mut [Self];
}

impl Part for Lanes {
    const PARTS: usize = 1;
    #[inline(always)]
    fn of(lanes: &[Lanes]) -> &[Lanes] {
        lanes
    }
    #[inline(always)]
    fn of_mut(lanes: &mut [Lanes]) -> &mut [Lanes] {
        lanes
    }
}

impl Part for Octet {
    const PARTS: usize = 2;
    #[inline(always)]
    fn of(lanes: &[Lanes]) -> &[Octet] {
        let half = lanes.as_ptr().cast();
        // SAFETY: `Lanes` is two times eight numbers without padding, and its alignment is more than that of `Octet`.
        unsafe { std::slice::from_raw_parts(half, 2 * lanes.len()) }
    }
    #[inline(always)]
    fn of_mut(lanes: &mut [Lanes]) -> &mut [Octet] {
        let half = lanes.as_mut_ptr().cast();
        // SAFETY: as in `of`; any eight numbers are an `Octet`, and any two of these are `Lanes`.
        unsafe { std::slice::from_raw_parts_mut(half, 2 * lanes.len()) }
    }
}

/// Numbers in registers, sixteen or eight.
pub(crate) trait Numbers: Copy {
    /// As many numbers in memory.
    type Row: Part;
    /// Number of these that hold sixteen numbers.
    const PARTS: usize = Self::Row::PARTS;
    /// Number of these that fit the registers, to the nearest power of two.
    const REGISTERS: usize;
    /// `lanes` as rows, one after another.
    #[inline(always)]
    fn rows(lanes: &[Lanes]) -> &[Self::Row] {
        Self::Row::of(lanes)
    }
    /// As [`rows`](Numbers::rows).
    #[inline(always)]
    fn rows_mut(lanes: &mut [Lanes]) -> &mut [Self::Row] {
        Self::Row::of_mut(lanes)
    }
    /// `x` in every lane.
    fn splat(x: f32) -> Self;
    /// Reads a row.
    fn load(from: &Self::Row) -> Self;
    /// Writes a row.
    fn store(self, to: &mut Self::Row);
    /// Sums, lane by lane.
    fn add(self, other: Self) -> Self;
    /// Products, lane by lane.
    fn mul(self, other: Self) -> Self;
    /// `self * factor + term`, lane by lane, rounded once.
    fn mul_add(self, factor: Self, term: Self) -> Self;
    /// The greater of the two, lane by lane.
    fn max(self, other: Self) -> Self;
    /// The lesser of the two, lane by lane.
    fn min(self, other: Self) -> Self;
    /// As `max`, where `self` has no negative lane and no -0. Their bits are in the order of the numbers, and those
    /// of negative numbers are less, so integers may be compared instead where that is faster.
    #[inline(always)]
    fn max_from_zero(self, other: Self) -> Self {
        other.max(self)
    }
    /// True if all bits are the same.
    fn is(self, other: Self) -> bool;
}

/// One part of a vector in memory.
pub(crate) type PartRow<V> = <<V as Vector>::Part as Numbers>::Row;

/// Sixteen numbers in registers.
///
/// Where a register holds eight, stages that read much take one half of the filters after the other: half of the
/// tables and half of the activations fit the first-level cache where all of them would not. What passes between such
/// stages lies in memory in *blocks*: of a number of vectors, first all first parts and then all second ones.
pub(crate) trait Vector: Numbers<Row = Lanes> {
    /// Part that a stage takes at a time: a half, or all of it.
    type Part: Numbers;
    /// Small numbers.
    type Bytes: Bytes;
    /// A vector of two halves; where a part is all of it, of the first.
    fn join(first: Self::Part, second: Self::Part) -> Self;
    /// The parts; where a part is all of it, twice that.
    fn split(self) -> [Self::Part; 2];
    /// Vector `i` of a block.
    #[inline(always)]
    fn load_from(block: &[Lanes], i: usize) -> Self {
        let second = (Self::Part::PARTS - 1) * block.len();
        let rows = Self::Part::rows(block);
        Self::join(Self::Part::load(&rows[i]), Self::Part::load(&rows[second + i]))
    }
    /// Writes vector `i` of a block.
    #[inline(always)]
    fn store_to(self, block: &mut [Lanes], i: usize) {
        let second = (Self::Part::PARTS - 1) * block.len();
        let rows = Self::Part::rows_mut(block);
        let [low, high] = self.split();
        low.store(&mut rows[i]);
        if second > 0 {
            high.store(&mut rows[second + i]);
        }
    }
    /// The parts of sixteen vectors of a block, from vector `from` on.
    #[inline(always)]
    fn sixteen(block: &[Lanes], from: usize) -> Sixteen<'_, PartRow<Self>> {
        let rows = Self::Part::rows(block);
        let second = (Self::Part::PARTS - 1) * block.len();
        [0, second].map(|part| rows[part + from..].first_chunk().expect("room for 16"))
    }
    /// Small numbers as they are.
    #[inline(always)]
    fn widen(from: &[u8; WIDTH]) -> Self {
        Self::load(&Lanes(from.map(f32::from)))
    }
    /// Lane i of the result is the sum over the lanes of `row(i)`: lanes j and j + 8 first, then j and j + 4 of
    /// those sums, j and j + 2, and the last two.
    #[inline(always)]
    fn sum_lanes(row: impl Fn(usize) -> Self) -> Self {
        let mut sums = Lanes::ZERO;
        for (i, sum) in sums.0.iter_mut().enumerate() {
            let mut lanes = Lanes::ZERO;
            row(i).store(&mut lanes);
            let mut lanes = lanes.0;
            for half in [8, 4, 2, 1] {
                for j in 0..half {
                    lanes[j] += lanes[j + half];
                }
            }
            *sum = lanes[0];
        }
        Self::load(&sums)
    }
    /// `columns[i][j]` becomes lane i of row j.
    #[inline(always)]
    fn transpose(rows: Sixteen<'_, PartRow<Self>>, columns: &mut [Lanes; WIDTH]) {
        let mut whole = [Lanes::ZERO; WIDTH];
        for ((whole, first), second) in whole.iter_mut().zip(rows[0]).zip(rows[1]) {
            Self::join(Self::Part::load(first), Self::Part::load(second)).store(whole);
        }
        for (i, column) in columns.iter_mut().enumerate() {
            for (x, row) in column.0.iter_mut().zip(&whole) {
                *x = row.0[i];
            }
        }
    }
}

/// The first and the second parts of sixteen vectors; the same twice where a part is all of a vector.
pub(crate) type Sixteen<'a, R> = [&'a [R; WIDTH]; 2];

/// Two halves of a vector.
#[derive(Clone, Copy)]
pub(crate) struct Pair<H>(H, H);

impl<H: Numbers<Row = Octet>> Numbers for Pair<H> {
    type Row = Lanes;
    const REGISTERS: usize = H::REGISTERS / 2;
    #[inline(always)]
    fn splat(x: f32) -> Self {
        Pair(H::splat(x), H::splat(x))
    }
    #[inline(always)]
    fn load(from: &Lanes) -> Self {
        let [first, second] = Octet::of(std::slice::from_ref(from)).first_chunk().expect("two halves");
        Pair(H::load(first), H::load(second))
    }
    #[inline(always)]
    fn store(self, to: &mut Lanes) {
        let halves = Octet::of_mut(std::slice::from_mut(to));
        let [first, second] = halves.first_chunk_mut().expect("two halves");
        self.0.store(first);
        self.1.store(second);
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Pair(self.0.add(other.0), self.1.add(other.1))
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Pair(self.0.mul(other.0), self.1.mul(other.1))
    }
    #[inline(always)]
    fn mul_add(self, factor: Self, term: Self) -> Self {
        Pair(self.0.mul_add(factor.0, term.0), self.1.mul_add(factor.1, term.1))
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        Pair(self.0.max(other.0), self.1.max(other.1))
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        Pair(self.0.min(other.0), self.1.min(other.1))
    }
    #[inline(always)]
    fn max_from_zero(self, other: Self) -> Self {
        Pair(self.0.max_from_zero(other.0), self.1.max_from_zero(other.1))
    }
    #[inline(always)]
    fn is(self, other: Self) -> bool {
        self.0.is(other.0) & self.1.is(other.1)
    }
}

/// Work that is compiled for every instruction set. `run` and what it calls must be `#[inline(always)]`, or the
/// compiler will not use the instruction set.
pub(crate) trait Task {
    /// Does the work with vectors of type `V`.
    fn run<V: Vector>(self);
}

/// An instruction set that this CPU has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simd(Level);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    #[cfg(target_arch = "x86_64")]
    Avx512(avx512::Avx512),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    Neon(neon::Neon),
    Scalar,
}

impl Simd {
    /// Every instruction set that this CPU has and the kernel can use, best first.
    pub fn available() -> Vec<Simd> {
        let levels = [
            #[cfg(target_arch = "x86_64")]
            avx512::Avx512::new().map(Level::Avx512),
            #[cfg(target_arch = "x86_64")]
            avx2::Avx2::new().map(Level::Avx2),
            #[cfg(target_arch = "aarch64")]
            neon::Neon::new().map(Level::Neon),
            Some(Level::Scalar),
        ];
        levels.into_iter().flatten().map(Simd).collect()
    }

    /// The best instruction set of this CPU.
    pub fn detect() -> Simd {
        Simd::available()[0]
    }

    /// Portable code: no instructions beyond those that the target always has.
    pub fn scalar() -> Simd {
        Simd(Level::Scalar)
    }

    /// The instruction set that [`VARIABLE`] names, or the best one if it is unset or empty.
    ///
    /// # Errors
    /// As [`Simd::named`].
    pub fn from_environment() -> Result<Simd> {
        match std::env::var_os(VARIABLE) {
            None => Ok(Simd::detect()),
            Some(name) if name.is_empty() => Ok(Simd::detect()),
            Some(name) => Simd::named(&name.to_string_lossy()),
        }
    }

    /// The instruction set called `name`: `avx512`, `avx2`, `neon` or `scalar`.
    ///
    /// # Errors
    /// A name that is unknown, or known but not on this CPU; the message lists those it has.
    pub fn named(name: &str) -> Result<Simd> {
        let available = Simd::available();
        available.iter().find(|simd| simd.name() == name).copied().ok_or_else(|| {
            let names: Vec<_> = available.iter().map(Simd::name).collect();
            Error::Request(format!(
                "{VARIABLE}: `{name}` is not an instruction set of this machine; it has {}",
                names.join(", ")
            ))
        })
    }

    /// Its name, as [`VARIABLE`] takes it.
    pub fn name(&self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "neon",
            Level::Scalar => "scalar",
        }
    }

    /// Number of parts of vectors that fit the registers ([`Numbers::REGISTERS`]).
    pub(crate) fn registers(self) -> usize {
        struct Registers<'a>(&'a mut usize);
        impl Task for Registers<'_> {
            #[inline(always)]
            fn run<V: Vector>(self) {
                *self.0 = V::Part::REGISTERS;
            }
        }
        let mut registers = 0;
        self.run(Registers(&mut registers));
        registers
    }

    /// Runs `task` with this instruction set.
    pub(crate) fn run(self, task: impl Task) {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(token) => token.run(task),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(token) => token.run(task),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(token) => token.run(task),
            Level::Scalar => task.run::<scalar::Array>(),
        }
    }
}

impl fmt::Display for Simd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_others_refused() {
        for simd in Simd::available() {
            assert_eq!(Simd::named(simd.name()).unwrap(), simd);
        }
        let error = Simd::named("mmx").unwrap_err().to_string();
        assert!(error.contains("mmx") && error.contains("scalar"), "{error}");
    }

    struct Transpose<'a>(&'a [Lanes; WIDTH], &'a mut [Lanes; WIDTH]);

    impl Task for Transpose<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let mut block = vec![Lanes::ZERO; WIDTH + 3];
            for (i, row) in self.0.iter().enumerate() {
                V::load(row).store_to(&mut block, i + 2);
            }
            V::transpose(V::sixteen(&block, 2), self.1);
            for (i, row) in self.0.iter().enumerate() {
                let mut back = Lanes::ZERO;
                V::load_from(&block, i + 2).store(&mut back);
                assert_eq!(back, *row);
            }
        }
    }

    struct SumLanes<'a>(&'a [Lanes; WIDTH], &'a mut Lanes);

    impl Task for SumLanes<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            V::sum_lanes(|i| V::load(&self.0[i])).store(self.1);
        }
    }

    #[test]
    fn sums_lanes_in_the_same_order_everywhere() {
        let rows = std::array::from_fn(|i| Lanes(std::array::from_fn(|j| 1.0 / (1 + 16 * i + j) as f32)));
        let mut expected = Lanes::ZERO;
        Simd::scalar().run(SumLanes(&rows, &mut expected));
        for (row, sum) in rows.iter().zip(expected.0) {
            assert!((row.0.iter().sum::<f32>() - sum).abs() < 1e-6);
        }
        for simd in Simd::available() {
            let mut sums = Lanes::ZERO;
            simd.run(SumLanes(&rows, &mut sums));
            assert_eq!(sums, expected, "{simd}");
        }
    }

    struct Maxima<'a>(&'a Lanes, &'a Lanes, &'a mut [Lanes; 2]);

    impl Task for Maxima<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let (x, y) = (V::load(self.0), V::load(self.1));
            x.max(y).store(&mut self.2[0]);
            x.max_from_zero(y).store(&mut self.2[1]);
        }
    }

    #[test]
    fn integer_maxima_are_those_of_the_numbers() {
        let x = Lanes(std::array::from_fn(|i| [0.0, 1e-40, 2.5, 1e30][i / 4]));
        let y = Lanes(std::array::from_fn(|i| [-1e-40, 1.0, f32::NEG_INFINITY, 2e30][i % 4]));
        for simd in Simd::available() {
            let mut maxima = [Lanes::ZERO; 2];
            simd.run(Maxima(&x, &y, &mut maxima));
            assert_eq!(maxima[0].0, std::array::from_fn(|i| x.0[i].max(y.0[i])), "{simd}");
            assert_eq!(maxima[0], maxima[1], "{simd}");
        }
    }

    struct Compared<'a>(&'a Lanes, &'a Lanes, &'a mut bool);

    impl Task for Compared<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            *self.2 = V::load(self.0).is(V::load(self.1));
        }
    }

    #[test]
    fn compares_bits() {
        let x = Lanes(std::array::from_fn(|i| [0.5, -1.0, f32::NAN, f32::NEG_INFINITY, 7.0][i % 5]));
        let same = |x: &Lanes, y: &Lanes, expected: bool| {
            for simd in Simd::available() {
                let mut same = !expected;
                simd.run(Compared(x, y, &mut same));
                assert_eq!(same, expected, "{simd}");
            }
        };
        same(&x, &x, true);
        for lane in 0..WIDTH {
            let mut y = x;
            y.0[lane] = f32::INFINITY;
            same(&x, &y, false);
        }
        same(&Lanes::ZERO, &Lanes([-0.0; WIDTH]), false);
    }

    struct LookUp<'a>(&'a Row, &'a [u8; BYTES], &'a mut Row, &'a mut u32);

    impl Task for LookUp<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let found = V::Bytes::load(self.0).look_up(self.1);
            found.store(self.2);
            *self.3 = found.below_full();
        }
    }

    #[test]
    fn looks_small_numbers_up() {
        let table = Row(std::array::from_fn(|i| if i % 16 == 9 { 255 } else { 3 + 16 * (i % 16) as u8 }));
        for shift in 0..16 {
            let indices =
                std::array::from_fn(|i| if i % 7 == 5 { 0x80 } else { ((5 * i + shift) % 16) as u8 });
            let expected = indices.map(|i| if i == 0x80 { 0 } else { table.0[usize::from(i)] });
            let below = (0..BYTES).filter(|&i| expected[i] < 255).map(|i| 1 << i).sum::<u32>();
            for simd in Simd::available() {
                let (mut found, mut mask) = (Row::ZERO, 0);
                simd.run(LookUp(&table, &indices, &mut found, &mut mask));
                assert_eq!((found.0, mask), (expected, below), "{simd}");
            }
        }
    }

    struct Small<'a>(&'a [Row; 2], &'a mut [Row; 2], &'a mut [bool; 3], &'a mut Lanes);

    impl Task for Small<'_> {
        #[inline(always)]
        fn run<V: Vector>(self) {
            let [x, y] = self.0.each_ref().map(V::Bytes::load);
            x.add(y).store(&mut self.1[0]);
            x.min(y).store(&mut self.1[1]);
            *self.2 = [x, x.add(y), x.add(x).add(x)].map(V::Bytes::is_full);
            let half = self.0[1].0.last_chunk().unwrap();
            V::widen(half).store(self.3);
        }
    }

    #[test]
    fn small_numbers_stay_in_their_range() {
        let x = Row(std::array::from_fn(|i| 100 + i as u8));
        for last in [200, 123] {
            let mut y = Row(std::array::from_fn(|i| 255 - 5 * i as u8));
            y.0[31] = last;
            for simd in Simd::available() {
                let (mut results, mut full, mut wide) = ([Row::ZERO; 2], [false; 3], Lanes::ZERO);
                simd.run(Small(&[x, y], &mut results, &mut full, &mut wide));
                let by = |f: fn(u8, u8) -> u8| Row(std::array::from_fn(|i| f(x.0[i], y.0[i])));
                assert_eq!(results, [by(u8::saturating_add), by(u8::min)], "{simd}");
                assert_eq!(full, [false, results[0] == Row::FULL, true], "{simd}");
                assert_eq!(wide.0, std::array::from_fn(|i| f32::from(y.0[16 + i])), "{simd}");
            }
        }
    }

    #[test]
    fn transposes() {
        let rows = std::array::from_fn(|i| Lanes(std::array::from_fn(|j| (100 * i + j) as f32)));
        for simd in Simd::available() {
            let mut columns = [Lanes::ZERO; WIDTH];
            simd.run(Transpose(&rows, &mut columns));
            for (i, column) in columns.iter().enumerate() {
                assert_eq!(column.0, std::array::from_fn(|j| (100 * j + i) as f32), "{simd}");
            }
        }
    }
}
