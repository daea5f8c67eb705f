"""Scan genomes with DeepBind networks, motif matrices and other sequence models of protein binding.

A model is opened by its name or its file, and scores sequences:

>>> import bindscan
>>> elk1 = bindscan.load("ELK1")
>>> scores = elk1.score(["ACCGGAAGTGACCGGAAGTG", "TTTTTTTTTTTTTTTTTTTT"])
>>> scores.shape, bool(scores[0, 0] > scores[1, 0])
((2, 1), True)

It scans genomes, the whole of them or regions. Sites come one by one, or as columns:

>>> sites = elk1.scan("tests/data/genome.fa", regions="sim1:1-9000", threshold=1.5)
>>> next(sites).contig
'sim1'
>>> table = elk1.scan("tests/data/genome.fa", threshold=0.5).table()
>>> sorted(table)[:3], len(table["start"]) > 10
(['contig', 'end', 'name'], True)

``pandas.DataFrame(table)`` and ``polars.DataFrame(table)`` take such a table as it is.

Coordinates are 0-based and half-open everywhere; regions in text are 1-based and inclusive, as ``chr1:1001-2000``. What is
found does not depend on the number of threads. Work is done without the interpreter's lock and ends with Ctrl-C. What goes
wrong is a `BindscanError` (or an `OSError`) with the words of the program. Warnings go to the logger ``bindscan``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from . import _bindscan
from ._bindscan import (
    BindscanError,
    EngineError,
    FormatError,
    ModelError,
    RegionError,
    RequestError,
    __version__,
)

if TYPE_CHECKING:
    import numpy

__all__ = [
    "BindscanError",
    "EngineError",
    "FormatError",
    "Model",
    "ModelError",
    "MutationMap",
    "RegionError",
    "RequestError",
    "Site",
    "Sites",
    "Track",
    "__version__",
    "bundled_models",
    "letters",
    "load",
    "one_hot",
    "train",
]

_STRANDS = {1: "+", -1: "-", 0: "."}
_SOURCES = {0: None, 1: "exact", 2: "sampled", 3: "extrapolated"}


class Site(NamedTuple):
    """A site: a window that a model scores highly."""

    contig: str
    start: int
    """First base, 0-based."""
    end: int
    """One past the last base."""
    name: str
    """The model, and its output where it has several."""
    strand: str
    """``+``, ``-``, or ``.`` where both strands have the same score."""
    score: float
    p_value: float | None
    q_value: float | None
    p_source: str | None
    """How the p-value is known: ``exact``, ``sampled`` or ``extrapolated``."""


class Track(NamedTuple):
    """Scores of one model along one contig, or a region of it."""

    name: str
    contig: str
    start: int
    """First base that has a value, 0-based."""
    bin: int
    """Bases of a bin; bins are the multiples of it, counted from the contig's first base."""
    values: numpy.ndarray
    """float32, a value a bin; NaN where no window has its centre."""


class MutationMap(NamedTuple):
    """What every substitution in a sequence does to a model's score."""

    name: str
    contig: str
    """Name of the contig, or the number of the sequence, counted from 1."""
    start: int
    sequence: str
    effects: numpy.ndarray
    """float32 of shape (4, L), with the channels A, C, G, T; 0 for the base that is there."""


def bundled_models() -> list[str]:
    """Names of the models that are built in.

    >>> "ELK1" in bundled_models()
    True
    """
    return _bindscan.bundled_models()


def load(
    model,
    *,
    motifs=None,
    window=None,
    strand=None,
    targets=None,
    heads=None,
    channels=None,
    logit=False,
    context=None,
    engine="auto",
    device="cpu",
) -> Model:
    """Open a model, or several that are run together.

    Args:
        model: name of a bundled model, ONNX file or motif file (MEME, JASPAR, TRANSFAC, HOMER and others), or a list of
            such; a motif file gives a model for each motif.
        motifs: IDs, names or globs of the motifs of a motif file that are taken.
        window: window in bases, if not the model's own.
        strand: ``"both"``, ``"+"`` or ``"-"``, if not as the model says.
        targets: outputs that are scored, by name or rank.
        heads: graph outputs of a model with several; ``"all"`` takes every one.
        channels: order of the input's channels of a model made elsewhere, as ``"ACGT"``.
        logit: score by the value before the sigmoid or softmax that a model ends in.
        context: what lies past a window's ends: padding (``"padding"``) or the real bases (``"flank"``), if not as the model
            says.
        engine: ``"auto"``, ``"kernel"``, ``"onnx"`` or ``"reference"``.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:N"``, for ONNX Runtime.

    >>> load("ELK1").names
    ['ELK1']
    >>> load(["ELK1", "models/ctcf-consensus.meme"]).names
    ['ELK1', 'CTCF-consensus']
    """
    _bindscan.start_log()
    options = {
        "motifs": _texts(motifs),
        "window": window,
        "strand": strand,
        "targets": None if targets is None else [str(target) for target in _listed(targets)],
        "heads": _texts(heads),
        "channels": channels,
        "logit": logit,
        "context": context,
        "engine": engine,
        "device": device,
    }
    return Model(_bindscan.Models.load([os.fspath(path) for path in _listed(model)], options))


