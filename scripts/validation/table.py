"""Markdown tables."""

from math import floor, log10


def markdown(header, rows):
    """A Markdown table, columns padded; numbers (and what looks like them) to the right."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(line[i]) for line in [header, *cells]) for i in range(len(header))]
    right = [all(is_number(row[i]) for row in cells) and bool(cells) for i in range(len(header))]

    def line(row):
        padded = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right)]
        return "| " + " | ".join(padded) + " |"

    rule = "| " + " | ".join("-" * (w - 1) + ":" if r else "-" * w for w, r in zip(widths, right)) + " |"
    return "\n".join([line(header), rule, *map(line, cells)])


def is_number(text):
    """Whether a cell holds a number, or nothing."""
    return text in ("", "–") or text[0].isdigit() or text[0] in "-<" and text[1:2].isdigit()


def significant(value, digits=3):
    """A number with so many significant digits and no exponent."""
    if value == 0:
        return "0"
    decimals = digits - 1 - floor(log10(abs(value)))
    return f"{round(value, decimals):,.{max(0, decimals)}f}"
