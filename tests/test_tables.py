"""Text tables: what is lined up, on which side, and what a short row does."""

import doctest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlp_jax import tables

WORD = st.text("abc 0123456789-−.,%", min_size=1).map(str.strip).filter(bool)


def test_example():
    assert doctest.testmod(tables).failed == 0


@given(st.lists(st.tuples(WORD, WORD, WORD), min_size=1), st.tuples(WORD, WORD, WORD))
def test_no_cell_is_cut(rows, header):
    lines = tables.text(header, rows).splitlines()
    assert len(lines) == len(rows) + 1
    for line, row in zip(lines, (header, *rows), strict=True):
        assert "".join(line.split()).replace("−", "-") == "".join("".join(row).split()).replace("−", "-")


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("-5", "−5"),
        ("-5 [-7, -3]", "−5 [−7, −3]"),
        ("1.2e-07", "1.2e−07"),
        ("784-800-10", "784-800-10"),
        ("cg-1", "cg-1"),
        ("– [0, ∞]", "– [0, ∞]"),
    ],
)
def test_one_minus_sign_for_numbers_alone(cell, written):
    assert tables.text((), [(cell,)]) == written


def test_numbers_stand_to_the_right_with_what_is_mixed_among_them():
    rows = [("sgd", "8 (880)", "yes"), ("784-800-10", "not reached", ""), ("c", "10.5%", "no")]
    assert tables.text(("", "best", "edge"), rows).splitlines() == [
        "                   best  edge",
        "sgd             8 (880)  yes",
        "784-800-10  not reached",
        "c                 10.5%  no",
    ]


def test_the_last_cell_of_a_short_row_widens_no_column():
    rows = [("64", "1.5", "2"), ("65,536", "one trial needs 9 MiB, and there is less")]
    assert tables.text(("B", "µs", "s"), rows).splitlines() == [
        "     B   µs  s",
        "    64  1.5  2",
        "65,536  one trial needs 9 MiB, and there is less",
    ]


def test_no_rows():
    assert tables.text((), []) == ""
    assert tables.text(("a", "b"), []) == "a  b"
