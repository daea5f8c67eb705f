//! The two search trees of a big binary file: contigs by name, and blocks by place.
//!
//! Layouts: Kent et al. 2010, supplement (tables 8 to 11 and 14 to 17). All numbers are little-endian.

/// Children of a node.
const FANOUT: usize = 256;

/// The B+ tree that gives a contig's number and length by its name, as it stands at `offset` of the file.
///
/// `contigs` is the name, number and length of each; the tree holds them in the order of their names' bytes.
pub(crate) fn contig_tree(mut contigs: Vec<(&str, u32, u32)>, offset: u64) -> Vec<u8> {
    contigs.sort_unstable_by_key(|&(name, ..)| name);
    let key = contigs.iter().map(|(name, ..)| name.len()).max().unwrap_or(0).max(1);
    let mut out = Vec::new();
    put_u32(&mut out, 0x78CA_8C91);
    put_u32(&mut out, FANOUT as u32);
    put_u32(&mut out, key as u32);
    put_u32(&mut out, 8);
    put_u64(&mut out, contigs.len() as u64);
    put_u64(&mut out, 0);
    let put_key = |out: &mut Vec<u8>, name: &str| {
        out.extend_from_slice(name.as_bytes());
        out.resize(out.len() + key - name.len(), 0);
    };
    let levels = level_sizes(contigs.len());
    let item = key + 8;
    let mut start = offset + out.len() as u64;
    for (depth, &nodes) in levels.iter().enumerate() {
        // Items below one item of this level, and below one of its nodes.
        let below = FANOUT.pow((levels.len() - 1 - depth) as u32);
        let children = if depth + 1 == levels.len() { contigs.len() } else { levels[depth + 1] };
        let next = start + (4 * nodes + item * children) as u64;
        for node in 0..nodes {
            let items = node * FANOUT..children.min((node + 1) * FANOUT);
            put_node(&mut out, depth + 1 == levels.len(), items.len());
            for child in items {
                let (name, number, length) = contigs[child * below];
                put_key(&mut out, name);
                if depth + 1 == levels.len() {
                    put_u32(&mut out, number);
                    put_u32(&mut out, length);
                } else {
                    put_u64(&mut out, next + (child * (4 + FANOUT * item)) as u64);
                }
            }
        }
        start = next;
    }
    out
}

/// Position of a block of data on the genome, and its length in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) contig: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) bytes: u32,
}

/// The R-tree that finds blocks by place, as it stands at `offset` of the file. The blocks are sorted, and follow each
/// other in the file from `data` to `data_end`; `items` is the most that one of them holds.
pub(crate) fn block_tree(blocks: &[Place], data: u64, items: u32, (offset, data_end): (u64, u64)) -> Vec<u8> {
    // From the whole down to the blocks.
    let mut bounds = vec![blocks.iter().map(Bounds::from_block).collect::<Vec<_>>()];
    loop {
        let around: Vec<Bounds> = bounds[0].chunks(FANOUT).map(Bounds::around).collect();
        bounds.insert(0, around);
        if bounds[0].len() <= 1 {
            break;
        }
    }
    let all = bounds[0].first().copied().unwrap_or_default();
    let mut out = Vec::new();
    put_u32(&mut out, 0x2468_ACE0);
    put_u32(&mut out, FANOUT as u32);
    put_u64(&mut out, blocks.len() as u64);
    all.put(&mut out);
    put_u64(&mut out, data_end);
    put_u32(&mut out, items);
    put_u32(&mut out, 0);
    if blocks.is_empty() {
        put_node(&mut out, true, 0);
        return out;
    }
    // Each level of `bounds` but the first is the items in the nodes that the level before bounds.
    let mut start = offset + out.len() as u64;
    let mut place = data;
    for (depth, level) in bounds.iter().enumerate().skip(1) {
        let leaf = depth + 1 == bounds.len();
        let (item, child_item) =
            (if leaf { 32 } else { 24 }, if depth + 2 == bounds.len() { 32 } else { 24 });
        let next = start + (4 * level.len().div_ceil(FANOUT) + item * level.len()) as u64;
        for (node, children) in level.chunks(FANOUT).enumerate() {
            put_node(&mut out, leaf, children.len());
            for (i, child) in children.iter().enumerate() {
                child.put(&mut out);
                let rank = node * FANOUT + i;
                if leaf {
                    put_u64(&mut out, place);
                    put_u64(&mut out, blocks[rank].bytes.into());
                    place += u64::from(blocks[rank].bytes);
                } else {
                    put_u64(&mut out, next + (rank * (4 + FANOUT * child_item)) as u64);
                }
            }
        }
        start = next;
    }
    out
}

/// Nodes of each level, from the root down, over so many items.
fn level_sizes(items: usize) -> Vec<usize> {
    let mut levels = vec![items.div_ceil(FANOUT).max(1)];
    while levels[0] > 1 {
        levels.insert(0, levels[0].div_ceil(FANOUT));
    }
    levels
}

/// First place, and one past the last, as (contig, position).
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    start: (u32, u32),
    end: (u32, u32),
}

impl Bounds {
    fn from_block(block: &Place) -> Bounds {
        Bounds { start: (block.contig, block.start), end: (block.contig, block.end) }
    }

    fn around(parts: &[Bounds]) -> Bounds {
        let end = parts.iter().map(|part| part.end).max().unwrap_or_default();
        Bounds { start: parts[0].start, end }
    }

    fn put(&self, out: &mut Vec<u8>) {
        for number in [self.start.0, self.start.1, self.end.0, self.end.1] {
            put_u32(out, number);
        }
    }
}

fn put_node(out: &mut Vec<u8>, leaf: bool, items: usize) {
    out.extend_from_slice(&[u8::from(leaf), 0]);
    out.extend_from_slice(&(items as u16).to_le_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}
