"""What a user may say about a table: the column to predict, the task, columns to drop, how its text is written."""

from dataclasses import dataclass
from typing import Literal

from mlp_jax import checks

TaskOption = Literal["auto", "classification", "regression"]
Decimal = Literal["auto", ".", ","]
Header = Literal["auto", "yes", "no"]
Missing = Literal["refuse", "mean", "most_frequent"]
SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "space": " "}


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a table or an archive is read, and what its columns are taken for; `auto` decides by the values.

    >>> Options(column="price", missing="mean").separator
    'auto'

    Raises:
        ValueError: a value is not allowed.
    """

    column: str | None = None
    """Name of the column of a table that is to be predicted (a table needs it)."""
    task: TaskOption = "auto"
    """Whether the column holds classes or real numbers. auto: the output or the loss decides, or else the values."""
    drop: tuple[str, ...] = ()
    """Columns of a table to leave out."""
    separator: str = "auto"
    """Character between the cells of a table, or its name: tab, comma, semicolon, space."""
    decimal: Decimal = "auto"
    """Decimal sign of the numbers in a table."""
    header: Header = "auto"
    """Whether the first row of a table names its columns. Without names they are called 1, 2, 3, …"""
    missing: Missing = "refuse"
    """What stands for a missing value: the mean or the most frequent value of the training part. refuse: an error."""

    def __post_init__(self) -> None:
        checks.fields(self, drop="column to drop")
        check_separator(self.separator)


def check_separator(separator: str) -> None:
    """Raise a ValueError unless `separator` is one character, or names one."""
    if separator != "auto" and separator not in SEPARATORS and len(separator) != 1:
        known = ", ".join(SEPARATORS)
        raise ValueError(f"separator {separator!r} is not allowed; give one character, or one of {known}")
