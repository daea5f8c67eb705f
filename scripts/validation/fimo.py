"""Compare the hits of a motif collection with those of MEME's FIMO.

The motifs of JASPAR 2018 CORE fungi are scanned on chromosomes of sacCer3 by bindscan and by FIMO's own code (pymemesuite), with
the same uniform background, pseudocount 0.1, both strands apart, at the same p-value. bindscan's table is its fimo.tsv. Hits are
the same if contig, start, stop and strand are; matched sequences and p-values are compared too.

FIMO rounds a matrix to whole numbers, 1,000 steps from its lowest to its highest entry; bindscan's grid is finer. Hits whose
p-values lie within --tolerance of the threshold may therefore be in one table and not in the other: they are counted as close.
Any other difference fails the check.
"""

import csv
import subprocess
from collections import namedtuple

from pymemesuite.common import Alphabet, Background, Matrix, Motif, Sequence
from pymemesuite.fimo import FIMO

from . import environment, motifs, program, sequence, table

Hit = namedtuple("Hit", "contig start stop strand")
MOTIFS = "motifs/JASPAR2018_CORE_fungi.meme"
GENOME = "genomes/sacCer3.fa.gz"
PSEUDOCOUNT = 0.1


def main(options):
    binary = program.find(options.bindscan)
    collection = environment.data_file(options.data, MOTIFS)
    genome = environment.data_file(options.data, GENOME)
    wanted = options.contigs.split(",")
    contigs = {name: bases for name, bases in sequence.read_fasta(genome).items() if name in wanted}
    if len(contigs) < len(wanted):
        environment.fail(f"{genome} has not all of {options.contigs}")
    ours = scan(binary, collection, genome, wanted, options.pvalue * (1 + options.tolerance))
    rows, failed = [], False
    for identifier, name, theirs in fimo(collection, contigs, options):
        mine = ours.get(identifier, {})
        check_sequences(identifier, mine, contigs)
        row = Row(identifier, name, mine, theirs, options)
        failed |= not row.same
        rows.append(row)
    print(f"p = {options.pvalue:g}, {sum(map(len, contigs.values())):,} bases, {len(rows)} motifs\n")
    shown = [row for row in rows if not row.same or row.close] if len(rows) > 20 else rows
    header = ["motif", "hits in both", "only bindscan", "only FIMO", "close", "largest ratio of p", "same"]
    print(table.markdown(header, [row.cells() for row in shown]))
    print(f"\n{sum(row.both for row in rows):,} hits in both, {sum(row.close for row in rows):,} close to the threshold,", end=" ")
    print(f"{sum(row.only_ours + row.only_theirs for row in rows):,} different; p-values differ by a factor of", end=" ")
    print(f"{max((row.ratio for row in rows), default=1):.3f} at the most")
    if failed:
        environment.fail("hits, sequences or p-values differ")


def scan(binary, collection, genome, contigs, p):
    """bindscan's hits of each motif: p-value and sequence."""
    found = {}
    command = [binary, "scan", genome, "-m", collection, "--pvalue", f"{p:g}", "--both-strands", "--overlaps", "keep"]
    command += ["--background", "uniform", "--motif-background", "uniform", "--format", "fimo", "--quiet"]
    command += [word for name in contigs for word in ("-r", name)]
    run = subprocess.run([*map(str, command)], capture_output=True, text=True)
    if run.returncode != 0:
        environment.fail(f"bindscan: {run.stderr.strip()}")
    for row in csv.DictReader(run.stdout.splitlines(), delimiter="\t"):
        hit = Hit(row["sequence_name"], int(row["start"]), int(row["stop"]), row["strand"])
        found.setdefault(row["motif_id"], {})[hit] = (float(row["p-value"]), row["matched_sequence"])
    return found


def check_sequences(identifier, hits, contigs):
    """Ends the script if a matched sequence is not the genome's."""
    for hit, (_, shown) in hits.items():
        bases = contigs[hit.contig][hit.start - 1 : hit.stop]
        if shown != (bases if hit.strand == "+" else sequence.reverse_complement(bases)):
            environment.fail(f"{identifier} {hit}: the matched sequence is not the genome's")


def fimo(path, contigs, options):
    """FIMO's hits of each motif, one motif after the other."""
    background = Background.from_uniform(Alphabet.dna())
    sequences = [Sequence(bases, name=name.encode()) for name, bases in contigs.items()]
    threshold = options.pvalue * (1 + options.tolerance)
    runner = FIMO(both_strands=True, threshold=threshold, max_stored_scores=1 << 30)
    for motif in motifs.read_meme(path)[: options.motifs or None]:
        # Its own reader spreads the pseudocount as the bases of a sequence database are, which are not uniform.
        smoothed = (motif.probabilities * motif.sites + 0.25 * PSEUDOCOUNT) / (motif.sites + PSEUDOCOUNT)
        hits = {}
        matrix = Motif(Alphabet.dna(), frequencies=Matrix(smoothed.tolist()))
        for match in runner.score_motif(matrix, sequences, background).matched_elements:
            # On the reverse strand FIMO's start lies behind its stop.
            start, stop = sorted((match.start, match.stop))
            hits[Hit(match.source.accession.decode(), start, stop, match.strand)] = match.pvalue
        yield motif.id, motif.name, hits


class Row:
    """The hits of one motif in both tables."""

    def __init__(self, identifier, name, ours, theirs, options):
        self.label, tolerance = f"{identifier} {name}", options.tolerance
        ours_p = {hit: p for hit, (p, _) in ours.items()}
        at = lambda hits: {hit for hit, p in hits.items() if p <= options.pvalue}
        mine, others = at(ours_p), at(theirs)
        self.both = len(mine & others)
        near = lambda hit: all(abs(p / options.pvalue - 1) <= tolerance for p in (ours_p.get(hit), theirs.get(hit)) if p)
        different = mine ^ others
        self.close = sum(map(near, different))
        self.only_ours = sum(not near(hit) for hit in mine - others)
        self.only_theirs = sum(not near(hit) for hit in others - mine)
        ratios = [max(ours_p[hit] / theirs[hit], theirs[hit] / ours_p[hit]) for hit in mine & others]
        self.ratio = max(ratios, default=1.0)

    @property
    def same(self):
        return self.only_ours == self.only_theirs == 0

    def cells(self):
        counts = [f"{n:,}" for n in (self.both, self.only_ours, self.only_theirs, self.close)]
        return [self.label, *counts, f"{self.ratio:.3f}", "yes" if self.same else "NO"]
