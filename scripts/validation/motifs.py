"""Position weight matrices."""

from collections import namedtuple

import lightmotif
import numpy as np

from .sequence import LETTERS

Motif = namedtuple("Motif", "id name probabilities sites")


def read_meme(path):
    """Motifs of a MEME file; probabilities have shape [length, 4]."""
    motifs = []
    with open(path) as lines:
        for line in lines:
            words = line.split()
            if words[:1] == ["MOTIF"]:
                identifier, name = words[1], " ".join(words[2:]) or words[1]
            elif words[:1] == ["letter-probability"]:
                length = int(words[words.index("w=") + 1])
                sites = float(words[words.index("nsites=") + 1])
                rows = np.array([[float(x) for x in next(lines).split()] for _ in range(length)])
                motifs.append(Motif(identifier, name, rows, sites))
    return motifs


def write_meme(path, motifs):
    """Writes motifs in MEME format with a uniform background."""
    with open(path, "w") as out:
        out.write("MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\n")
        out.write("Background letter frequencies\nA 0.25 C 0.25 G 0.25 T 0.25\n")
        for motif in motifs:
            out.write(f"\nMOTIF {motif.id} {motif.name}\nletter-probability matrix: alength= 4 ")
            out.write(f"w= {len(motif.probabilities)} nsites= {motif.sites:g} E= 0\n")
            out.writelines(" ".join(f"{p:.8f}" for p in row) + "\n" for row in motif.probabilities)


def log_odds(motif, pseudocount, background=0.25):
    """log2 of the smoothed frequency over the background, shape [4, length], f64.

    The frequency is (p · sites + background · pseudocount) / (sites + pseudocount).
    """
    p = motif.probabilities / motif.probabilities.sum(axis=1, keepdims=True)
    smoothed = (p * motif.sites + background * pseudocount) / (motif.sites + pseudocount)
    with np.errstate(divide="ignore"):
        return np.log2(smoothed / background).T


def lightmotif_matrix(matrix):
    """A scoring matrix from log-odds [4, length]; an N scores the mean of the four."""
    rows = dict(zip(LETTERS, matrix)) | {"N": matrix.mean(axis=0)}
    return lightmotif.ScoringMatrix({base: row.astype(np.float32).tolist() for base, row in rows.items()})
