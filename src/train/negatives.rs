//! Sequences that are not bound, to tell the bound ones from: shuffles that keep the dinucleotides, and windows of
//! the genome that match in GC content ([`super::dataset::peaks`]).

use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::encode::N;
use crate::{Error, Result};

const BASES: usize = 4;

/// A random sequence with the same dinucleotides, the same first and the same last base (Altschul & Erickson 1985).
///
/// Each of the sequences with these dinucleotide counts is equally likely. N stay where they are, and the stretches
/// between them are shuffled each for itself.
///
/// ```
/// use bindscan::encode::encode;
/// use bindscan::train::negatives::shuffle_dinucleotides;
/// use rand::SeedableRng;
///
/// let codes = encode(b"GATTACAGATTACA").unwrap();
/// let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
/// let shuffled = shuffle_dinucleotides(&codes, &mut rng);
/// let pairs = |codes: &[u8]| {
///     let mut pairs: Vec<[u8; 2]> = codes.windows(2).map(|pair| [pair[0], pair[1]]).collect();
///     pairs.sort_unstable();
///     pairs
/// };
/// assert_eq!(pairs(&shuffled), pairs(&codes));
/// ```
pub fn shuffle_dinucleotides(codes: &[u8], rng: &mut impl Rng) -> Vec<u8> {
    let mut shuffled = codes.to_vec();
    shuffled.split_mut(|&code| code >= N).for_each(|stretch| shuffle_stretch(stretch, rng));
    shuffled
}

/// Shuffles of the positives: `per_positive` times as many, rounded, each positive in its turn. The same seed gives
/// the same shuffles.
///
/// # Errors
/// A ratio that is no positive number.
pub fn shuffles(positives: &[Vec<u8>], per_positive: f64, seed: u64) -> Result<Vec<Vec<u8>>> {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let count = wanted(positives.len(), per_positive)?;
    let turns = positives.iter().cycle().take(if positives.is_empty() { 0 } else { count });
    Ok(turns.map(|codes| shuffle_dinucleotides(codes, &mut rng)).collect())
}

/// How many negatives go with so many positives: at least one.
///
/// # Errors
/// A ratio that is no positive number.
pub fn wanted(positives: usize, per_positive: f64) -> Result<usize> {
    if !(per_positive > 0.0 && per_positive.is_finite()) {
        return Err(Error::Request(format!("{per_positive} negatives per positive: more than 0 are needed")));
    }
    Ok(((positives as f64 * per_positive).round() as usize).max(1))
}

/// Reads the stretch as a walk over the graph whose nodes are bases and whose edges are dinucleotides, and replaces it
/// by a random walk over the same edges. Such a walk is fixed by the order in which each node's edges are left by; it
/// uses up all edges exactly if the last edges of the nodes other than the end lead to the end.
fn shuffle_stretch(stretch: &mut [u8], rng: &mut impl Rng) {
    let [first, .., last] = *stretch else { return };
    let mut successors: [Vec<u8>; BASES] = Default::default();
    stretch.windows(2).for_each(|pair| successors[usize::from(pair[0])].push(pair[1]));
    let last_edges = random_last_edges(&successors, last, rng);
    for (node, edges) in successors.iter_mut().enumerate() {
        let free = match last_edges[node] {
            Some(target) => {
                let at = edges.iter().position(|&next| next == target).expect("drawn among the edges");
                let end = edges.len() - 1;
                edges.swap(at, end);
                end
            }
            None => edges.len(),
        };
        shuffle(&mut edges[..free], rng);
        // Edges are taken off the end.
        edges.reverse();
    }
    let mut node = first;
    for base in &mut stretch[1..] {
        node = successors[usize::from(node)].pop().expect("as many edges as steps");
        *base = node;
    }
}

/// Draws the last edge of each node but `root`, so that they form a tree that leads to `root`; every such tree as often
/// as its edges occur. Three nodes with four edges each leave few enough trees to weigh them all, where drawing until
/// it fits takes long on repeats.
fn random_last_edges(successors: &[Vec<u8>; BASES], root: u8, rng: &mut impl Rng) -> [Option<u8>; BASES] {
    let mut counts = [[0u128; BASES]; BASES];
    for (node, edges) in successors.iter().enumerate() {
        edges.iter().for_each(|&next| counts[node][usize::from(next)] += 1);
    }
    let nodes: Vec<usize> =
        (0..BASES).filter(|&node| node != usize::from(root) && !successors[node].is_empty()).collect();
    let trees = BASES.pow(nodes.len() as u32);
    let tree = |number: usize| {
        let mut edges = [None; BASES];
        for (digit, &node) in nodes.iter().enumerate() {
            edges[node] = Some((number / BASES.pow(digit as u32) % BASES) as u8);
        }
        edges
    };
    let weight = |edges: &[Option<u8>; BASES]| -> u128 {
        if !nodes.iter().all(|&node| leads_to(edges, node as u8, root)) {
            return 0;
        }
        nodes.iter().map(|&node| counts[node][usize::from(edges[node].unwrap_or(root))]).product()
    };
    let total: u128 = (0..trees).map(|number| weight(&tree(number))).sum();
    let mut draw = rng.random_range(0..total);
    for edges in (0..trees).map(tree) {
        match draw.checked_sub(weight(&edges)) {
            Some(rest) => draw = rest,
            None => return edges,
        }
    }
    unreachable!("the draw is below the sum of the weights")
}

/// Whether the edges lead from `node` to `root`.
fn leads_to(edges: &[Option<u8>; BASES], mut node: u8, root: u8) -> bool {
    for _ in 0..BASES {
        match edges[usize::from(node)] {
            _ if node == root => return true,
            Some(next) => node = next,
            None => return false,
        }
    }
    node == root
}

/// A random order, each equally likely (Fisher and Yates).
pub(super) fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}
