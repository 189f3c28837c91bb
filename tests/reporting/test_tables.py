"""Tables: numbers as they are printed, the same on a terminal and in Markdown."""

import numpy as np
import pytest

from local.reporting import tables


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (tables.Number(1.005, 1), "1.0"),
        (tables.Number(-0.001, 2), "0.00"),
        (tables.Number(0.001, 2, True), "0.00"),
        (tables.Number(2, 2, True), "+2.00"),
        (tables.Number(np.nan), "–"),
        (tables.Number(np.int64(1234567), None), "1234567"),
    ],
)
def test_numbers_are_printed_as_in_a_paper(number, printed):
    assert str(number) == printed


def test_a_table_is_the_same_on_a_terminal_and_in_markdown():
    ends = tables.interval(1.0, 2.5, 1), tables.interval(np.nan, np.nan, 1)
    table = tables.Table("A | b", ("", "x"), ((("a|b",), ends[0]), (("c",), ends[1])))
    assert tables.text(table).splitlines() == [
        "A | b",
        "              x",
        "a|b  [1.0, 2.5]",
        "c             –",
    ]
    assert tables.markdown(table).splitlines()[2:] == [
        "|  | x |", "| --- | ---: |", "| a\\|b | [1.0, 2.5] |", "| c | – |",
    ]  # fmt: skip
