"""The examples of the docstrings run as written."""

import doctest

import pytest

import bindscan


def test_examples():
    failed, tried = doctest.testmod(bindscan)
    assert failed == 0 and tried > 20


FUNCTIONS = ["bundled_models", "letters", "load", "one_hot", "train"]
METHODS = ["mutmap", "scan", "score", "tracks", "variants"]


@pytest.mark.parametrize(
    "documented",
    [getattr(bindscan, name) for name in FUNCTIONS] + [getattr(bindscan.Model, name) for name in METHODS] + [bindscan.Sites.table],
)
def test_what_users_call_has_an_example(documented):
    assert ">>> " in documented.__doc__
