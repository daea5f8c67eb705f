//! Lines that wait until no line can come that belongs before them.

use super::Key;

/// Lines, each with its place.
#[derive(Debug, Default)]
pub(super) struct Lines {
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    place: Key,
    end: u64,
    /// Its offset in the bytes.
    from: usize,
    to: usize,
}

impl Lines {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }

    /// All lines, in the order in which they were added.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Adds the line that `write` appends, of a site from `place` to `end`.
    pub(super) fn add(&mut self, place: Key, end: u64, write: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        write(&mut self.bytes);
        self.lines.push(Line { place, end, from, to: self.bytes.len() });
    }

    /// Adds all lines of `other`.
    pub(super) fn append(&mut self, other: &Lines) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        let moved = |line: &Line| Line { from: line.from + before, to: line.to + before, ..*line };
        self.lines.extend(other.lines.iter().map(moved));
    }

    /// Sorts by start, then end; lines of one place stay in their order.
    pub(super) fn sort(&mut self) {
        self.lines.sort_by_key(|line| (line.place, line.end));
    }

    /// Moves the lines before `bound` to `out`, sorted.
    pub(super) fn settle(&mut self, bound: Key, out: &mut Vec<u8>) {
        self.sort();
        let settled = self.lines.partition_point(|line| line.place < bound);
        for line in self.lines.drain(..settled) {
            out.extend_from_slice(&self.bytes[line.from..line.to]);
        }
        let mut kept = Vec::with_capacity(self.lines.iter().map(|line| line.to - line.from).sum());
        for line in &mut self.lines {
            let from = kept.len();
            kept.extend_from_slice(&self.bytes[line.from..line.to]);
            (line.from, line.to) = (from, kept.len());
        }
        self.bytes = kept;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_sorted_and_lines_of_one_place_in_their_order() {
        let (mut pending, mut out) = (Lines::default(), Vec::new());
        let parts = [
            (vec![(5, 9, 'c'), (3, 4, 'a'), (5, 9, 'd'), (5, 6, 'b')], 5),
            (vec![(7, 8, 'f'), (5, 9, 'e')], 7),
        ];
        for (lines, bound) in parts {
            let mut part = Lines::default();
            for (start, end, letter) in lines {
                part.add((0, start), end, |out| out.push(letter as u8));
            }
            pending.append(&part);
            pending.settle((0, bound), &mut out);
        }
        assert_eq!(out, b"abcde");
        pending.settle((1, 0), &mut out);
        assert_eq!(out, b"abcdef");
    }
}
