"""Tables as text, for terminals: columns side by side, numbers to the right, one minus sign.

Invariant: what the cells say is never cut; only spaces and minus signs are this module's own.
"""

import re
from collections.abc import Iterable, Sequence

NUMBER = re.compile(r"[-−+]?(\d[\d,.]*|∞|–)(e[-+]\d+)?[%×]?( ?[\[(].*)?")  # and what follows it in brackets
SIGN = re.compile(r"(?<![^\s\[(e])-(?=[\d∞])")


def text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return the rows as lines under a header, which may be empty.

    A column with a number in it is aligned to the right, any other to the left. If a row has fewer cells than the
    longest row, its last cell is a remark that may run to the end of the line.

    >>> print(text(("optimizer", "steps"), [("sgd", "1,046"), ("momentum", "-5"), ("adam",)]))
    optimizer  steps
    sgd        1,046
    momentum      −5
    adam
    """
    body = [[SIGN.sub("−", cell) if NUMBER.fullmatch(cell) else cell for cell in row] for row in rows]
    lines = [list(header), *body] if header else body
    count = max(map(len, lines), default=0)
    of_column = [[row[k] for row in body if k < len(row) - (len(row) < count)] for k in range(count)]
    right = [any(map(NUMBER.fullmatch, cells)) for cells in of_column]
    widths = [max(map(len, (*header[k : k + 1], *cells)), default=0) for k, cells in enumerate(of_column)]
    return "\n".join(_line(line, widths, right) for line in lines)


def _line(cells: list[str], widths: list[int], right: list[bool]) -> str:
    end = len(cells) - (len(cells) < len(widths))
    placed = [cell.rjust(widths[k]) if right[k] else cell.ljust(widths[k]) for k, cell in enumerate(cells[:end])]
    return "  ".join([*placed, *cells[end:]]).rstrip()