def _listed(value) -> list:
    return [value] if isinstance(value, (str, bytes, os.PathLike, int, float)) else list(value)


def _texts(value) -> list[str]:
    return [] if value is None else [str(text) for text in _listed(value)]


def _one_hot_array(sequences):
    """A float32 array of shape (N, 4, L), if these are one-hot sequences."""
    import numpy as np

    if hasattr(sequences, "detach"):
        sequences = sequences.detach().cpu().numpy()
    if not isinstance(sequences, np.ndarray) or sequences.dtype.kind not in "fiub":
        return None
    array = sequences[None] if sequences.ndim == 2 else sequences
    if array.ndim != 3:
        raise RequestError(
            f"an array of shape {sequences.shape}: one-hot sequences have the shape (N, 4, L), with the channels A, C, G, T"
        )
    return np.ascontiguousarray(array, dtype=np.float32)


def one_hot(sequences, unknown: float = 0.25) -> numpy.ndarray:
    """Give sequences as one-hot columns in PyTorch's layout.

    A string gives float32 of shape (4, L), several give (N, 4, L), as long as the longest. The channels are A, C, G, T; N, and
    what follows the end of a shorter sequence, has `unknown` in each.

    >>> one_hot("ACN")
    array([[1.  , 0.  , 0.25],
           [0.  , 1.  , 0.25],
           [0.  , 0.  , 0.25],
           [0.  , 0.  , 0.25]], dtype=float32)
    """
    array = _bindscan.one_hot(sequences, unknown)
    return array[0] if isinstance(sequences, str) else array


def letters(array):
    """Give the letters of one-hot columns: a string for an array (4, L), a list for (N, 4, L).

    >>> letters(one_hot("ACGTN"))
    'ACGTN'
    """
    rows = _bindscan.letters(_one_hot_array(array))
    return rows[0] if array.ndim == 2 else rows


class Sites:
    """The sites of a scan, in the order of the genome: an iterator of `Site`.

    The scan goes on in the background; dropped early, it ends.
    """

    def __init__(self, stream, has_p, has_q):
        self._stream = stream
        self._has_p, self._has_q = has_p, has_q
        self._names = stream.targets()
        self._rows = iter(())

    def __iter__(self):
        return self

    def __next__(self) -> Site:
        for row in self._rows:
            return row
        columns = self._stream.columns(False)
        if columns is None:
            raise StopIteration
        self._rows = self._sites(columns)
        return next(self._rows)

    def _sites(self, columns):
        contigs, names = self._stream.contigs(), self._names
        lists = [columns[name].tolist() for name in columns]
        for contig, start, end, target, strand, score, p, q, source in zip(*lists):
            yield Site(
                contigs[contig],
                start,
                end,
                names[target],
                _STRANDS[strand],
                score,
                None if p != p else p,
                None if q != q else q,
                _SOURCES[source],
            )

    def table(self) -> dict[str, numpy.ndarray]:
        """All sites that are left, as columns: a dict of NumPy arrays, ready for pandas or polars.

        The columns are ``contig``, ``start``, ``end``, ``name``, ``strand``, ``score``, and those of ``p_value``, ``q_value`` and
        ``p_source`` that the scan has.

        >>> table = load("ELK1").scan("tests/data/genome.fa", threshold=1.5).table()
        >>> table["start"].dtype, table["score"].dtype
        (dtype('int64'), dtype('float32'))
        """
        import numpy as np

        rows = list(self._rows)
        columns = self._stream.columns(True)
        contigs = np.asarray(self._stream.contigs() or [""], dtype=str)
        names = np.asarray(self._names, dtype=str)
        table = {
            "contig": contigs[columns["contig"]],
            "start": columns["start"],
            "end": columns["end"],
            "name": names[columns["target"]],
            "strand": np.asarray([".", "+", "-"])[columns["strand"]],
            "score": columns["score"],
        }
        if self._has_p:
            table["p_value"] = columns["p_value"]
            table["p_source"] = np.asarray(["", "exact", "sampled", "extrapolated"])[columns["p_source"]]
        if self._has_q:
            table["q_value"] = columns["q_value"]
        if rows:
            # Those that an iteration had fetched and not given.
            first = {name: np.asarray([getattr(row, name) for row in rows]) for name in table}
            table = {name: np.concatenate([first[name].astype(table[name].dtype), table[name]]) for name in table}
        return table

    @property
    def summary(self) -> dict[str, int] | None:
        """Bases, windows, windows left out and sites, once all sites have been taken."""
        counts = self._stream.summary()
        return None if counts is None else dict(zip(("bases", "windows", "left_out", "sites"), counts))


