"""Tables of text."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> str:
    """Rows of cells as lines, columns two spaces apart, the first `left` of them aligned to the left.

    >>> print(aligned([["a", "z"], ["bb", "10"]], left=1))
    a    z
    bb  10
    """
    width = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(w) if i < left else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, width, strict=True))
        ).rstrip()
        for row in rows
    )
