"""Results: rows copied from an experiment, tables written between markers, and that they agree."""

import csv
import shutil
import sys

import numpy as np
import pandas
import pytest
import yaml

from local import ROOT, results
from local.base import config
from local.base.errors import UserError
from local.reporting import published, readmes, statistics

COMMAND = ["python", "-m", "local.train", "--model", "bee", "--tag=x", "--model.fb-name", "stft"]
README = "# Title\n\n<!-- results:{} -->\nold\n<!-- /results -->\n\nThe end.\n"


def test_the_committed_readmes_say_what_the_committed_results_say():
    for path, text in readmes.texts().items():
        assert path.read_text(encoding="utf-8") == text, "run: python -m local.results write"


def test_the_committed_results_are_sorted_and_complete():
    for recipe in config.recipes():
        rows = published.read_csv(ROOT / "recipes" / recipe / published.FILE)
        assert rows == published.replace_rows(rows, [])
        for row in rows:
            assert row["recipe"] == recipe
            assert all(row[name] for name in ("command", "commit", "seed", "test_hash"))
            assert row["engine"] or "v4" not in row["metric"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A checkout with the recipes ``ant`` and ``bee``, the current directory."""
    for recipe in ("ant", "bee"):
        folder = tmp_path / "recipes" / recipe
        folder.mkdir(parents=True)
        (folder / "conf.yml").write_text(f"# {recipe}: an insect\n", encoding="utf-8")
        (folder / "README.md").write_text(README.format(recipe), encoding="utf-8")
    about = {"quality": {"title": "Quality", "note": "Under-trained."},
             "speed": {"title": "Speed", "note": "Five minutes."}}  # fmt: skip
    (tmp_path / "recipes" / "tables.yml").write_text(yaml.safe_dump(about), encoding="utf-8")
    (tmp_path / "recipes" / "README.md").write_text(README.format("quality"), encoding="utf-8")
    (tmp_path / "README.md").write_text(README.format("recipes"), encoding="utf-8")
    monkeypatch.setattr(published, "ROOT", tmp_path)
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_experiment(root, recipe="ant", tag=None, gain=6.0, test_hash="0123456789ab", **facts):
    """An experiment as stages 1 to 3 leave it: every estimate is ``gain`` dB above its mixture."""
    name = f"{recipe}-small" + (f"_{tag}" if tag else "")
    folder = root / "exp" / "garden" / name
    scores = folder / "scores" / test_hash
    scores.mkdir(parents=True, exist_ok=True)
    rows = []
    for k, snr in enumerate([-5.0, 0.0, 5.0, 10.0] * 3):
        for source, sign in (("voice", 1), ("noise", -1)):
            mixture = {"si_sdr": sign * snr, "sdr_v4": sign * snr, "stoi": 0.8}
            row = {"id": str(k), "snr_db": snr, "group": str(k // 4), "source": source}
            for metric, value in mixture.items():
                step = gain if metric != "stoi" else 0.0625
                row |= {metric: value + step, f"{metric}_mix": value, f"{metric}_imp": step}
            if source == "noise":
                row |= dict.fromkeys(("stoi", "stoi_mix", "stoi_imp"), np.nan)
            rows.append(row | {"failed": ""})
    rows[0]["sdr_v4"] = np.nan
    rows[0]["failed"] = "sdr_v4: silence"
    table = statistics.by_snr(pandas.DataFrame(rows))
    table.to_csv(scores / "by_snr.csv", index=False, float_format="%.6g")
    training = {
        "recipe": recipe, "preset": "small", "tag": tag, "data": "garden", "seed": 3,
        "command": COMMAND, "commit": "abcdef012345", "parameters": 1234567,
        "macs_per_second": 2_500_000_000, "audio_seconds_seen": 54321.0,
        "training_seconds": 2400.25, "device": "cpu", "threads": 2,
    } | facts  # fmt: skip
    scoring = {"engine": "fast", "needs_sources": recipe == "bee",
               "provenance": {"commit": "fedcba543210"}}  # fmt: skip
    (folder / "provenance.yml").write_text(yaml.safe_dump(training), encoding="utf-8")
    (scores / "scores.yml").write_text(yaml.safe_dump(scoring), encoding="utf-8")
    return folder


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["results", *map(str, arguments)])
    results.main()


def rows_of(root, recipe):
    with open(root / "recipes" / recipe / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_add_copies_the_rows_shown_with_their_origin(tree, monkeypatch):
    folder = make_experiment(tree, tag="x")
    run(monkeypatch, "add", folder)
    rows = rows_of(tree, "ant")
    scored = pandas.read_csv(folder / "scores/0123456789ab/by_snr.csv", dtype=str)
    for row in rows:
        where = (scored["source"] == row["source"]) & (scored["metric"] == row["metric"])
        (same,) = scored[where & (scored["snr_db"] == row["snr_db"])].fillna("").to_dict("records")
        assert {name: row[name] for name in same} == same
    found = {(row["source"], row["metric"], row["snr_db"]) for row in rows}
    assert len(found) == len(rows) == (7 + 5) * 5  # metrics of voice and noise, levels and mean
    assert ("voice", "si_sdr_mix", "-5") in found
    assert ("noise", "si_sdr", "all") in found
    assert ("noise", "sdr_v4", "-5") in found
    assert ("noise", "stoi", "-5") not in found
    assert {row["changes"] for row in rows} == {"model.fb_name=stft"}
    assert {row["command"] for row in rows} == {" ".join(COMMAND)}
    assert {(row["table"], row["data"], row["experiment"]) for row in rows} == {
        ("quality", "garden", "ant-small_x")
    }


def test_adding_again_replaces_and_gives_the_same_bytes(tree, monkeypatch):
    path = tree / "recipes" / "ant" / "results.csv"
    make_experiment(tree, gain=1.0)
    run(monkeypatch, "add", "exp/garden/ant-small")
    make_experiment(tree, tag="y")
    run(monkeypatch, "add", "exp/garden/ant-small_y")
    run(monkeypatch, "add", "exp/garden/ant-small_y", "--table", "speed")
    before = path.read_bytes()
    run(monkeypatch, "add", "exp/garden/ant-small")
    assert path.read_bytes() == before
    shutil.rmtree(tree / "exp" / "garden" / "ant-small")
    make_experiment(tree, gain=2.0, test_hash="ba9876543210")
    run(monkeypatch, "add", "exp/garden/ant-small")
    rows = rows_of(tree, "ant")
    assert len(rows) == 3 * 60
    changed = [row for row in rows if row["experiment"] == "ant-small"]
    assert {row["test_hash"] for row in changed} == {"ba9876543210"}
    assert {row["mean"] for row in changed if row["metric"] == "si_sdr_imp"} == {"2"}
    assert not list(path.parent.glob(".*"))


def test_write_fills_every_readme_and_nothing_else(tree, monkeypatch, capsys):
    for tag, gain in (("low", 2.0), ("high", 7.5)):
        run(monkeypatch, "add", make_experiment(tree, tag=tag, gain=gain))
    run(monkeypatch, "add", make_experiment(tree, "bee"))
    run(monkeypatch, "write")
    text = (tree / "recipes" / "README.md").read_text(encoding="utf-8")
    assert text.startswith("# Title\n\n<!-- results:quality -->\n")
    assert text.endswith("<!-- /results -->\n\nThe end.\n")
    assert "**Quality.** Under-trained." in text
    assert "garden (0123456789ab), 12 mixtures in 3 groups" in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:7] == ["", "voice SI-SDR at -5 dB", "voice SI-SDR at 0 dB",
                            "voice SI-SDR at 5 dB", "voice SI-SDR at 10 dB",
                            "voice SI-SDR, mean", "voice improvement"]  # fmt: skip
    assert [row[0] for row in cells[2:]] == [
        "mixture, as it is", "[ant-small_high](ant/)",
        "[bee-small](bee/), a bound: given the references", "[ant-small_low](ant/)",
    ]  # fmt: skip
    assert cells[0][-3:] == ["trained, minutes", "audio seen, hours", "parameters"]
    assert cells[2][-3:] == ["", "", ""]
    assert cells[3][-3:] == ["40", "15.1", "1,234,567"]
    assert "- <sub>" not in text
    assert cells[2][1:7] == ["-5.0", "0.0", "5.0", "10.0", "2.5 [2.5, 2.5]", ""]
    assert cells[3][1:7] == ["2.5", "7.5", "12.5", "17.5", "10.0 [10.0, 10.0]",
                            "7.5 [7.5, 7.5]"]  # fmt: skip
    assert cells[5][cells[0].index("STOI")] == "0.863"
    # the estimates of the noise: 2 dB above -2.5
    assert cells[5][cells[0].index("noise SI-SDR")] == "-0.5"
    own = (tree / "recipes" / "ant" / "README.md").read_text(encoding="utf-8")
    small = next(line for line in own.splitlines() if line.startswith("- <sub>ant-small_high"))
    for fact in ("preset small, seed 3", "`model.fb_name=stft`", "trained 2,400 s on cpu with 2",
                 "54,321 s of audio seen", "1,234,567 parameters", "2.50 G multiply",
                 "commit abcdef012345", "scored at fedcba543210", "test set 0123456789ab",
                 "engine fast", "sdr_v4 of the voice: 1 failed",
                 "`python -m local.train --model bee --tag=x --model.fb-name stft`"):  # fmt: skip
        assert fact in small
    assert "_mix of the" not in small
    assert "ant-small_low" in own
    assert "bee-small" not in own
    assert "ant-small_low by SNR" in own
    assert "by SNR" not in text
    details = [
        line for line in own.partition("ant-small_low by SNR")[2].splitlines() if "|" in line
    ]
    assert [cell.strip() for cell in details[0].strip("|").split("|")] == [
        "", "voice SI-SDR", "SDR", "STOI", "noise SI-SDR", "SDR",
    ]  # fmt: skip
    assert [cell.strip() for cell in details[2].strip("|").split("|")] == [
        "-5 dB", "-3.0 [-3.0, -3.0]", "-3.0", "0.863", "7.0 [7.0, 7.0]", "7.0",
    ]  # fmt: skip
    assert details[-1].startswith("| mean |")
    listed = (tree / "README.md").read_text(encoding="utf-8")
    assert "- [bee](recipes/bee/): bee: an insect\n" in listed
    assert "old" not in text + own + listed
    assert capsys.readouterr().out.count("written") == 4
    run(monkeypatch, "write")
    assert capsys.readouterr().out == ""


def test_a_card_of_weights_is_written_too(tree, monkeypatch):
    card = tree / "recipes" / "ant" / "pretrained" / "summer.md"
    card.parent.mkdir()
    card.write_text(README.format("quality/ant"), encoding="utf-8")
    run(monkeypatch, "add", make_experiment(tree))
    run(monkeypatch, "write")
    assert "| ant-small |" in card.read_text(encoding="utf-8")


def test_a_recipe_without_results_says_so(tree):
    (tree / "recipes" / "ant" / "README.md").write_text(README.format("quality/ant"))
    texts = readmes.texts()
    for recipe in ("ant", "bee"):
        assert "\n\nNot run yet.\n\n<!--" in texts[tree / "recipes" / recipe / "README.md"]


def test_test_sets_have_tables_of_their_own(tree, monkeypatch):
    run(monkeypatch, "add", make_experiment(tree))
    run(monkeypatch, "add", make_experiment(tree, "bee", test_hash="ba9876543210"))
    text = readmes.texts()[tree / "recipes" / "README.md"]
    assert text.count("| mixture, as it is |") == 2


def test_nothing_trained_has_no_training_in_its_small_print(tree, monkeypatch):
    untrained = dict.fromkeys(("macs_per_second", "training_seconds", "device", "threads",
                               "audio_seconds_seen"))  # fmt: skip
    run(monkeypatch, "add", make_experiment(tree, parameters=0, **untrained))
    text = readmes.texts()[tree / "recipes" / "ant" / "README.md"]
    assert "seed 3; changed: `model.fb_name=stft`; 0 parameters; commit" in text


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
        ("<!-- results:quality/bea -->\n<!-- /results -->\n", "did you mean 'bee'"),
    ],
)
def test_faults_of_markers(tree, monkeypatch, text, message):
    (tree / "README.md").write_text(text)
    before = (tree / "recipes" / "README.md").read_bytes()
    with pytest.raises(UserError, match=message):
        run(monkeypatch, "write")
    assert (tree / "README.md").read_text() == text
    assert (tree / "recipes" / "README.md").read_bytes() == before


def test_faults_of_adding(tree, monkeypatch):
    folder = make_experiment(tree)
    with pytest.raises(UserError, match="unknown table 'sped'; did you mean 'speed'"):
        run(monkeypatch, "add", folder, "--table", "sped")
    with pytest.raises(UserError, match=r"no provenance\.yml"):
        run(monkeypatch, "add", folder.parent)
    scores = folder / "scores" / "0123456789ab" / "by_snr.csv"
    scores.write_text(scores.read_text().partition("\n")[0] + "\n")
    with pytest.raises(UserError, match="holds nothing that the tables show"):
        run(monkeypatch, "add", folder)
    scores.unlink()
    with pytest.raises(UserError, match="stage 3 makes it"):
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
    path.write_text("ant: {title: Quality, note: None}\n")
    with pytest.raises(UserError, match="rename it"):
        readmes.texts()
    path.write_text("quality: {title: Quality, note: None, statistic: medium}\n")
    with pytest.raises(UserError, match="statistic 'medium'; did you mean 'median'"):
        readmes.texts()


def test_a_table_of_medians(tree, monkeypatch):
    path = tree / "recipes" / "tables.yml"
    path.write_text("quality: {title: Quality, note: None, statistic: median}\n")
    run(monkeypatch, "add", make_experiment(tree))
    rows = published.read_csv(tree / "recipes" / "ant" / "results.csv")
    [row] = [
        r for r in rows if (r["source"], r["metric"], r["snr_db"]) == ("voice", "si_sdr", "all")
    ]
    text = readmes.texts()[tree / "recipes" / "README.md"]
    assert "voice SI-SDR, median" in text
    assert "Medians over the test mixtures" in text
    assert f"| {float(row['median']):.1f} ({float(row['mad']):.1f}) |" in text


def test_rows_of_a_table_that_is_gone(tree, monkeypatch):
    run(monkeypatch, "add", make_experiment(tree), "--table", "speed")
    (tree / "recipes" / "tables.yml").write_text("quality: {title: Quality, note: None}\n")
    with pytest.raises(UserError, match="'speed', which is not in"):
        readmes.texts()
