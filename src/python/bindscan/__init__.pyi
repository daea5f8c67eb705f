from collections.abc import Iterable, Iterator
from os import PathLike
from typing import Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

__version__: str

_Path: TypeAlias = str | PathLike[str]
_Region: TypeAlias = str | tuple[str, int, int]
_Regions: TypeAlias = _Region | PathLike[str] | Iterable[_Region]
_Sequences: TypeAlias = str | Iterable[str] | NDArray[Any]

class BindscanError(Exception): ...
class FormatError(BindscanError): ...
class ModelError(BindscanError): ...
class RegionError(BindscanError): ...
class RequestError(BindscanError): ...
class EngineError(BindscanError): ...

class Site(NamedTuple):
    contig: str
    start: int
    end: int
    name: str
    strand: str
    score: float
    p_value: float | None
    q_value: float | None
    p_source: str | None

class Track(NamedTuple):
    name: str
    contig: str
    start: int
    bin: int
    values: NDArray[np.float32]

class MutationMap(NamedTuple):
    name: str
    contig: str
    start: int
    sequence: str
    effects: NDArray[np.float32]

class Sites(Iterator[Site]):
    def __next__(self) -> Site: ...
    def table(self) -> dict[str, NDArray[Any]]: ...
    @property
    def summary(self) -> dict[str, int] | None: ...

class Model:
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Model]: ...
    def __getitem__(self, key: int | str | slice) -> Model: ...
    @property
    def names(self) -> list[str]: ...
    @property
    def windows(self) -> list[int]: ...
    @property
    def specs(self) -> list[dict[str, Any]]: ...
    def save(self, path: _Path) -> None: ...
    def score(
        self, sequences: _Sequences, *, average: bool = False, threads: int | None = None
    ) -> NDArray[np.float32]: ...
    def scan(
        self,
        genome: _Path,
        *,
        regions: _Regions | None = None,
        threshold: float | Iterable[float] | None = None,
        pvalue: float | None = None,
        qvalue: float | None = None,
        all: bool = False,
        overlaps: Literal["suppress", "keep"] = "suppress",
        both_strands: bool = False,
        stride: int = 1,
        max_n: float | None = None,
        mask_lowercase: bool = False,
        background: _Path | None = None,
        background_length: int | None = None,
        background_seed: int | None = None,
        threads: int | None = None,
    ) -> Sites: ...
    def tracks(
        self,
        genome: _Path,
        *,
        regions: _Regions | None = None,
        stride: int = 1,
        bin: int | None = None,
        summary: Literal["max", "mean"] = "max",
        max_n: float | None = None,
        mask_lowercase: bool = False,
        threads: int | None = None,
    ) -> Iterator[Track]: ...
    def variants(
        self,
        calls: _Path,
        genome: _Path,
        *,
        regions: _Regions | None = None,
        strict: bool = False,
        force: bool = False,
        mask_lowercase: bool = False,
        threads: int | None = None,
    ) -> dict[str, NDArray[Any]]: ...
    @overload
    def mutmap(
        self,
        sequences: _Sequences,
        *,
        show: Literal["effect", "difference"] = "effect",
        threads: int | None = None,
    ) -> MutationMap | list[MutationMap]: ...
    @overload
    def mutmap(
        self,
        sequences: None = None,
        *,
        genome: _Path,
        regions: _Regions,
        show: Literal["effect", "difference"] = "effect",
        mask_lowercase: bool = False,
        threads: int | None = None,
    ) -> list[MutationMap]: ...

def bundled_models() -> list[str]: ...
def load(
    model: _Path | Iterable[_Path],
    *,
    motifs: str | Iterable[str] | None = None,
    window: int | None = None,
    strand: Literal["both", "+", "-"] | None = None,
    targets: str | int | Iterable[str | int] | None = None,
    heads: str | Iterable[str] | None = None,
    channels: str | None = None,
    logit: bool = False,
    context: Literal["padding", "flank"] | None = None,
    engine: Literal["auto", "kernel", "onnx", "reference"] = "auto",
    device: str = "cpu",
) -> Model: ...
@overload
def one_hot(sequences: str, unknown: float = 0.25) -> NDArray[np.float32]: ...
@overload
def one_hot(sequences: Iterable[str], unknown: float = 0.25) -> NDArray[np.float32]: ...
def letters(array: NDArray[Any]) -> str | list[str]: ...
def train(data: _Path, output: _Path, **options: Any) -> Model: ...
