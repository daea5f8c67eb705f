import importlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import bindscan

MATRIX = "models/ctcf-consensus.meme"


def rows(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()[1:]]


def check(sites, table, text):
    """Sites one by one, and as columns, are the lines of the program's TSV."""
    want = rows(text)
    sites = list(sites)
    assert len(sites) == len(want) == len(table["start"]) > 3
    for site, line in zip(sites, want):
        assert [site.contig, str(site.start), str(site.end), site.name, site.strand] == line[:5]
        assert np.float32(site.score) == np.float32(line[5])
    for column, name in enumerate(["contig", "start", "end", "name", "strand"]):
        assert table[name].astype(str).tolist() == [line[column] for line in want]
    np.testing.assert_array_equal(table["score"], np.array([line[5] for line in want], dtype=np.float32))
    return sites, want


def test_sites_are_those_of_the_command(genome, command):
    elk1 = bindscan.load("ELK1")
    text = command("scan", genome, "-m", "ELK1", "--threshold", "0.5", "--format", "tsv")
    check(elk1.scan(genome, threshold=0.5), elk1.scan(genome, threshold=0.5).table(), text)


def test_both_strands_are_reported_by_themselves(genome, command):
    matrix = bindscan.load(MATRIX)
    text = command("scan", genome, "-m", MATRIX, "--threshold", "3", "--both-strands", "--format", "tsv")
    scan = lambda: matrix.scan(genome, threshold=3, both_strands=True)
    check(scan(), scan().table(), text)
    assert len(rows(text)) > len(list(matrix.scan(genome, threshold=3)))
    assert len(list(bindscan.load(MATRIX, logit=True).scan(genome, threshold=3))) == len(list(matrix.scan(genome, threshold=3)))


def test_sites_have_p_values(genome, command):
    matrix = bindscan.load(MATRIX)
    text = command("scan", genome, "-m", MATRIX, "--qvalue", "0.2", "--format", "tsv")
    table = matrix.scan(genome, qvalue=0.2).table()
    sites, want = check(matrix.scan(genome, qvalue=0.2), table, text)
    assert [f"{site.p_value:.4e}" for site in sites] == [f"{float(line[6]):.4e}" for line in want]
    assert [f"{q:.4e}" for q in table["q_value"]] == [f"{float(line[7]):.4e}" for line in want]
    assert set(table["p_source"]) == {"exact"}
    assert "p_value" not in matrix.scan(genome, threshold=15).table()
    empty = matrix.scan(genome, pvalue=1e-9).table()
    assert len(empty["start"]) == len(empty["p_value"]) == len(empty["contig"]) == 0


def test_regions_come_in_any_form(genome, tmp_path):
    elk1 = bindscan.load("ELK1")
    bed = tmp_path / "regions.bed"
    bed.write_text("sim2\t100\t4000\n")
    forms = ["sim2:101-4000", ["sim2:101-4000"], ("sim2", 100, 4000), [("sim2", 100, 4000)], bed, str(bed)]
    tables = [elk1.scan(genome, regions=form, threshold=0.0).table() for form in forms]
    for table in tables:
        assert set(table["contig"]) == {"sim2"} and len(table["start"]) > 5
        np.testing.assert_array_equal(table["start"], tables[0]["start"])


def test_a_table_has_what_an_iteration_left(genome):
    elk1 = bindscan.load("ELK1")
    whole = elk1.scan(genome, threshold=0.0).table()
    sites = elk1.scan(genome, threshold=0.0)
    first = [next(sites), next(sites)]
    rest = sites.table()
    assert [site.start for site in first] + rest["start"].tolist() == whole["start"].tolist()
    assert [site.contig for site in first] + rest["contig"].tolist() == whole["contig"].tolist()
    assert sites.summary["sites"] == len(whole["start"]) and next(sites, None) is None


@pytest.mark.parametrize("package", ["pandas", "polars"])
def test_tables_go_into_data_frames(genome, package):
    # Not skipped where it is missing: scripts/test --python installs both.
    frames = importlib.import_module(package)
    scan = lambda **choice: bindscan.load(["ELK1", MATRIX]).scan(genome, **choice).table()
    for table in (scan(threshold=1.0), scan(pvalue=1e-3, background_length=1_048_576), scan(threshold=1e9)):
        frame = frames.DataFrame(table)
        assert list(frame.columns) == list(table) and len(frame) == len(table["start"])
        assert list(frame.columns)[:6] == ["contig", "start", "end", "name", "strand", "score"]
        assert (frame["end"] > frame["start"]).all()
        for name, values in table.items():
            np.testing.assert_array_equal(frame[name].to_numpy(), values)
            if values.dtype.kind != "U":
                assert frame[name].to_numpy().dtype == values.dtype
        assert len(set(frame["name"].to_list())) == (2 if len(frame) else 0)


