"""The examples of the docstrings run as written."""

import doctest

import bindscan


def test_examples():
    failed, tried = doctest.testmod(bindscan)
    assert failed == 0 and tried > 10