class Model:
    """A model, or several that are run together; made by `load`.

    ``len(model)`` is the number of models, ``model[0]`` and ``model["ELK1"]`` one of them.
    """

    def __init__(self, models):
        self._models = models

    def __repr__(self) -> str:
        names = self._models.model_names()
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return f"<bindscan.Model {shown}>"

    def __len__(self) -> int:
        return len(self._models.model_names())

    def __iter__(self):
        return (self[rank] for rank in range(len(self)))

    def __getitem__(self, key) -> Model:
        names = self._models.model_names()
        if isinstance(key, str):
            if key not in names:
                raise KeyError(key)
            key = names.index(key)
        rank = range(len(names))[key]
        return Model(self._models.select([rank] if isinstance(rank, int) else list(rank)))

    @property
    def names(self) -> list[str]:
        """Names of the columns: a model's name, and the output's where it has several."""
        return self._models.names()

    @property
    def windows(self) -> list[int]:
        """Window of each column, in bases."""
        return self._models.windows()

    @property
    def specs(self) -> list[dict]:
        """Specification of each model: name, window, strands, outputs, provenance and so on."""
        return [json.loads(spec) for spec in self._models.specs()]

    def save(self, path) -> None:
        """Write the model as ONNX."""
        self._models.save(os.fspath(path))

    def score(self, sequences, *, average=False, threads=None) -> numpy.ndarray:
        """Score sequences: the best window on the better strand (or the average, with `average`).

        Args:
            sequences: a string, an iterable of strings, or one-hot columns of shape (4, L) or (N, 4, L) with the channels A, C,
                G, T; a column whose values are all the same is N.
            average: sum of the window scores, divided by the sequence's length, in place of the best.
            threads: number of threads; all cores by default.

        Returns:
            float32 of shape (N, columns); of shape (columns,) for a single sequence. A sequence no longer than the window is
            scored once, whole; one that is too short for the model has NaN.

        >>> load("ELK1").score("ACCGGAAGTGACCGGAAGTG").shape
        (1,)
        """
        array = _one_hot_array(sequences) if not isinstance(sequences, (str, list, tuple)) else None
        single = isinstance(sequences, str) or (array is not None and sequences.ndim == 2)
        scores = self._models.score(sequences if array is None else array, average, threads)
        return scores[0] if single else scores

    def scan(
        self,
        genome,
        *,
        regions=None,
        threshold=None,
        pvalue=None,
        qvalue=None,
        all=False,
        overlaps="suppress",
        both_strands=False,
        stride=1,
        max_n=None,
        mask_lowercase=False,
        background=None,
        background_length=None,
        background_seed=None,
        threads=None,
    ) -> Sites:
        """Find the sites in a genome.

        Args:
            genome: FASTA (plain, gzip or BGZF) or 2bit file.
            regions: a region such as ``"chr1:1001-2000"`` (1-based, inclusive), a list of such, tuples (contig, start, end) that are
                0-based and half-open, or the path of a BED, narrowPeak or GFF file; the whole genome by default.
            threshold: lowest score of a site; one for all models, or one for each.
            pvalue: highest p-value of a site.
            qvalue: highest false discovery rate at which a site is reported.
            all: take every window.
            overlaps: ``"suppress"`` keeps the best of overlapping windows, ``"keep"`` all.
            both_strands: report sites of each strand by themselves, as FIMO does; else only the better strand of a window.
            stride: bases between window starts.
            max_n: largest fraction of N in a window; 0.1, of matrices 0, by default.
            mask_lowercase: read soft-masked bases as N.
            background: where p-values take their background from: ``"genome"``, ``"uniform"`` or a FASTA file.
            background_length: windows of background that are scored.
            background_seed: seed of the background.
            threads: number of threads; all cores by default.

        >>> sites = load("models/ctcf-consensus.meme").scan("tests/data/genome.fa", pvalue=1e-5)
        >>> sum(1 for site in sites), sites.summary["bases"]
        (9, 20000)
        """
        choice = {
            "threshold": None if threshold is None else [float(score) for score in _listed(threshold)],
            "pvalue": pvalue,
            "qvalue": qvalue,
            "all": all,
            "overlaps": overlaps,
            "both_strands": both_strands,
            "background": None if background is None else os.fspath(background),
            "background_length": background_length,
            "background_seed": background_seed,
        }
        options = _scan_options(regions, stride, max_n, mask_lowercase, threads)
        stream = self._models.scan(os.fspath(genome), options, choice)
        return Sites(stream, pvalue is not None or qvalue is not None, qvalue is not None)

    def tracks(
        self,
        genome,
        *,
        regions=None,
        stride=1,
        bin=None,
        summary="max",
        max_n=None,
        mask_lowercase=False,
        threads=None,
    ):
        """Give the scores of all windows: an iterator of `Track`, one for each contig (or region) and column.

        The score of a window of w bases that starts at s stands at its centre, the base s + w // 2. `bin` is the bases that
        have one value (the stride by default), `summary` which value that is where a bin has several: ``"max"`` or ``"mean"``.

        >>> for track in load("ELK1").tracks("tests/data/genome.fa"):
        ...     print(track.contig, track.values.shape)
        sim1 (10000,)
        sim2 (10000,)
        """
        options = _scan_options(regions, stride, max_n, mask_lowercase, threads)
        stream = self._models.tracks(os.fspath(genome), options, bin, summary)
        return _tracks(stream)

    def variants(
        self, calls, genome, *, regions=None, strict=False, force=False, mask_lowercase=False, threads=None
    ) -> dict[str, numpy.ndarray]:
        """Score what variants do: every allele of a VCF or BCF in its place, next to the reference.

        Args:
            calls: VCF (plain, gzip or BGZF) or BCF file.
            genome: 2bit or FASTA file that the calls refer to.
            regions: regions such as ``"chr1:1001-2000"`` whose records are kept.
            strict: fail at the first record that does not fit the genome.
            force: go on even if most records do not fit the genome.

        Returns:
            The table of ``bindscan variants`` as columns: a dict of NumPy arrays with a row for each alternative allele and
            model. Scores are NaN where an allele has none; ``status`` says why.

        >>> table = load("ELK1").variants("tests/data/calls.vcf", "tests/data/genome.fa")
        >>> table["ref"].tolist(), table["alt"].tolist(), table["status"].tolist()
        (['G', 'A'], ['T', 'C'], ['scored', 'scored'])
        >>> (table["difference"] < -1).tolist()
        [False, True]
        """
        import numpy as np

        with tempfile.TemporaryDirectory(prefix="bindscan-") as folder:
            table = os.path.join(folder, "table.tsv")
            _bindscan.variants(
                self._models,
                os.fspath(calls),
                os.fspath(genome),
                table,
                _region_texts(regions),
                strict,
                force,
                mask_lowercase,
                threads,
            )
            with open(table, encoding="utf-8", errors="surrogateescape") as file:
                header = file.readline().rstrip("\n").split("\t")
                rows = [line.rstrip("\n").split("\t") for line in file]
        columns = list(zip(*rows)) or [()] * len(header)
        return {name: _column(np, name, values) for name, values in zip(header, columns)}

    def mutmap(self, sequences=None, *, genome=None, regions=None, show="effect", mask_lowercase=False, threads=None):
        """Map what every substitution at every position does to the score.

        Args:
            sequences: a string, an iterable of strings, or one-hot columns; or
            genome: a genome, of which `regions` are mapped with the real bases beside them.
            show: DeepBind's ``"effect"`` score, or the ``"difference"`` of the scores.

        Returns:
            A `MutationMap` for each sequence (or region) and column; for a single sequence and a single column, that one.

        >>> map = load("ELK1").mutmap("TTACCGGAAGTGCAA")
        >>> map.effects.shape, bool(map.effects.min() < 0)
        ((4, 15), True)
        """
        if show not in ("effect", "difference"):
            raise RequestError(f'show {show!r}: give "effect" or "difference"')
        if (sequences is None) == (genome is None):
            raise RequestError("give sequences, or a genome and regions of it")
        effect = show == "effect"
        if genome is not None:
            if regions is None:
                raise RequestError("give the regions of the genome that are mapped")
            regions = _region_texts(regions)
            maps = _bindscan.map_regions(self._models, os.fspath(genome), regions, effect, mask_lowercase, threads)
            return [MutationMap(*one) for one in maps]
        array = _one_hot_array(sequences) if not isinstance(sequences, (str, list, tuple)) else None
        single = isinstance(sequences, str) or (array is not None and sequences.ndim == 2)
        maps = _bindscan.map_sequences(self._models, sequences if array is None else array, effect, threads)
        maps = [MutationMap(*one) for one in maps]
        return maps[0] if single and len(maps) == 1 else maps


