"""Rows that interrupted work left: given back as they were; what is damaged is done again."""

import pytest

from local.scoring.journal import Journal


def test_a_journal_gives_back_what_was_written(tmp_path):
    path = tmp_path / "sub" / "x.partial.csv"
    rows = [
        {"id": 'a, "b"', "source": source, "snr": 0.1 + 0.2, "stoi": float("nan"),
         "failed": {"stoi": 'no, "none"'}}
        for source in ("voice", "noise")
    ]  # fmt: skip
    with Journal(path, {"of": 1}, ["snr", "stoi"]) as journal:
        journal.append(rows)
    with Journal(path, {"of": 1}, ["snr", "stoi"]) as journal:
        assert str(journal.rows) == str({rows[0]["id"]: rows})
    with Journal(path, {"of": 2}, ["snr", "stoi"]) as journal:
        assert not journal.rows


@pytest.mark.parametrize(
    "junk",
    ["\0" * 200_000, "x" * 200_000, '"' * 200_001, "a,voice,1,2,3", "a,noise,1,2," + "[" * 100_000,
     "a,noise,,,{}"],
    ids=["zeros", "long", "quotes", "no mapping", "deep", "empty"],
)  # fmt: skip
def test_a_damaged_line_of_a_journal_is_done_again_and_costs_no_other(tmp_path, junk):
    path = tmp_path / "x.partial.csv"
    for name in ("a", "b"):
        with Journal(path, {}, ["snr", "stoi"]) as journal:
            journal.append([{"id": name, "source": source, "snr": 1.0, "stoi": 2.0, "failed": {}}
                            for source in ("voice", "noise")])  # fmt: skip
    lines = path.read_text().splitlines()
    lines[2] = junk  # the voice of the first
    path.write_text("\n".join(lines) + "\n")
    with Journal(path, {}, ["snr", "stoi"]) as journal:
        assert set(journal.rows) == {"b"}
    assert "b,voice,1.0,2.0" in path.read_text()
