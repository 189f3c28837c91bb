"""scores.csv: read as it was written, joined with the scores of the mixtures, or refused."""

import numpy as np
import pandas
import pytest
import scored_experiments

from local import SOURCES
from local.base import disk
from local.base.errors import UserError
from local.scoring import score_table

NAN, INF = float("nan"), float("inf")
ABOUT = {"version": 2, "test_hash": "0123", "engine": "fast", "metrics": ["snr", "stoi"],
         "model_sha256": "89ab", "recipe": "toy", "provenance": {}}  # fmt: skip
MADE = pandas.DataFrame([
    {"id": name, "snr_db": 5.0, "group": group, "source": source,
     "snr": snr, "snr_mix": 1.0, "snr_imp": snr - 1,
     "stoi": stoi, "stoi_mix": 0.5, "stoi_imp": stoi - 0.5, "swapped": 0.0, "failed": ""}
    for name, group, snr, stoi in (("1_5", "NA", 4.0, 0.75), ("2_5", "null", NAN, -INF))
    for source in SOURCES
])  # fmt: skip


def stored(tmp_path, scores=MADE, **about):
    """The path of a scores.csv that stage 2 could have left."""
    path = tmp_path / "exp" / "data" / "model" / "scores" / "0123" / "scores.csv"
    scored_experiments.write_scores(path, scores, ABOUT | about)
    return path


def mixtures(tmp_path, engine=""):
    return tmp_path / "exp" / "data" / ".mixture" / f"0123{engine}.csv"


def refused(path, *says):
    with pytest.raises(UserError) as fault:
        score_table.read_scores(path)
    assert "\n" not in str(fault.value)
    for text in ("stage 2", *says):
        assert text in str(fault.value)


def test_scores_are_read_as_they_were_written(tmp_path):
    path = stored(tmp_path)
    pandas.testing.assert_frame_equal(score_table.read_scores(path), MADE, check_dtype=False)
    assert list(pandas.read_csv(path)) == [*score_table.KEYS, "snr", "stoi", "swapped", "failed"]


def test_mixtures_are_found_by_example_and_by_engine(tmp_path):
    stored(tmp_path, MADE.assign(snr_mix=9.0))
    path = stored(tmp_path, engine="museval")
    plain = score_table.read_file(mixtures(tmp_path, ".museval"))
    plain.loc[1, "failed"] = "snr: too short; sdr_v4: silent"
    plain = plain[::-1].assign(snr=[2.0, 3.0, NAN, 5.0])
    plain.to_csv(mixtures(tmp_path, ".museval"), index=False)
    read = score_table.read_scores(path)
    np.testing.assert_array_equal(read["snr_mix"], [5, NAN, 3, 2])
    np.testing.assert_array_equal(read["snr_imp"], [-1, NAN, NAN, NAN])
    assert read["failed"].tolist() == ["", "snr_mix: too short", "", ""]


def test_columns_of_mixtures_that_stand_in_older_files_count_no_more(tmp_path):
    path = stored(tmp_path)
    older = MADE.assign(snr_mix=7.0, failed="snr: silent; snr_mix: silent")
    older.to_csv(path, index=False)
    plain = pandas.read_csv(mixtures(tmp_path), keep_default_na=False)
    plain.assign(failed="snr: silent").to_csv(mixtures(tmp_path), index=False)
    expected = MADE.assign(failed="snr: silent; snr_mix: silent")
    pandas.testing.assert_frame_equal(score_table.read_scores(path), expected, check_dtype=False)


def test_mixtures_that_are_missing_or_of_other_work_are_a_line(tmp_path):
    path, plain = stored(tmp_path), mixtures(tmp_path)
    table, about = pandas.read_csv(plain), disk.read_yaml(plain.with_suffix(".yml"))
    for key, other in {"version": 1, "test_hash": "4567", "engine": "museval"}.items():
        disk.write_yaml(plain.with_suffix(".yml"), about | {key: other})
        refused(path, str(plain), f"{key} {other}", f"expected {ABOUT[key]}")
    disk.write_yaml(plain.with_suffix(".yml"), about)
    table.drop(columns="stoi").to_csv(plain, index=False)
    refused(path, str(plain), "in stoi")
    table[:2].to_csv(plain, index=False)
    refused(path, str(plain), "of every example")
    table[:3].to_csv(plain, index=False)
    refused(path, str(plain), "damaged")
    plain.unlink()
    refused(path, str(plain), "no scores of the mixtures")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.iloc[:0], "holds no scores"),
        (lambda s: s.drop(columns="group"), "'group'"),
        (lambda s: s.iloc[1:], "'1_5'"),
        (lambda s: pandas.concat([s, s.iloc[:1]]), "'1_5'"),
        (lambda s: s.assign(source="song"), "song"),
        (lambda s: s.assign(snr="loud"), "loud"),
    ],
)
def test_what_is_no_table_of_scores_is_refused_in_a_line(tmp_path, change, says):
    path = stored(tmp_path)
    change(MADE).to_csv(path, index=False)
    refused(path, says, str(path))


def test_missing_scores_name_the_stage_that_makes_them(tmp_path):
    with pytest.raises(UserError, match="stage 2 makes it"):
        score_table.read_scores(tmp_path / "scores.csv")
    (tmp_path / "scores.partial.csv").touch()
    with pytest.raises(UserError, match="stage 2 was interrupted and continues"):
        score_table.read_scores(tmp_path / "scores.csv")