def _tracks(stream):
    while (track := stream.track()) is not None:
        yield Track(*track)


def _column(np, name, values):
    if name in ("position", "pos"):
        return np.asarray(values, dtype=np.int64)
    if name in ("ref_score", "alt_score", "difference", "effect", "ref_offset", "alt_offset"):
        return np.asarray([float(value) if value not in (".", "NA", "") else np.nan for value in values])
    return np.asarray(values, dtype=str)


def _region_texts(regions) -> list[str]:
    """Regions as words."""
    if regions is None:
        return []
    if isinstance(regions, tuple) and len(regions) == 3 and isinstance(regions[1], int):
        regions = [regions]
    words = []
    for region in _listed(regions):
        if isinstance(region, (str, os.PathLike)):
            words.append(os.fspath(region))
        else:
            contig, start, end = region
            if not 0 <= start < end:
                raise RegionError(f"region {region!r}: the end lies before the start, or is the start")
            words.append(f"{contig}:{start + 1}-{end}")
    return words


def _scan_options(regions, stride, max_n, mask_lowercase, threads) -> dict:
    path = regions if isinstance(regions, (str, os.PathLike)) and os.path.isfile(regions) else None
    return {
        "regions": [] if path is not None else _region_texts(regions),
        "regions_file": None if path is None else os.fspath(path),
        "stride": stride,
        "max_n": max_n,
        "mask_lowercase": mask_lowercase,
        "threads": threads,
    }


