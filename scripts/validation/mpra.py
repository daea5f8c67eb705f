"""Compare `bindscan variants` with measured effects of mutations (MPRA; CAGI5, Kircher et al. 2019).

The measured number is the log2 change of a reporter's expression for each single substitution of a regulatory element.
The predicted one is the effect score, or the difference, of a model whose factor is known or thought to activate the
element in the cells that were used. The pairs are listed in validation/mpra.py, with the reason for each; they were
written down before anything was scored. Printed are Pearson's r and Spearman's rho over all substitutions of the element.
The control is the same model's rho on the elements for which it is not listed (their median, and the share of them that
reach the rho of the listed one).

The public file contains the training part of the challenge only: 16 bases at a time, with gaps. Without --genome (hg19,
FASTA or 2bit) the bases between are unknown, and N to the models too.
"""

import csv
import gzip
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np

from . import environment, models, program, sequence, table

FILE = "variants/cagi5_mpra_saturation.csv.gz"

# Element, factor, model (a bundled name or a published DeepBind model), reason.
PAIRS = (
    ("TERT-GBM", "GABPA", "GABPA", "the promoter mutations make ETS sites that GABPA binds (Bell et al. 2015)"),
    ("TERT-GBM", "GABPA", "D00409.004", "as above, published model"),
    ("TERT-GBM", "ELK1", "ELK1", "another ETS factor"),
    ("TERT-GBM", "SP1", "D00650.007", "GC boxes of the promoter"),
    ("TERT-HEK293T", "GABPA", "GABPA", "as in glioblastoma cells"),
    ("TERT-HEK293T", "GABPA", "D00409.004", "as above, published model"),
    ("TERT-HEK293T", "SP1", "D00650.007", "GC boxes of the promoter"),
    ("HBG1", "NFYA", "D00788.001", "CCAAT boxes of the promoter"),
    ("HBG1", "GATA1", "D00765.001", "erythroid cells, GATA sites"),
    ("HBB", "NFYA", "D00788.001", "CCAAT box of the promoter"),
    ("HBB", "GATA1", "D00765.001", "erythroid cells"),
    ("PKLR", "GATA1", "D00765.001", "erythroid promoter"),
    ("PKLR", "SP1", "D00650.007", "CACC boxes"),
    ("GP1BB", "GATA1", "D00765.001", "megakaryocytic promoter"),
    ("GP1BB", "ETS1", "D00378.009", "megakaryocytic promoter, ETS sites"),
    ("F9", "HNF4A", "D00446.009", "haemophilia B Leyden mutations hit its site"),
    ("F9", "CEBPB", "D00317.009", "C/EBP sites of the promoter"),
    ("F9", "ONECUT1", "D00564.004", "haemophilia B Leyden mutations hit its site"),
    ("LDLR", "SP1", "D00650.007", "two of three repeats of the promoter are SP1 sites"),
    ("SORT1", "CEBPB", "D00317.009", "rs12740374 makes a C/EBP site (Musunuru et al. 2010)"),
    ("SORT1", "HNF4A", "D00446.009", "liver enhancer"),
    ("SORT1", "FOXA1", "FOXA1", "liver enhancer"),
    ("IRF4", "TFAP2A", "D00681.004", "melanocytic enhancer (Praetorius et al. 2013)"),
    ("IRF4", "USF1", "USF1", "reads the E-box that MITF binds there"),
    ("IRF6", "TFAP2A", "D00681.004", "rs642961 breaks an AP-2 site (Rahimov et al. 2008)"),
    ("MYCrs6983267", "TCF7L2", "D00819.002", "rs6983267 lies in its site (Pomerantz et al. 2009)"),
)


def main(options):
    """Scores every substitution with every listed model and prints the table."""
    binary = program.find(options.bindscan)
    measured = read(environment.data_file(options.data, FILE))
    listed = list(dict.fromkeys(model for _, _, model, _ in PAIRS))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        chosen = [fetch(binary, options.data, folder, name) for name in listed]
        predicted = score(binary, options.genome, folder, measured, chosen)
    names = dict(zip(listed, (Path(str(model)).stem for model in chosen)))
    rows = []
    for element, factor, model, reason in PAIRS:
        keys = sorted(measured[element])
        values = np.array([measured[element][key] for key in keys])
        scores = {what: np.array([predicted[what, element, names[model]][key] for key in keys]) for what in ("effect", "difference")}
        others = [other for other in measured if other not in {e for e, f, _, _ in PAIRS if f == factor}]
        control = [rho(measured, predicted, other, names[model]) for other in others]
        control = [number for number in control if not np.isnan(number)]
        own = spearman(scores["effect"], values)
        reached = "–" if np.isnan(own) or not control else f"{np.mean([number >= own for number in control]):.2f}"
        r = [pearson(scores["effect"], values), own, pearson(scores["difference"], values), spearman(scores["difference"], values)]
        middle = "–" if not control else f"{np.median(control):.2f}"
        rows.append([element, factor, model, f"{len(keys)}", *map(shown, r), middle, reached, reason])
    header = ["element", "factor", "model", "SNVs", "effect r", "rho", "difference r", "rho", "control rho", "reach it", "why"]
    print(table.markdown(header, rows))


def shown(number):
    return "–" if np.isnan(number) else f"{number:.2f}"


def read(path):
    """Measured values by element, and by contig, position, reference and alternative."""
    elements = defaultdict(dict)
    with gzip.open(path, "rt") as lines:
        for row in csv.DictReader(line.lstrip("#") for line in lines):
            element = row["regulatory_element"].removeprefix("release_")
            elements[element]["chr" + row["Chrom"], int(row["Pos"]), row["Ref"], row["Alt"]] = float(row["Value"])
    return dict(elements)


def fetch(binary, data, folder, name):
    """A bundled model by its name, a published one as a file."""
    if not name.startswith("D0"):
        return name
    return models.published(binary, data, folder, name)


def score(binary, genome, folder, measured, imported):
    """Effects and differences by kind, element and model, and by substitution."""
    chosen = [word for model in imported for word in ("-m", model)]
    predicted = defaultdict(dict)
    for element, substitutions in measured.items():
        contig = next(iter(substitutions))[0]
        calls = folder / "calls.vcf"
        reference, offset = genome, 0
        if not genome:
            reference, offset = folder / "element.fa", min(key[1] for key in substitutions) - 1
            known = {position - offset: base for _, position, base, _ in substitutions}
            bases = "".join(known.get(position, "N") for position in range(1, max(known) + 1))
            sequence.write_fasta(reference, [(contig, bases)])
        with open(calls, "w") as out:
            out.write("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
            for name, position, base, alternative in sorted(substitutions):
                out.write(f"{name}\t{position - offset}\t.\t{base}\t{alternative}\t.\t.\t.\n")
        rows = program.run(binary, "variants", *chosen, "--genome", reference, calls, "--format", "tsv", "--quiet", "--strict")
        for row in csv.DictReader(rows.splitlines(), delimiter="\t"):
            key = row["contig"], int(row["position"]) + offset, row["ref"], row["alt"]
            for what in ("effect", "difference"):
                predicted[what, element, row["model"]][key] = float(row[what])
    return predicted


def rho(measured, predicted, element, model):
    keys = sorted(measured[element])
    values = [measured[element][key] for key in keys]
    return spearman(np.array([predicted["effect", element, model][key] for key in keys]), np.array(values))


def pearson(a, b):
    """Pearson's r; NaN where one of the two never changes."""
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else float("nan")


def spearman(a, b):
    return pearson(ranks(a), ranks(b))


def ranks(values):
    """Ranks, the mean rank for equal values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]
