"""Sequences, as text and as numbers."""

import gzip

import numpy as np

LETTERS = "ACGT"
COMPLEMENT = str.maketrans("ACGTRYKMBDHVNSW", "TGCAYRMKVHDBNSW")
CODES = np.full(256, 4, dtype=np.uint8)
for code, letter in enumerate(LETTERS):
    CODES[ord(letter)] = CODES[ord(letter.lower())] = code
CODES[ord("U")] = CODES[ord("u")] = 3
COLUMNS = np.vstack([np.eye(4), np.full(4, 0.25)]).astype(np.float32)


def open_text(path):
    """A text file, gzip-compressed or not."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt") if packed else open(path)


def read_fasta(path):
    """Names and upper-case sequences, in file order."""
    contigs, name = {}, None
    with open_text(path) as lines:
        for line in lines:
            if line.startswith(">"):
                name = line[1:].split()[0]
                contigs[name] = []
            else:
                contigs[name].append(line.strip())
    return {name: "".join(parts).upper() for name, parts in contigs.items()}


def write_fasta(path, contigs, width=60):
    """Writes (name, sequence) pairs as FASTA, `width` bases a line."""
    with open(path, "w") as out:
        for name, bases in contigs:
            out.write(f">{name}\n")
            out.writelines(bases[i : i + width] + "\n" for i in range(0, len(bases), width))


def codes(bases):
    """A 0, C 1, G 2, T and U 3, everything else 4."""
    return CODES[np.frombuffer(bases.encode(), dtype=np.uint8)]


def one_hot(coded):
    """Shape [4, L] f32; an N is 0.25 in each channel."""
    return np.ascontiguousarray(COLUMNS[coded].T)


def reverse_complement(bases):
    """The other strand, read from its own 5' end."""
    return bases.translate(COMPLEMENT)[::-1]
