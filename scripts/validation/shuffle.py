"""Sequence with the same k-mers in another order: an implementation of its own, to check bindscan's backgrounds with."""

import random

PIECE = 16_384


def genome(bases, k, seed):
    """The bases of a contig (A, C, G, T only), each piece of 16 kb shuffled so that it keeps its k-mers, k at least 2."""
    rng = random.Random(seed)
    return "".join(piece(bases[i : i + PIECE], k - 1, rng) for i in range(0, len(bases), PIECE))


def piece(bases, word, rng):
    """A random walk over the edges that the k-mers are, between words of k - 1 bases (Altschul & Erickson 1985)."""
    if len(bases) <= word + 1:
        return bases
    edges = {}
    for i in range(len(bases) - word):
        edges.setdefault(bases[i : i + word], []).append(bases[i + word])
    end = bases[-word:]
    last = last_edges(edges, end, rng)
    for node, leaving in edges.items():
        if node in last:
            leaving.remove(last[node])
        rng.shuffle(leaving)
        if node in last:
            leaving.append(last[node])
        leaving.reverse()
    walk, node = [bases[:word]], bases[:word]
    for _ in range(len(bases) - word):
        base = edges[node].pop()
        walk.append(base)
        node = node[1:] + base
    return "".join(walk)


def last_edges(edges, end, rng):
    """A random tree of last edges that leads to the end, by random walks from each node (Wilson 1996)."""
    tree, joined = {}, {end}
    for start in edges:
        node = start
        while node not in joined:
            tree[node] = rng.choice(edges[node])
            node = node[1:] + tree[node]
        node = start
        while node not in joined:
            joined.add(node)
            node = node[1:] + tree[node]
    tree.pop(end, None)
    return tree