def test_tracks_are_those_of_the_command(genome, command):
    text = command("scan", genome, "-m", "ELK1", "--format", "bedgraph", "--bin-size", "10")
    tracks = {track.contig: track for track in bindscan.load("ELK1").tracks(genome, bin=10)}
    assert {contig: track.values.shape for contig, track in tracks.items()} == {"sim1": (1000,), "sim2": (1000,)}
    values = {contig: np.full(1000, np.nan, dtype=np.float32) for contig in tracks}
    for line in text.splitlines():
        contig, start, _, value = line.split("\t")
        values[contig][int(start) // 10] = np.float32(value)
    for contig, track in tracks.items():
        assert track.values.dtype == np.float32
        np.testing.assert_array_equal(track.values, values[contig])


def test_the_score_of_a_site_is_in_its_track(genome):
    elk1 = bindscan.load("ELK1")
    tracks = {track.contig: track.values for track in elk1.tracks(genome)}
    sites = list(elk1.scan(genome, threshold=0.5))
    assert len(sites) > 3
    for site in sites:
        # A site is the core of a window, which lies around it; a track has the score of a window at its middle.
        around = tracks[site.contig][max(site.start - 101, 0) : site.end + 101]
        assert np.float32(site.score) in around


@pytest.mark.parametrize(
    "options, kind, words",
    [
        ({}, bindscan.RequestError, "threshold, pvalue, qvalue or all"),
        ({"threshold": 1.0, "pvalue": 0.1}, bindscan.RequestError, "one of threshold"),
        ({"pvalue": 2.0}, bindscan.RequestError, "pvalue: give a number above 0"),
        ({"threshold": 1.0, "regions": "chr7"}, bindscan.RegionError, "there is no contig chr7"),
        ({"threshold": 1.0, "regions": ("sim1", 9, 3)}, bindscan.RegionError, "the end lies before the start"),
        ({"threshold": [1.0, 2.0]}, bindscan.RequestError, "2 thresholds for 1 models"),
        ({"threshold": 1.0, "overlaps": "merge"}, bindscan.RequestError, "suppress"),
        ({"threshold": 1.0, "threads": 0}, bindscan.RequestError, "threads"),
    ],
)
def test_wrong_requests_are_refused(genome, options, kind, words):
    with pytest.raises(kind) as error:
        bindscan.load("ELK1").scan(genome, **options)
    assert words in str(error.value)


def test_wrong_files_are_refused(tmp_path, command):
    elk1 = bindscan.load("ELK1")
    with pytest.raises(FileNotFoundError) as error:
        elk1.scan("no/such.fa", threshold=1.0)
    done = subprocess.run(
        [sys.executable, "-m", "bindscan", "scan", "no/such.fa", "-m", "ELK1", "--threshold", "1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1 and str(error.value) in done.stderr
    broken = tmp_path / "broken.fa"
    broken.write_text(">a\n" + "ACGT" * 100 + "\n>b\nAC!GT\n")
    with pytest.raises(bindscan.FormatError, match="line 4"):
        list(elk1.scan(broken, threshold=-100.0))


LONG = ">a\n" + "ACGTTGCATGCC" * 1_000_000 + "\n"


def test_ctrl_c_ends_a_scan(tmp_path):
    (tmp_path / "long.fa").write_text(LONG)
    script = tmp_path / "scan.py"
    script.write_text(
        "import bindscan, os, signal, threading\n"
        "elk1 = bindscan.load('ELK1')\n"
        "threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    for _ in range(20):\n"
        "        elk1.scan('long.fa', all=True, threads=1).table()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stdout == "interrupted\n", done.stderr


def test_other_threads_run_during_a_scan(tmp_path):
    (tmp_path / "long.fa").write_text(LONG[: 500_000])
    counted, ended = [0], threading.Event()

    def count():
        while not ended.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    began = time.monotonic()
    bindscan.load("ELK1").scan(tmp_path / "long.fa", threshold=100.0, threads=1).table()
    waited = time.monotonic() - began
    ended.set()
    thread.join()
    # A scan that kept the lock would let the other thread run once in a while at the most.
    assert counted[0] > waited / 0.02
