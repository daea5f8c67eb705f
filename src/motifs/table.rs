//! The sums of many filters at every place of a sequence, by table look-up: three bases select what three columns of all
//! filters add.

use crate::motifs::Filter;

/// Bases that select a row.
const TRIPLE: usize = 3;
/// Rows of a table.
const ROWS: usize = 64;

/// Filters of one length.
#[derive(Debug)]
pub(crate) struct Table {
    /// Their places among all filters.
    pub(crate) places: Vec<usize>,
    pub(crate) length: usize,
    /// `rows[(group * 64 + triple) * filters + i]`: what columns `3 group .. 3 group + 3` of filter i add.
    rows: Vec<f32>,
    biases: Vec<f32>,
}

/// Tables of all filters, one for each length.
pub(crate) fn tables(filters: &[Filter]) -> Vec<Table> {
    let mut lengths: Vec<usize> = filters.iter().map(Filter::length).collect();
    lengths.sort_unstable();
    lengths.dedup();
    let of_length = |length| {
        let places = (0..filters.len()).filter(|&place| filters[place].length() == length).collect();
        Table::new(filters, places, length)
    };
    lengths.into_iter().map(of_length).collect()
}

impl Table {
    fn new(filters: &[Filter], places: Vec<usize>, length: usize) -> Table {
        let groups = length.div_ceil(TRIPLE);
        let mut rows = Vec::with_capacity(groups * ROWS * places.len());
        for group in 0..groups {
            for triple in 0..ROWS {
                for &place in &places {
                    let codes = [triple / 16, triple / 4 % 4, triple % 4];
                    let columns = filters[place].weights.iter().skip(TRIPLE * group).zip(codes);
                    rows.push(columns.map(|(column, code)| column[code]).sum());
                }
            }
        }
        let biases = places.iter().map(|&place| filters[place].bias).collect();
        Table { places, length, rows, biases }
    }

    /// Calls `visit` with each place below `own` where the filters fit into `codes` and meet no N, and with their sums
    /// there.
    pub(crate) fn each_place(&self, codes: &[u8], own: usize, mut visit: impl FnMut(usize, &[f32])) {
        let count = self.places.len();
        let mut sums = vec![0.0f32; count];
        let triples: Vec<u8> = (0..codes.len())
            .map(|i| {
                let code = |i: usize| codes.get(i).copied().filter(|&code| code < 4).unwrap_or(0);
                16 * code(i) + 4 * code(i + 1) + code(i + 2)
            })
            .collect();
        // Places before this one meet an N.
        let mut clear =
            codes.iter().take(self.length - 1).rposition(|&code| code >= 4).map_or(0, |at| at + 1);
        for place in 0..own.min((codes.len() + 1).saturating_sub(self.length)) {
            if codes[place + self.length - 1] >= 4 {
                clear = place + self.length;
            }
            if place < clear {
                continue;
            }
            sums.copy_from_slice(&self.biases);
            for (group, &triple) in triples[place..place + self.length].iter().step_by(TRIPLE).enumerate() {
                let row = &self.rows[(group * ROWS + usize::from(triple)) * count..][..count];
                sums.iter_mut().zip(row).for_each(|(sum, added)| *sum += added);
            }
            visit(place, &sums);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::onnx::recognize::Transfer;

    #[test]
    fn sums_are_those_of_the_weights() {
        let number = |i: usize| ((i * 37 + 11) % 23) as f32 / 11.0 - 1.0;
        let filter = |rank: usize, length: usize| Filter {
            rank,
            weights: (0..length).map(|j| [0, 1, 2, 3].map(|c| number(rank * 50 + 4 * j + c))).collect(),
            bias: number(rank),
            transfer: Transfer::Proportional,
        };
        let filters = [filter(0, 7), filter(1, 1), filter(2, 7), filter(3, 6), filter(4, 2)];
        let mut codes: Vec<u8> = (0..60).map(|i| (i * i % 7 % 4) as u8).collect();
        for at in [0, 20, 22, 31, 59] {
            codes[at] = 4;
        }
        for own in [60, 25] {
            let mut seen = vec![Vec::new(); filters.len()];
            for table in tables(&filters) {
                table.each_place(&codes, own, |place, sums| {
                    for (&filter, &sum) in table.places.iter().zip(sums) {
                        seen[filter].push((place, sum));
                    }
                });
            }
            for (filter, seen) in filters.iter().zip(seen) {
                let windows = codes.windows(filter.length()).enumerate().take(own);
                let clear = windows.filter(|(_, window)| !window.contains(&4));
                let sum = |window: &[u8]| {
                    let each =
                        filter.weights.iter().zip(window).map(|(column, &code)| column[usize::from(code)]);
                    filter.bias + each.sum::<f32>()
                };
                let want: Vec<(usize, f32)> = clear.map(|(place, window)| (place, sum(window))).collect();
                assert_eq!(seen.len(), want.len());
                for (have, want) in seen.into_iter().zip(want) {
                    assert!(have.0 == want.0 && (have.1 - want.1).abs() < 1e-5, "{have:?} {want:?}");
                }
            }
        }
        // Shorter than a filter.
        tables(&filters)[3].each_place(&[0, 1], 2, |_, _| panic!("no filter of 7 bases fits"));
    }
}
