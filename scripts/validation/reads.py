"""Check scans of BAM and CRAM against pysam, and of 2bit against py2bit; measure both.

The real BAM files of the test data (Illumina, PacBio HiFi, ChIP-seq) are scanned with a published DeepBind model and with
a JASPAR matrix. The same reads are written as FASTA with pysam and scanned as sequences. Both scans must report the same
sites with the same scores, and their cores, or windows, at the positions that pysam's aligned pairs give. The best site of
a read has the score of `bindscan score`. Reads in regions are those that pysam fetches. Tracks by position (`--aggregate
max`, `mean` and `count`) are computed again from all windows and pysam's pairs, and compared as bedGraph and, by pyBigWig,
as bigWig. A BAM with tags (`-o tagged.bam`) has the records as they were, in their order, and each one's best window. A
genome written as 2bit is read by py2bit, and its scan has the bytes of its FASTA's.

The reads are also written as CRAM: with an external reference, an embedded one, one made of the reads, or none; slices of
one contig and of several; CRAM 3.1 with its own codecs. Each gives the bytes of the BAM that pysam makes of it, in a file,
piped, in regions, with any number of threads, and the same records with tags.

Then reads a second, and peak memory, with 1 and 2 threads, against a loop of pysam and PyTorch: batches of reads of one
length, dense graph, both strands, the same network (16 filters of length 24, window 50); medians of --rounds. --copies
repeats the Illumina reads, so that starting the programs does not matter.

The exit code is 1 if anything differs.
"""

import csv
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict, namedtuple
from pathlib import Path

import numpy as np
import py2bit
import pyBigWig
import pysam

from . import environment, models, program, sequence, table

FILES = {
    "Illumina": "bam/NA12878_S1.chr20.10_10p1mb.bam",
    "Illumina, clipped": "bam/grch38_1k_subset_chr20_and_chr21.bam",
    "HiFi": "bam/HG002_hifi_grch38_chr20_9mb.bam",
    "ChIP-seq": "bam/chipseq_SE_hg19_chr22.bam",
}
AGREEMENT = 1e-4  # what bindscan promises of its ways to score a window, times the score where that is above 1
SINGLE = 2.0**-22  # relative: values are single-precision numbers
SKIPPED = 0xF00
BASES_A_SITE = 2_000

Site = namedtuple("Site", "read contig start strand score quality blocks")


def main(options):
    """Runs everything, prints the tables, and ends the script with 1 if anything differs."""
    if options.rival:
        rival(options.rival)
        return
    binary = program.find(options.bindscan)
    rows, failures = [], []
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if not options.only_measure:
            for model in models.both(binary, options, folder):
                for name, file in FILES.items():
                    case = Case(binary, name, environment.data_file(options.data, file), model, folder)
                    case.run()
                    rows.append(case.cells())
                    failures += [f"{name}, {model.stem}: {what}" for what in case.failures]
            header = ["reads", "model", "reads scored", "sites", "no place", "spliced or gapped", "positions", "worst", "same"]
            print(table.markdown(header, rows))
            failures += check_twobit(binary, options, folder)
            failures += check_cram(binary, options, folder)
        if options.rounds:
            print()
            measure(options, binary, folder)
    if failures:
        environment.fail("; ".join(failures))