def train(data, output, **options) -> Model:
    """Fit a model to measured sequences or peaks, write it as ONNX, and open it.

    It runs ``bindscan train`` in a process of its own, whose messages go to standard error. `options` are that command's long options: ``quick=True`` is ``--quick``,
    ``test_contigs="chr8"`` is ``--test-contigs chr8``, and a list gives an option several times.

    Raises:
        BindscanError: with the words of the program.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = os.path.join(folder, "ebox.onnx")
    ...     ebox = train("tests/data/bound.tsv", file, trials=1, folds=2, steps=60, final=1, filters=4, filter_length=8)
    >>> scores = ebox.score(["TTTTTTTTTTCACGTGACTTTTTTTTTTTT", "TTTTTTTTTTTTTTTTTTTTTTTTTTTTTT"])
    >>> bool(scores[0, 0] > scores[1, 0])
    True
    """
    command = [sys.executable, "-m", "bindscan", "train", os.fspath(data), "--output", os.fspath(output)]
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        if value is True:
            command.append(option)
        elif value is not None and value is not False:
            for one in _listed(value):
                command += [option, str(one)]
    lines = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            for line in process.stderr:
                sys.stderr.write(line)
                lines.append(line.strip())
        except KeyboardInterrupt:
            # The process has the signal too, and ends by itself.
            process.wait()
            raise
    if process.returncode != 0:
        raise BindscanError(_error_words(lines, process.returncode))
    return load(output)


def _error_words(lines, status) -> str:
    """The error among the lines that the program wrote."""
    words = [line.removeprefix("bindscan: ") for line in lines if line]
    errors = [line.removeprefix("error: ") for line in words if line.startswith("error: ")]
    return (errors or words[-1:] or [f"bindscan train ended with status {status}"])[0]
