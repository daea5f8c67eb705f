"""Matches of motifs with those that synthetic data have."""


def is_implanted(row, ids, names):
    """Whether the target of a match is an implanted motif, in any version of its matrix."""
    return row["Target_ID"] in ids or row["Target_name"] in names.values()
