"""Small files with the names that the examples of README.md use.

A simulated genome of two contigs, chr8 and chr20, with sites of one of two motifs; peaks on the sites, calls, reads, and
a network that PyTorch exported. Needs the standard library alone.
"""

import gzip
import shutil
import struct
import zlib

from . import program
from .environment import ROOT

# Ends a BAM file: an empty BGZF block.
END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
ETS = "CCGGAAGT"


def write(folder, bindscan):
    """Writes the files into an empty folder."""
    (folder / "models").symlink_to(ROOT / "models")
    text = (ROOT / "models" / "ctcf-consensus.meme").read_text().replace("CTCF-consensus", "MA0139.2 CTCF")
    rows = "".join(" ".join("0.91" if base == letter else "0.03" for base in "ACGT") + "\n" for letter in ETS)
    motifs = folder / "JASPAR.meme"
    motifs.write_text(f"{text}\nMOTIF MA0028.3 ELK1\nletter-probability matrix: alength= 4 w= {len(ETS)} nsites= 100\n{rows}")
    sizes = ("--motif", "MA0028.3", "--length", "200k", "--contigs", "2", "--sites", "200")
    truth, genome = folder / "truth.bed", folder / "hg38.fa"
    program.run(bindscan, "simulate", "genome", motifs, *sizes, "-o", genome, "--truth", truth)
    for path in (truth, genome):
        path.write_text(path.read_text().replace("sim1", "chr8").replace("sim2", "chr20"))
    with gzip.open(folder / "hg38.fa.gz", "wt") as packed:
        packed.write(genome.read_text())
    (folder / "peaks.narrowPeak").write_text("".join(peaks(truth)))
    truth.unlink()
    bases = "".join(genome.read_text().split(">chr20\n")[1].splitlines()).upper()
    with gzip.open(folder / "calls.vcf.gz", "wt") as packed:
        packed.write("".join(calls(bases)))
    write_reads(folder / "reads.bam", bases)
    shutil.copy(ROOT / "tests" / "data" / "pytorch" / "plain.torchscript.onnx", folder / "network.onnx")


def peaks(truth):
    """Peaks of 200 bases around the implanted sites."""
    for line in truth.read_text().splitlines():
        contig, start, end = line.split("\t")[:3]
        middle = (int(start) + int(end)) // 2
        first = max(middle - 100, 0)
        yield f"{contig}\t{first}\t{middle + 100}\t.\t100\t.\t{middle}\t-1\t-1\t{middle - first}\n"


def calls(bases):
    """Substitutions of every hundredth base."""
    yield "##fileformat=VCFv4.2\n##contig=<ID=chr20>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    for position in range(1010, 3010, 100):
        base = bases[position - 1]
        yield f"chr20\t{position}\t.\t{base}\t{'C' if base == 'A' else 'A'}\t.\t.\t.\n"


def write_reads(path, bases, length=150, count=200):
    """Writes aligned reads of a contig as BAM."""
    text = f"@HD\tVN:1.6\tSO:coordinate\n@SQ\tSN:chr20\tLN:{len(bases)}\n".encode()
    name = b"chr20\0"
    data = [b"BAM\1", struct.pack("<i", len(text)), text, struct.pack("<i", 1)]
    data += [struct.pack("<i", len(name)), name, struct.pack("<i", len(bases))]
    for rank in range(count):
        start = rank * length // 2
        codes = ["=ACMGRSVTWYHKDBN".index(base) for base in bases[start : start + length]]
        packed = bytes(high << 4 | low for high, low in zip(codes[::2], codes[1::2]))
        read = f"r{rank}".encode() + b"\0"
        fields = struct.pack("<iiBBHHHiiii", 0, start, len(read), 60, 4680, 1, 0, length, -1, -1, 0)
        record = fields + read + struct.pack("<I", length << 4) + packed + b"\x28" * length
        data += [struct.pack("<i", len(record)), record]
    plain = b"".join(data)
    blocks = [block(plain[at : at + 60_000]) for at in range(0, len(plain), 60_000)]
    path.write_bytes(b"".join(blocks) + END)


def block(plain):
    """A BGZF block."""
    engine = zlib.compressobj(wbits=-15)
    packed = engine.compress(plain) + engine.flush()
    header = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, len(packed) + 25)
    return header + packed + struct.pack("<II", zlib.crc32(plain), len(plain))
