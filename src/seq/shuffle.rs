//! Random sequences with the same k-mers as a given one.

use rand::{Rng, RngExt};

use crate::seq::alphabet::N;

const BASES: usize = 4;

/// Longest k-mers that [`shuffle_kmers`] keeps.
pub const LONGEST: usize = 6;

/// A random sequence with the same k-mers as `codes`, each as often, and the same first and last k - 1 bases (Altschul
/// & Erickson 1985; for k > 2 with the trees of Wilson 1996).
///
/// Each of the sequences with these counts is equally likely. N stay where they are, and the stretches between them are
/// shuffled each for itself. With k = 1 the bases of a stretch come in any order, with k = 2 its dinucleotides are kept.
///
/// # Panics
/// Unless `k` is from 1 to [`LONGEST`].
///
/// ```
/// use bindscan::seq::alphabet::encode;
/// use bindscan::seq::shuffle::shuffle_kmers;
/// use rand::SeedableRng;
///
/// let codes = encode(b"GATTACAGATTACA").unwrap();
/// let mut rng = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(1);
/// let shuffled = shuffle_kmers(&codes, 2, &mut rng);
/// let pairs = |codes: &[u8]| {
///     let mut pairs: Vec<[u8; 2]> = codes.windows(2).map(|pair| [pair[0], pair[1]]).collect();
///     pairs.sort_unstable();
///     pairs
/// };
/// assert_eq!(pairs(&shuffled), pairs(&codes));
/// ```
pub fn shuffle_kmers(codes: &[u8], k: usize, rng: &mut impl Rng) -> Vec<u8> {
    assert!((1..=LONGEST).contains(&k), "k-mers of {k} bases are not kept");
    let mut shuffled = codes.to_vec();
    shuffled.split_mut(|&code| code >= N).for_each(|stretch| match k {
        1 => shuffle(stretch, rng),
        _ => shuffle_stretch(stretch, k - 1, rng),
    });
    shuffled
}

/// A random order, each equally likely (Fisher and Yates).
fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.random_range(0..=i));
    }
}

/// Reads the stretch as a walk over the graph whose nodes are words of `word` bases and whose edges are the k-mers, one
/// base longer, and replaces it by a random walk over the same edges. Such a walk is fixed by the order in which each
/// node's edges are left by; it uses up all edges exactly if the last edges of the nodes other than the end lead to the
/// end.
fn shuffle_stretch(stretch: &mut [u8], word: usize, rng: &mut impl Rng) {
    if stretch.len() <= word + 1 {
        return;
    }
    let nodes = BASES.pow(word as u32);
    let node_of = |bases: &[u8]| bases.iter().fold(0, |node, &base| step(node, base, nodes));
    // The edges that leave a node, by the base that they add.
    let mut successors: Vec<Vec<u8>> = vec![Vec::new(); nodes];
    let first = node_of(&stretch[..word]);
    let mut node = first;
    for &base in &stretch[word..] {
        successors[node].push(base);
        node = step(node, base, nodes);
    }
    let last_edges =
        if word == 1 { weighed_tree(&successors, node, rng) } else { walked_tree(&successors, node, rng) };
    for (edges, last) in successors.iter_mut().zip(last_edges) {
        let free = match last {
            Some(base) => {
                let at = edges.iter().position(|&next| next == base).expect("drawn among the edges");
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
    for base in &mut stretch[word..] {
        *base = successors[node].pop().expect("as many edges as steps");
        node = step(node, *base, nodes);
    }
}

/// The node that the edge `base` leads to.
fn step(node: usize, base: u8, nodes: usize) -> usize {
    node * BASES % nodes + usize::from(base)
}

/// Draws the last edge of each node but `root`, so that they form a tree that leads to `root`; every such tree as often
/// as its edges occur. Three nodes with four edges each leave few enough trees to weigh them all, where drawing until
/// it fits takes long on repeats.
fn weighed_tree(successors: &[Vec<u8>], root: usize, rng: &mut impl Rng) -> Vec<Option<u8>> {
    let mut counts = [[0u128; BASES]; BASES];
    for (node, edges) in successors.iter().enumerate() {
        edges.iter().for_each(|&next| counts[node][usize::from(next)] += 1);
    }
    let nodes: Vec<usize> = (0..BASES).filter(|&node| node != root && !successors[node].is_empty()).collect();
    let trees = BASES.pow(nodes.len() as u32);
    let tree = |number: usize| {
        let mut edges = vec![None; BASES];
        for (digit, &node) in nodes.iter().enumerate() {
            edges[node] = Some((number / BASES.pow(digit as u32) % BASES) as u8);
        }
        edges
    };
    let weight = |edges: &[Option<u8>]| -> u128 {
        if !nodes.iter().all(|&node| leads_to(edges, node, root)) {
            return 0;
        }
        nodes.iter().map(|&node| counts[node][edges[node].map_or(root, usize::from)]).product()
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

/// True if the edges lead from `node` to `root`; the nodes are single bases.
fn leads_to(edges: &[Option<u8>], mut node: usize, root: usize) -> bool {
    for _ in 0..BASES {
        match edges[node] {
            _ if node == root => return true,
            Some(next) => node = usize::from(next),
            None => return false,
        }
    }
    node == root
}

/// As [`weighed_tree`], for many nodes: Wilson's loop-erased random walks. From each node in turn a random walk goes on
/// until it meets the tree; the edges by which the nodes on its way were left last join the tree.
fn walked_tree(successors: &[Vec<u8>], root: usize, rng: &mut impl Rng) -> Vec<Option<u8>> {
    let nodes = successors.len();
    let mut edges: Vec<Option<u8>> = vec![None; nodes];
    let mut in_tree = vec![false; nodes];
    in_tree[root] = true;
    for start in (0..nodes).filter(|&node| !successors[node].is_empty()) {
        let mut node = start;
        while !in_tree[node] {
            // A node on the way has an edge: only the end of the stretch may have none, and that is the root.
            let base = successors[node][rng.random_range(0..successors[node].len())];
            edges[node] = Some(base);
            node = step(node, base, nodes);
        }
        let mut node = start;
        while !in_tree[node] {
            in_tree[node] = true;
            node = step(node, edges[node].expect("it was left"), nodes);
        }
    }
    edges[root] = None;
    edges
}
