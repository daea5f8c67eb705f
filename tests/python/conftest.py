"""Tests of the Python module; they run in the repository, whose small genome they scan."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.fixture
def genome() -> Path:
    return ROOT / "tests/data/genome.fa"


@pytest.fixture
def command():
    """Runs the command of the wheel, and gives what it prints."""

    def run(*words) -> str:
        words = [sys.executable, "-m", "bindscan", *map(os.fspath, words)]
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout

    return run
