import csv

import numpy as np
import pytest

import bindscan


@pytest.fixture
def calls(genome, tmp_path):
    contigs, name = {}, None
    for line in genome.read_text().split("\n"):
        if line.startswith(">"):
            name = line[1:]
            contigs[name] = ""
        elif name:
            contigs[name] += line
    records = []
    for contig, position in [("sim1", 500), ("sim1", 4600), ("sim2", 4900)]:
        reference = contigs[contig][position - 1]
        other = "ACGT"[("ACGT".index(reference) + 1) % 4]
        records.append(f"{contig}\t{position}\t.\t{reference}\t{other}\t.\t.\t.")
        records.append(f"{contig}\t{position}\t.\t{reference}\t<DEL>\t.\t.\t.")
    path = tmp_path / "calls.vcf"
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    path.write_text(header + "\n".join(records) + "\n")
    return path


def test_variants_are_the_rows_of_the_command(calls, genome, command):
    text = command("variants", calls, "--genome", genome, "-m", "ELK1", "--format", "tsv")
    want = list(csv.DictReader(text.splitlines(), delimiter="\t"))
    table = bindscan.load("ELK1").variants(calls, genome)
    assert list(table) == list(want[0]) and len(want) == 6
    assert table["position"].tolist() == [int(row["position"]) for row in want]
    assert table["status"].tolist() == [row["status"] for row in want]
    for name in ("ref_score", "alt_score", "difference", "effect"):
        scores = [float(row[name]) if row[name] not in (".", "NA", "") else np.nan for row in want]
        np.testing.assert_array_equal(table[name], scores)
    assert np.isnan(table["effect"]).sum() == 3


def test_calls_of_another_genome_are_refused(calls, genome, tmp_path):
    other = tmp_path / "other.fa"
    other.write_text(">chrZ\n" + "ACGT" * 100 + "\n")
    with pytest.raises(bindscan.FormatError, match="none of 6 records is scored"):
        bindscan.load("ELK1").variants(calls, other)


def test_a_map_has_the_effect_of_each_substitution():
    elk1 = bindscan.load("ELK1")
    sequence = "TTACCGGAAGTGCAA"
    mapped = elk1.mutmap(sequence, show="difference")
    assert mapped.sequence == sequence and mapped.effects.shape == (4, 15)
    own = elk1.score(sequence)[0]
    for at, letter in enumerate(sequence):
        for channel, other in enumerate("ACGT"):
            changed = sequence[:at] + other + sequence[at + 1 :]
            want = 0.0 if other == letter else elk1.score(changed)[0] - own
            assert abs(mapped.effects[channel, at] - want) < 1e-5
    # The same from one-hot columns.
    again = elk1.mutmap(bindscan.one_hot(sequence), show="difference")
    np.testing.assert_array_equal(again.effects, mapped.effects)


def test_maps_of_regions_are_those_of_the_command(genome, command):
    text = command("mutmap", "--genome", genome, "--region", "sim1:4601-4630", "-m", "ELK1", "--format", "tsv", "-o", "-")
    (mapped,) = bindscan.load("ELK1").mutmap(genome=genome, regions="sim1:4601-4630")
    assert (mapped.contig, mapped.start, mapped.effects.shape) == ("sim1", 4600, (4, 30))
    for row in csv.DictReader(text.splitlines(), delimiter="\t"):
        at = int(row["position"]) - 1 - mapped.start
        assert mapped.sequence[at] == row["ref"]
        assert mapped.effects["ACGT".index(row["alt"]), at] == np.float32(row["effect"])


def test_training_gives_a_model(tmp_path):
    rng = np.random.default_rng(2)
    rows = ["seq\tbound"]
    for i in range(120):
        letters = rng.choice(list("ACGT"), 30)
        if i % 2:
            letters[10:18] = list("CACGTGAC")
        rows.append("".join(letters) + f"\t{i % 2}")
    data = tmp_path / "data.tsv"
    data.write_text("\n".join(rows) + "\n")
    options = {"trials": 1, "folds": 2, "steps": 60, "final": 1, "filters": 4, "filter_length": 8}
    model = bindscan.train(data, tmp_path / "model.onnx", **options)
    with_site, without = model.score(["A" * 11 + "CACGTGAC" + "A" * 11, "A" * 30])[:, 0]
    assert with_site > without
    with pytest.raises(bindscan.BindscanError, match="no-such-option"):
        bindscan.train(data, tmp_path / "other.onnx", no_such_option=3)