class Case:
    """One model on one BAM file."""

    def __init__(self, binary, name, bam, model, folder):
        self.binary, self.name, self.bam, self.model, self.folder = binary, name, bam, model, folder
        self.failures, self.worst, self.positions, self.gapped = [], 0, 0, 0

    def require(self, condition, failure):
        if not condition and failure not in self.failures:
            self.failures.append(failure)

    def scan(self, source, *arguments):
        return program.run(self.binary, "scan", "-m", self.model, source, *arguments)

    def run(self):
        self.read()
        self.check_sites()
        self.check_score()
        self.check_regions()
        self.check_aggregates()
        self.check_tags()

    def read(self):
        """The reads that are scored unless it is said otherwise, as pysam sees them; their sequences as FASTA."""
        self.reads, self.fasta = {}, self.folder / "reads.fa"
        with pysam.AlignmentFile(self.bam, check_sq=False) as records, open(self.fasta, "w") as out:
            self.lengths = dict(zip(records.references, records.lengths))
            for number, record in enumerate(records):
                if record.is_unmapped or record.flag & SKIPPED or not record.query_sequence:
                    continue
                name = record.query_name
                if record.is_paired:
                    name += "/1" if record.is_read1 else "/2"
                # Some records are there twice.
                key = f"{number}|{name}|{record.flag}"
                self.reads[key] = record
                out.write(f">{key}\n{record.query_sequence}\n")
        listed = self.scan(self.fasta, "--all", "--format", "tsv").splitlines()[1:]
        scores = np.sort([float(line.rsplit("\t", 1)[1]) for line in listed])
        self.threshold = float(scores[-max(1, len(scores) // BASES_A_SITE)])
        self.windows = [line.split("\t") for line in listed]

    def check_sites(self):
        """Every site in the right place, and none more or less than the sequences have."""
        for span in ("core", "window"):
            self.check_spans(span)

    def check_spans(self, span):
        """Sites that span the core or the window."""
        shown = ["--threshold", self.threshold, "--site", span]
        want, self.best, self.clipped = Counter(), {}, 0
        for row in read_table(self.scan(self.fasta, *shown, "--format", "tsv")):
            window, spanned = ([int(row[key + end]) for end in ("start", "end")] for key in ("window_", ""))
            key, score = row["contig"], row["score"]
            record = self.reads[key]
            places = Places(record)
            if places.of_middle(*spanned) is None:
                self.clipped += 1
                continue
            read = key.split("|", 1)[1]
            blocks = tuple(places.lift(*spanned))
            want[Site(read, record.reference_name, window[0], row["strand"], score, record.mapping_quality, blocks)] += 1
            self.best[key] = max(self.best.get(key, -np.inf), float(score))
            self.width = window[1] - window[0]
        have, in_tsv = Counter(), Counter()
        for row in read_table(self.scan(self.bam, *shown, "--format", "tsv")):
            start, end, at = int(row["start"]), int(row["end"]), int(row["read_start"])
            offsets = zip(map(int, row["block_starts"].split(",")), map(int, row["block_sizes"].split(",")))
            blocks = tuple((start + offset, start + offset + size) for offset, size in offsets)
            self.require((blocks[0][0], blocks[-1][1]) == (start, end), "blocks do not fill the site")
            name = f"{row['read']}|{row['flags']}"
            have[Site(name, row["contig"], at, row["strand"], row["score"], int(row["mapq"]), blocks)] += 1
            keys = ("read", "contig", "start", "end", "read_start", "block_sizes", "block_starts")
            in_tsv[tuple(row[key] for key in keys)] += 1
        self.require(have == want, f"sites ({span}) differ from those of the sequences, or lie elsewhere than pysam says")
        self.sites = have
        self.gapped = sum(n for site, n in have.items() if site.blocks != ((site.blocks[0][0], site.blocks[0][0] + self.width),))
        bed = [line.split("\t") for line in self.scan(self.bam, *shown).splitlines()]
        in_bed = Counter((line[3], line[0], line[1], line[2], line[14], line[10], line[11]) for line in bed)
        self.require(in_bed == in_tsv, "BED and TSV differ")

    def check_score(self):
        """The best site of a read has the score of `bindscan score` on the read's sequence."""
        of_fasta = program.run(self.binary, "score", "-m", self.model, self.fasta).splitlines()[1:]
        for line in of_fasta:
            key, score = line.split("\t")
            if key in self.best:
                allowed = AGREEMENT * max(1, abs(float(score)))
                self.require(self.best[key] <= float(score) + allowed, "a site scores higher than its read")
                # The best window of a clipped read may have no place.
                if not self.is_clipped(key):
                    difference = abs(self.best[key] - float(score))
                    self.worst = max(self.worst, difference)
                    self.require(difference <= allowed, "the best site of a read has not its score")
        of_bam = program.run(self.binary, "score", "-m", self.model, self.bam).splitlines()[1:]
        scores = {tuple(line.split("\t")) for line in of_bam}
        named = {(line.split("|")[1], line.split("\t")[1]) for line in of_fasta}
        self.require(named <= scores, "`score` differs on the reads themselves")

    def is_clipped(self, key):
        return any(operation == 4 for operation, _ in self.reads[key].cigartuples)

    def check_regions(self):
        """Regions give the sites of the reads that pysam fetches."""
        # The index that comes with one of the files is not its own.
        bam = self.folder / "indexed.bam"
        shutil.copyfile(self.bam, bam)
        pysam.index(str(bam))
        contig = next(iter(self.reads.values())).reference_name
        starts = sorted(r.reference_start for r in self.reads.values() if r.reference_name == contig)
        middle = starts[len(starts) // 2]
        with pysam.AlignmentFile(bam) as records:
            for start, end in [(middle, middle + 1), (middle - 500, middle + 700), (starts[0], starts[len(starts) // 4])]:
                if end <= start:
                    continue
                names = {f"{record.query_name}|{record.flag}" for record in records.fetch(contig, start, end)}
                region = f"{contig}:{start + 1}-{end}"
                shown = ["--threshold", self.threshold, "--format", "tsv"]
                found = read_table(self.scan(bam, "-r", region, *shown))
                have = Counter((f"{row['read']}|{row['flags']}", int(row["read_start"])) for row in found)
                want = Counter()
                for site, count in self.sites.items():
                    if site.read.replace("/1|", "|").replace("/2|", "|") in names:
                        want[site.read, site.start] += count
                self.require(have == want, "a region has other sites than its reads")

    def check_aggregates(self):
        """Every value of the tracks, from all windows and pysam's pairs."""
        at = defaultdict(list)
        places, last = None, None
        for key, start, end, _, _, score in self.windows:
            if key != last:
                places, last = Places(self.reads[key]), key
            middle = places.of_middle(int(start), int(end))
            if middle is not None:
                at[places.contig, middle].append(float(np.float32(score)))
        self.positions = len(at)
        for how in ("max", "mean", "count"):
            tracks = [self.folder / f"{how}.bedGraph", self.folder / f"{how}.bw"]
            chosen = ["--threshold", self.threshold] if how == "count" else []
            self.scan(self.bam, "--aggregate", how, *chosen, "-o", tracks[0], "-o", tracks[1])
            if how == "count":
                reached = {place: sum(s >= np.float32(self.threshold) for s in scores) for place, scores in at.items()}
                want = {place: count for place, count in reached.items() if count}
            else:
                want = {place: max(scores) if how == "max" else sum(scores) / len(scores) for place, scores in at.items()}
            with open(tracks[0]) as lines:
                rows = [line.split("\t") for line in lines]
            have = {(contig, int(start)): float(value) for contig, start, _, value in rows}
            self.require(have.keys() == want.keys(), f"--aggregate {how} has values elsewhere")
            self.require(all(int(end) - int(start) == 1 for _, start, end, _ in rows), "bins are not one base")
            for place in have.keys() & want.keys():
                difference = abs(have[place] - want[place])
                self.worst = max(self.worst, difference)
                allowed = SINGLE * abs(want[place])
                self.require(difference <= allowed, f"--aggregate {how} has other values")
            big = pyBigWig.open(str(tracks[1]))
            self.require(big.chroms() == self.lengths, "the bigWig has other contigs")
            self.require(big.header()["nBasesCovered"] == len(have), "the bigWig covers other bases")
            for contig in {contig for contig, _ in have}:
                for start, end, value in big.intervals(contig):
                    for position in range(start, end):
                        near = abs(value - have.get((contig, position), np.inf)) <= SINGLE * abs(value)
                        self.require(near, "bigWig and bedGraph differ")

    def check_tags(self):
        """A BAM with tags has all records as they were, in their order, and each one's best window."""
        best = {}
        for key, start, _, _, strand, score in self.windows:
            # The first of those with the same score.
            if float(score) > best.get(key, (-np.inf,))[0]:
                best[key] = (float(score), int(start), strand)
        out = self.folder / "tagged.bam"
        self.scan(self.bam, "-o", out)
        with pysam.AlignmentFile(self.bam, check_sq=False) as before, pysam.AlignmentFile(out, check_sq=False) as after:
            self.require(after.header.to_dict()["PG"][-1]["PN"] == "bindscan", "the program is not in the header")
            self.require(str(after.header).startswith(str(before.header)), "the header is another one")
            for number, (record, tagged) in enumerate(zip(before, after, strict=True)):
                own = {tag: tagged.get_tag(tag) if tagged.has_tag(tag) else None for tag in ("ys", "yo", "yd")}
                for tag in own:
                    tagged.set_tag(tag, None)
                self.require(record.to_string() == tagged.to_string(), "a record is not as it was")
                name = record.query_name + (("/1" if record.is_read1 else "/2") if record.is_paired else "")
                want = best.get(f"{number}|{name}|{record.flag}")
                self.require((want is None) == (own["ys"] is None), "tags are on other reads")
                if want and own["ys"] is not None:
                    score, start, strand = want
                    self.worst = max(self.worst, abs(own["ys"] - score))
                    self.require(abs(own["ys"] - score) <= 1e-4, "a tag has another score than the best window")
                    self.require((own["yo"], own["yd"]) == (start, strand), "a tag names another window")

    def cells(self):
        same = "no" if self.failures else "yes"
        worst = f"{self.worst:.1e}"
        return (self.name, self.model.stem, len(self.reads), len(self.sites), self.clipped, self.gapped, self.positions, worst, same)


def read_table(table):
    """Rows of a table with a header, as dictionaries."""
    return csv.DictReader(table.splitlines(), delimiter="\t")


class Places:
    """Where the bases of a read lie, from pysam's pairs of bases and the CIGAR's introns."""

    def __init__(self, record):
        self.contig = record.reference_name
        self.aligned = record.get_reference_positions(full_length=True)
        kept = range(record.query_alignment_start, record.query_alignment_end)
        first = next(place for place in self.aligned if place is not None)
        self.places, anchor = [], first
        for base, place in enumerate(self.aligned):
            anchor = anchor if place is None else place
            self.places.append(anchor if base in kept else None)
        # Introns, by the reference base behind them.
        self.introns, place = set(), record.reference_start
        for operation, length in record.cigartuples:
            if operation == pysam.CREF_SKIP:
                self.introns.add(place + length)
            if operation in (pysam.CMATCH, pysam.CDEL, pysam.CREF_SKIP, pysam.CEQUAL, pysam.CDIFF):
                place += length

    def of_middle(self, start, end):
        return self.places[start + (end - start) // 2]

    def lift(self, start, end):
        """Blocks of a window of the read."""
        found = [place for place in self.aligned[start:end] if place is not None]
        if not found:
            middle = self.of_middle(start, end)
            return [(middle, middle + 1)]
        blocks = [[found[0], found[0] + 1]]
        for before, place in zip(found, found[1:]):
            if any(before < intron <= place for intron in self.introns):
                blocks.append([place, place + 1])
            blocks[-1][1] = place + 1
        return [tuple(block) for block in blocks]


def check_twobit(binary, options, folder):
    """A genome as 2bit: read by py2bit as it was written, scanned to the bytes of its FASTA. Gives what is wrong."""
    failures = []
    source = environment.data_file(options.data, "genomes/grch38.chr20_and_21_10M.fa.gz")
    with sequence.open_text(source) as lines:
        contigs = {}
        for record in lines.read().split(">")[1:]:
            header, letters = record.split("\n", 1)
            contigs[header.split()[0]] = letters.replace("\n", "")
    fasta, bits = folder / "genome.fa", folder / "genome.2bit"
    sequence.write_fasta(fasta, contigs.items())
    bits.write_bytes(twobit(contigs))
    with_masks = py2bit.open(str(bits), True)
    for name, letters in contigs.items():
        if with_masks.sequence(name) != letters:
            failures.append("py2bit reads another genome")
    model = models.matrix(binary, options.data, folder)
    for words in (["--threshold", "8"], ["--threshold", "8", "--mask-lowercase"], ["--threshold", "8", "-r", "chr20:70001-99999"]):
        runs = [program.run(binary, "scan", "-m", model, genome, *words) for genome in (fasta, bits)]
        if runs[0] != runs[1] or not runs[0]:
            failures.append(f"2bit and FASTA differ ({' '.join(words)})")
    shown = "no" if failures else "yes"
    print(f"\n2bit: {sum(map(len, contigs.values())) / 1e6:.1f} Mb, {bits.stat().st_size / 1e6:.1f} MB; the same: {shown}")
    return failures


# How CRAM is written, and whether its reference is a file of its own.
CRAMS = {
    "3.0": ("version=3.0", True),
    "3.1": ("version=3.1,archive", True),
    "several contigs a slice": ("version=3.0,multi_seq_per_slice=1", True),
    "embedded": ("version=3.0,embed_ref=1", False),
    "of the reads": ("version=3.0,embed_ref=2", False),
    "none": ("version=3.0,no_ref=1", False),
}
GENOMES = {
    "Illumina": "genomes/hg19.chr20_part.fa.gz",
    "Illumina, clipped": "genomes/grch38.chr20_and_21_10M.fa.gz",
}


def check_cram(binary, options, folder):
    """CRAM of the reads that lie on contigs of a genome, or of all without one, against the BAM that pysam makes of it."""
    failures, rows = [], []
    model = models.matrix(binary, options.data, folder)
    for name, file in FILES.items():
        bam, genome = environment.data_file(options.data, file), None
        if name in GENOMES:
            genome = folder / "reference.fa"
            with sequence.open_text(environment.data_file(options.data, GENOMES[name])) as lines:
                genome.write_text(lines.read())
            genome.with_suffix(".fa.fai").unlink(missing_ok=True)
            pysam.faidx(str(genome))
        source, records = folder / "reads.sam", 0
        with open(source, "w") as out:
            records = copy_reads(bam, genome, out)
        for kind, (how, apart) in CRAMS.items():
            if genome is None and kind != "none":
                continue
            cram, again = folder / "reads.cram", folder / "again.bam"
            given = ["-T", str(genome)] if genome else []
            pysam.view("--no-PG", *given, "-O", f"cram,{how},seqs_per_slice=1000", "-o", str(cram), str(source), catch_stdout=False)
            pysam.view("--no-PG", "-b", *given, "-o", str(again), str(cram), catch_stdout=False)
            for indexed in (cram, again):
                pysam.index(str(indexed))
            problems = same_as_bam(binary, model, cram, again, given if apart else [], folder)
            failures += [f"CRAM, {name}, reference {kind}: {problem}" for problem in problems]
            rows.append((name, kind, records, f"{cram.stat().st_size / 1e6:.2f}", "no" if problems else "yes"))
    print()
    print(table.markdown(["reads", "CRAM", "records", "MB", "same"], rows))
    return failures


def copy_reads(bam, genome, out):
    """Writes SAM: the reads that have all their places on contigs of the genome, if there is one. Gives their number."""
    known, records = None, 0
    if genome:
        with pysam.FastaFile(str(genome)) as fasta:
            known = set(fasta.references)
    with pysam.AlignmentFile(bam, check_sq=False) as reads:
        for line in str(reads.header).splitlines():
            if known is None or not line.startswith("@SQ") or line.split("\tSN:")[1].split("\t")[0] in known:
                print(line, file=out)
        for record in reads:
            places = {record.reference_name, record.next_reference_name} - {None}
            if known is None or places <= known:
                print(record.to_string(), file=out)
                records += 1
    return records


def same_as_bam(binary, model, cram, bam, given, folder):
    """What differs between a CRAM and its BAM."""
    with pysam.AlignmentFile(bam, check_sq=False) as reads:
        first = next(read for read in reads if not read.is_unmapped)
        region = f"{first.reference_name}:{first.reference_start + 500}-{first.reference_start + 5000}"
    problems = []
    for words in (["--threshold", 6], ["--threshold", 6, "-r", region], ["--aggregate", "mean"], ["--threshold", 6, "-q", 30, "--min-baseq", 20, "--unmapped"]):
        want = program.run(binary, "scan", "-m", model, bam, *words)
        for threads in (1, 2):
            if program.run(binary, "scan", "-m", model, cram, *given, *words, "--threads", threads) != want:
                problems.append(" ".join(map(str, words)))
    with open(cram, "rb") as piped:
        command = [binary, "scan", "-m", model, "-", *given, "--threshold", "6", "--quiet"]
        have = subprocess.run(command, stdin=piped, capture_output=True, text=True, check=False).stdout
    if have != program.run(binary, "scan", "-m", model, bam, "--threshold", 6):
        problems.append("piped")
    lines = []
    for source, more in ((bam, []), (cram, given)):
        tagged = folder / "tagged.bam"
        program.run(binary, "scan", "-m", model, source, *more, "-o", tagged)
        with pysam.AlignmentFile(tagged, check_sq=False) as reads:
            lines.append([tags_in_order(read, apart=bool(given)) for read in reads])
    if lines[0] != lines[1]:
        problems.append("records with tags")
    return problems


def tags_in_order(read, apart):
    """A record with its tags in alphabetical order; without MD and NM unless the reference is apart."""
    columns = read.to_string().split("\t")
    if columns[3] == columns[7]:
        # Which of two mates with one start is the left one is left to the program.
        columns[8] = columns[8].lstrip("-")
    tags = [tag for tag in columns[11:] if apart or tag[:2] not in ("MD", "NM")]
    return columns[:11] + sorted(tags)


def twobit(contigs):
    """Contigs of ACGTN, upper and lower case, as a 2bit file."""
    bits = np.zeros(256, dtype=np.uint8)
    for value, letter in enumerate("TCAG"):
        bits[ord(letter)] = bits[ord(letter.lower())] = value
    records = []
    for letters in contigs.values():
        text = np.frombuffer(letters.encode(), dtype=np.uint8)
        record = struct.pack("<I", len(text))
        for marked in (np.isin(text, [ord("N"), ord("n")]), text >= ord("a")):
            edges = np.flatnonzero(np.diff(np.concatenate([[0], marked.view(np.int8), [0]])))
            starts, ends = edges[::2], edges[1::2]
            record += struct.pack("<I", len(starts)) + starts.astype("<u4").tobytes() + (ends - starts).astype("<u4").tobytes()
        packed = np.append(bits[text], np.zeros(-len(text) % 4, dtype=np.uint8)).reshape(-1, 4)
        record += struct.pack("<I", 0) + (packed @ np.array([64, 16, 4, 1])).astype(np.uint8).tobytes()
        records.append(record)
    names = [name.encode() for name in contigs]
    offset = 16 + sum(5 + len(name) for name in names)
    file = struct.pack("<4I", 0x1A412743, 0, len(names), 0)
    for name, record in zip(names, records):
        file += bytes([len(name)]) + name + struct.pack("<I", offset)
        offset += len(record)
    return file + b"".join(records)


DETECTOR, WINDOW, BATCH = 24, 50, 4096


def the_network():
    """The network of the measurements."""
    from . import network

    return network.random_network(1, DETECTOR, WINDOW, 0, ["max"])


def measure(options, binary, folder):
    """Prints reads and bases a second, and memory."""
    from onnx import save

    from . import network

    model = folder / "bench.onnx"
    save(network.window_model(the_network(), "both"), model)
    source = environment.data_file(options.data, FILES["Illumina"])
    bam = folder / "copies.bam"
    repeat(source, bam, options.copies)
    reads = bases = 0
    with pysam.AlignmentFile(bam) as records:
        for record in records:
            if not record.is_unmapped and not record.flag & SKIPPED:
                reads, bases = reads + 1, bases + record.query_length
    threshold = models.threshold(binary, model, environment.data_file(options.data, "genomes/sacCer3.fa.gz"), "chr1:1-200000", "auto", BASES_A_SITE)
    shown = ["--threshold", f"{threshold:.6f}", "--overlaps", "keep"]
    rows, sites = [], set()
    for threads in (1, 2):
        here = ["scan", "-m", model, bam, *shown, "--quiet", "--threads", threads]
        there = [Path(sys.argv[0]).resolve(), "reads", "--rival", f"{bam},{threads},{threshold}"]
        aggregated = ["scan", "-m", model, bam, "--aggregate", "max", "-o", folder / "max.bw", "--quiet", "--threads", threads]
        cases = [
            ("bindscan scan, sites to BED", binary, here),
            ("bindscan scan, --aggregate max to bigWig", binary, aggregated),
            ("pysam and PyTorch, sites to BED", sys.executable, there),
        ]
        for name, command, arguments in cases:
            runs = []
            for _ in range(options.rounds):
                with tempfile.TemporaryFile("w+") as out:
                    runs.append(program.measure(command, *arguments, stdout=out))
                    out.seek(0)
                    count = sum(1 for _ in out)
            if "sites" in name:
                sites.add(count)
            seconds = statistics.median(run.seconds for run in runs)
            peak = max(run.peak_mib for run in runs)
            rate = [table.significant(reads / seconds / 1000), table.significant(bases / seconds / 1e6)]
            rows.append((threads, name, *rate, f"{peak:.0f}", len(runs)))
    print(f"{reads:,} reads, {bases / 1e6:.1f} Mb; sites found: {sorted(sites)}\n")
    print(table.markdown(["threads", "program", "1,000 reads/s", "Mbp/s", "peak MiB", "median of"], rows))


def repeat(source, target, copies):
    """Each read several times, one after the other, so that the file stays sorted."""
    with pysam.AlignmentFile(source) as records, pysam.AlignmentFile(target, "wb", template=records) as out:
        for record in records:
            for _ in range(copies):
                out.write(record)


def rival(words):
    """The loop of pysam and PyTorch: writes the sites of a BAM file as BED lines."""
    import torch
    from torch.nn.functional import conv1d, max_pool1d, relu

    from .rivals import torch_layers

    bam, threads, threshold = words.split(",")
    threshold = float(threshold)
    net = the_network()
    strands = [torch_layers(strand, int(threads)) for strand in (net, net.flipped())]
    waiting = defaultdict(list)

    def score(batch):
        found = []
        for conv, bias, [(weights, last)] in strands:
            pooled = max_pool1d(relu(conv1d(batch, conv, bias)), net.alignments, 1)
            found.append(conv1d(pooled, weights[:, :, None], last)[:, 0])
        return found

    def flush(length):
        batch = waiting.pop(length)
        coded = np.stack([sequence.codes(record.query_sequence) for record in batch])
        columns = torch.from_numpy(np.ascontiguousarray(sequence.COLUMNS[coded].transpose(0, 2, 1)))
        forward, reverse = score(columns)
        better = torch.maximum(forward, reverse)
        for row, start in zip(*np.nonzero((better >= threshold).numpy())):
            record = batch[row]
            places = record.get_reference_positions(full_length=True)[start : start + WINDOW]
            aligned = [place for place in places if place is not None]
            if places[WINDOW // 2] is None or not aligned:
                continue
            strand = "+" if forward[row, start] >= reverse[row, start] else "-"
            value = float(better[row, start])
            print(record.reference_name, aligned[0], aligned[-1] + 1, record.query_name, strand, f"{value:.4f}", sep="\t")

    with torch.inference_mode(), pysam.AlignmentFile(bam) as records:
        for record in records:
            if record.is_unmapped or record.flag & SKIPPED:
                continue
            length = record.query_length
            if length >= WINDOW:
                waiting[length].append(record)
                if len(waiting[length]) == BATCH:
                    flush(length)
        for length in list(waiting):
            flush(length)
