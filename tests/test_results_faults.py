"""Results: each fault of an experiment, of a marker and of tables.yml."""

import pytest
from made_results import make_experiment, make_tree, run

from local.base.errors import UserError
from local.reporting import readmes


@pytest.fixture
def tree(tmp_path, monkeypatch):
    return make_tree(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n<!-- results:quality -->\n", "README.md, line 2: a marker without its end"),
        (
            "<!-- results:quality -->\n<!-- results:ant -->\n<!-- /results -->\n",
            "README.md, line 1",
        ),
        ("a\n<!-- /results -->\n", "README.md, line 2: <!-- /results --> without"),
        ("<!-- results:qualty -->\n<!-- /results -->\n", "did you mean 'quality'"),
        ("<!-- results:bea -->\n<!-- /results -->\n", "did you mean 'bee'"),
    ],
)
def test_faults_of_markers(tree, monkeypatch, text, message):
    (tree / "README.md").write_text(text)
    before = (tree / "recipes" / "RESULTS.md").read_bytes()
    with pytest.raises(UserError, match=message):
        run(monkeypatch, "write")
    assert (tree / "README.md").read_text() == text
    assert (tree / "recipes" / "RESULTS.md").read_bytes() == before


def test_faults_of_adding(tree, monkeypatch):
    folder = make_experiment(tree)
    with pytest.raises(
        UserError, match="unknown table 'speed_of_lerning'; did you mean 'speed_of_learning'"
    ):
        run(monkeypatch, "add", folder, "--table", "speed_of_lerning")
    with pytest.raises(UserError, match=r"no provenance\.yml"):
        run(monkeypatch, "add", folder.parent)
    scores = folder / "scores" / "0123456789ab" / "by_snr.csv"
    scores.write_text(scores.read_text().partition("\n")[0] + "\n")
    with pytest.raises(UserError, match="holds nothing that the tables show"):
        run(monkeypatch, "add", folder)
    scores.unlink()
    with pytest.raises(UserError, match="stage 3 makes it"):
        run(monkeypatch, "add", folder)
    folder = make_experiment(tree)
    (folder / "best_model.pth").write_bytes(b"trained further")
    with pytest.raises(UserError, match=r"best_model\.pth has changed since .*; run stage 2 again"):
        run(monkeypatch, "add", folder)
    assert not (tree / "recipes" / "ant" / "results.csv").exists()


def test_several_test_sets_ask_for_the_manifest(tree, monkeypatch):
    make_experiment(tree)
    folder = make_experiment(tree, test_hash="ba9876543210")
    with pytest.raises(UserError, match=r"data/garden/test\.csv: not there; stage 0"):
        run(monkeypatch, "add", folder)


def test_tables_need_a_note_and_a_name_of_their_own(tree):
    path = tree / "recipes" / "tables.yml"
    path.write_text("quality: {title: Quality}\n")
    with pytest.raises(UserError, match="expected title and note"):
        readmes.texts()
    path.write_text("short: {title: Quality, note: None}\n")
    with pytest.raises(UserError, match="rename it"):
        readmes.texts()
    path.write_text("quality: {title: Quality, note: None, statistics: mean}\n")
    with pytest.raises(UserError, match="expected title and note, and at most under_trained"):
        readmes.texts()
    path.write_text("ant: {title: Quality, note: None}\n")
    with pytest.raises(UserError, match="rename it"):
        readmes.texts()
    path.write_text("quality: {title: Quality, note: None, statistic: medium}\n")
    with pytest.raises(UserError, match="statistic 'medium'; did you mean 'median'"):
        readmes.texts()
