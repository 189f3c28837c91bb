"""Results: rows copied from an experiment, tables written between markers, and that they agree."""

import csv
import shutil

import pandas
import pytest
from made_results import COMMAND, README, TABLES, make_experiment, make_tree, run, write_yaml

from local import ROOT
from local.base import config
from local.base.errors import UserError
from local.reporting import cost_figure, published, readmes, speeds, tables


def cells_of(text):
    """The cells of the lines of a table in Markdown."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def test_committed_results_are_those_of_their_recipe():
    """A recipe begins as a copy of another one, whose numbers it must not keep."""
    for recipe in config.recipes():
        rows = published.read_csv(ROOT / "recipes" / recipe / published.FILE)
        assert {row["recipe"] for row in rows} <= {recipe}


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
    return make_tree(tmp_path, monkeypatch)


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
    run(monkeypatch, "add", "exp/garden/ant-small_y", "--table", "speed_of_learning")
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
    text = (tree / "recipes" / "RESULTS.md").read_text(encoding="utf-8")
    assert text.startswith("# Title\n\n<!-- results:quality -->\n\n## Quality: networks under-tr")
    assert text.endswith("<!-- /results -->\n\nThe end.\n")
    assert "Minutes." in text
    assert "garden (0123456789ab), 12 mixtures in 3 groups" in text
    cells = cells_of(text)
    assert cells[0] == ["", "-5 dB", "0 dB", "5 dB", "10 dB", "mean", "improvement", "noise SI-SDR",
                        "voice SDR", "STOI"]  # fmt: skip
    assert [row[0] for row in cells[2:]] == [
        "mixture, as it is", "[ant-small_high](ant/) ([CSV](ant/results.csv))",
        "[bee-small](bee/) ([CSV](bee/results.csv)), a bound: given the references",
        "[ant-small_low](ant/) ([CSV](ant/results.csv))",
    ]  # fmt: skip
    assert cells[2][1:7] == ["-5.0", "0.0", "5.0", "10.0", "2.5 [2.5, 2.5]", ""]
    assert cells[3][1:7] == ["2.5", "7.5", "12.5", "17.5", "10.0 [10.0, 10.0]",
                            "7.5 [7.5, 7.5]"]  # fmt: skip
    assert cells[5][cells[0].index("STOI")] == "0.86"
    # the estimates of the noise: 2 dB above -2.5
    assert cells[5][cells[0].index("noise SI-SDR")] == "-0.5"
    listed = (tree / "README.md").read_text(encoding="utf-8")
    assert "- [bee](recipes/bee/): bee: an insect\n" in listed
    own = (tree / "recipes" / "ant" / "README.md").read_text(encoding="utf-8")
    assert "old" not in text + own + listed
    assert capsys.readouterr().out.count("written") == 4
    run(monkeypatch, "write")
    assert capsys.readouterr().out == ""


def test_the_page_of_a_recipe_has_its_own_lines_and_how_they_were_made(tree, monkeypatch):
    for tag, gain in (("low", 2.0), ("high", 7.5)):
        run(monkeypatch, "add", make_experiment(tree, tag=tag, gain=gain))
    run(monkeypatch, "add", "exp/garden/ant-small_low", "--table", "speed_of_learning")
    run(monkeypatch, "add", make_experiment(tree, "bee"))
    own = readmes.texts()[tree / "recipes" / "ant" / "README.md"]
    assert "Minutes." not in own
    assert "bee-small" not in own
    assert own.count("<details>") == own.count("</details>") == 1
    made = own[own.index("<details>") : own.index("</details>")].splitlines()
    assert [line.partition(":")[0] for line in made if line.startswith("-")] == [
        "- ant-small_high", "- ant-small_low",
    ]  # fmt: skip
    [high] = [line for line in made if line.startswith("- ant-small_high")]
    for fact in ("preset small, seed 3", "`model.fb_name=stft`", "trained 2,400 s on cpu with 2",
                 "54,321 s of audio seen", "1,234,567 parameters", "2.50 G multiply",
                 "commit abcdef012345", "scored at fedcba543210", "test set 0123456789ab",
                 "engine fast", "sdr_v4 of the voice: 1 failed",
                 "`python -m local.train --model bee --tag=x --model.fb-name stft`"):  # fmt: skip
        assert fact in high
    assert "_mix of the" not in own
    assert "](../RESULTS.md)" in own
    assert "](results.csv)" in own
    titles = [f"ant-small_{tag} by SNR, after 40 minutes of training (under-trained)"
              for tag in ("high", "low")]  # fmt: skip
    best, title = titles
    assert own.index(best) < own.index("<details>") < own.index(title) < own.index("- ant-small")
    assert own.count(best) == own.count(title) == 1
    details = cells_of(own.partition(title)[2])
    assert details[0] == ["", "voice SI-SDR", "SDR", "STOI", "noise SI-SDR", "SDR"]
    assert details[2] == ["-5 dB", "-3.0 [-3.0, -3.0]", "-3.0", "0.86", "7.0 [7.0, 7.0]", "7.0"]
    assert details[-1][0] == "mean"


def test_effort_is_shown_where_it_says_something(tree, monkeypatch):
    run(monkeypatch, "add", make_experiment(tree, tag="low", parameters=7))
    run(monkeypatch, "add", make_experiment(tree, tag="high", gain=7.0))
    header, _, mixture, high, low = cells_of(readmes.texts()[tree / "recipes" / "RESULTS.md"])
    assert header[-1] == "parameters"  # minutes and hours are the same in all
    assert (mixture[-1], high[-1], low[-1]) == ("", "1,234,567", "7")
    untrained = dict.fromkeys(("macs_per_second", "training_seconds", "device", "threads",
                               "audio_seconds_seen"))  # fmt: skip
    for tag in ("low", "a", "b"):
        run(monkeypatch, "add", make_experiment(tree, tag=tag, **untrained))
    header, *_ = cells_of(readmes.texts()[tree / "recipes" / "RESULTS.md"])
    assert "parameters" not in header  # most have none


def test_the_short_table_has_the_experiments_that_tables_yml_names(tree, monkeypatch):
    about = TABLES["quality"] | {"short": ["ant-small_high", "bee-small"]}
    write_yaml(tree / "recipes" / "tables.yml", {"quality": about})
    (tree / "README.md").write_text(README.format("short"), encoding="utf-8")
    assert "\n\nNot run yet.\n\n" in readmes.texts()[tree / "README.md"]
    for tag, gain in (("low", 2.0), ("high", 7.5)):
        run(monkeypatch, "add", make_experiment(tree, tag=tag, gain=gain))
    bee = make_experiment(tree, "bee", command=["python"], parameters=7)
    run(monkeypatch, "add", bee)
    common = {"seconds": "4", "commit": "c", "command": "x", "preset": "small"}
    speeds.add([
        {"recipe": "ant", "parameters": 1234567, "separation": "0.5", "training": ""} | common,
        {"recipe": "bee", "parameters": 7, "separation": "0.0625", "training": ""} | common,
    ], tree)  # fmt: skip
    text = readmes.texts()[tree / "README.md"]
    assert "12 mixtures in 3 groups; networks under-trained" in text
    header, _, *lines = cells_of(text)
    assert header == ["", "voice SI-SDR at -5 dB", "voice SI-SDR at 10 dB", "voice SI-SDR, mean",
                      "noise SI-SDR", "STOI", "real-time factor", "parameters"]  # fmt: skip
    assert [line[0] for line in lines] == [
        "[ant-small_high](recipes/ant/)",
        "[bee-small](recipes/bee/), a bound: given the references",
    ]
    assert lines[1][1:] == ["1.0", "16.0", "8.5 [8.5, 8.5]", "3.5", "0.86", "0.0625", "7"]
    # another model than the one that was timed: model.fb_name is changed
    assert lines[0][-2:] == ["", "1,234,567"]


def test_the_committed_short_table_fits():
    readme = readmes.texts()[ROOT / "README.md"]
    [block] = readme.split("<!-- results:short -->")[1:]
    header, _, *lines = cells_of(block.partition("\n<!-- /results -->")[0])
    assert len(header) - 1 <= 8
    listed = [name for about in published.known_tables().values() for name in about["short"]]
    assert len(lines) == len(listed) <= 10
    means = [float(line[3].partition(" ")[0]) for line in lines]
    assert means == sorted(means, reverse=True)


def test_the_table_of_speed(tree):
    (tree / "README.md").write_text(README.format("speed"), encoding="utf-8")
    assert "\n\nNot run yet.\n\n" in readmes.texts()[tree / "README.md"]
    common = {"seconds": "4", "commit": "abc", "command": "python x", "parameters": 7}
    speeds.add([
        {"recipe": "bee", "preset": "", "separation": "0.25", "training": "2"} | common,
        {"recipe": "ant", "preset": "", "separation": "0.125", "training": ""} | common,
        {"recipe": "bee", "preset": "small", "separation": "0.0625", "training": ""} | common,
    ], tree)  # fmt: skip
    text = readmes.texts()[tree / "README.md"]
    assert cells_of(text)[2:] == [
        ["[bee-small](recipes/bee/)", "0.0625", ""],
        ["[ant](recipes/ant/)", "0.1250", ""],
        ["[bee](recipes/bee/)", "0.2500", "2.0000"],
    ]
    assert "`python x`, commit abc" in text
    path = tree / speeds.FILE
    path.write_text(path.read_text().replace("separation", "speed"))
    with pytest.raises(UserError, match=r"tests/benchmarks/realtime_factor\.py writes it"):
        readmes.texts()


def test_the_figure_has_the_best_experiment_of_each_recipe_that_was_timed(tree, monkeypatch):
    plain = {"command": ["python"], "parameters": 7}
    for tag, gain in (("low", 2.0), ("high", 7.5)):
        run(monkeypatch, "add", make_experiment(tree, tag=tag, gain=gain, **plain))
    run(monkeypatch, "add", make_experiment(tree, "bee", gain=9.0, **plain))
    common = {"seconds": "4", "commit": "abc", "command": "x", "preset": "small", "parameters": 7}
    speeds.add([
        {"recipe": recipe, "separation": "0.25", "training": ""} | common
        for recipe in ("ant", "bee")
    ], tree)  # fmt: skip
    rows = published.read_all(published.known_tables())
    # bee is given the references
    assert cost_figure.points(rows, speeds.read(tree)) == ([("ant", 0.25, 10.0, True)], 2.5)
    run(monkeypatch, "write")
    drawn = (tree / published.FIGURE).read_bytes()
    assert drawn.startswith(b"<?xml")
    run(monkeypatch, "write")
    assert (tree / published.FIGURE).read_bytes() == drawn


def test_a_card_of_weights_is_written_too(tree, monkeypatch):
    card = tree / "recipes" / "ant" / "pretrained" / "summer.md"
    card.parent.mkdir()
    card.write_text(README.format("ant"), encoding="utf-8")
    run(monkeypatch, "add", make_experiment(tree))
    run(monkeypatch, "write")
    assert "| ant-small |" in card.read_text(encoding="utf-8")


def test_a_recipe_without_results_says_so(tree):
    (tree / "recipes" / "ant" / "README.md").write_text(README.format("ant"))
    texts = readmes.texts()
    for recipe in ("ant", "bee"):
        assert "\n\nNot run yet.\n\n<!--" in texts[tree / "recipes" / recipe / "README.md"]


def test_test_sets_have_tables_of_their_own(tree, monkeypatch):
    run(monkeypatch, "add", make_experiment(tree))
    run(monkeypatch, "add", make_experiment(tree, "bee", test_hash="ba9876543210"))
    text = readmes.texts()[tree / "recipes" / "RESULTS.md"]
    assert text.count("| mixture, as it is |") == 2


def test_nothing_trained_has_no_training_in_its_small_print(tree, monkeypatch):
    untrained = dict.fromkeys(("macs_per_second", "training_seconds", "device", "threads",
                               "audio_seconds_seen"))  # fmt: skip
    run(monkeypatch, "add", make_experiment(tree, parameters=0, **untrained))
    text = readmes.texts()[tree / "recipes" / "ant" / "README.md"]
    assert "seed 3; changed: `model.fb_name=stft`; 0 parameters; commit" in text


def test_a_table_of_medians(tree, monkeypatch):
    path = tree / "recipes" / "tables.yml"
    path.write_text("quality: {title: Quality, note: None, statistic: median}\n")
    run(monkeypatch, "add", make_experiment(tree))
    rows = published.read_csv(tree / "recipes" / "ant" / "results.csv")
    [row] = [
        r for r in rows if (r["source"], r["metric"], r["snr_db"]) == ("voice", "si_sdr", "all")
    ]
    text = readmes.texts()[tree / "recipes" / "RESULTS.md"]
    assert "| 10 dB | median |" in text
    assert f"| {float(row['median']):.1f} ({float(row['mad']):.1f}) |" in text


def test_a_table_of_ratings(tree, monkeypatch):
    path = tree / "recipes" / "tables.yml"
    path.write_text("quality: {title: Quality, note: None, shown: rating}\n")
    with pytest.raises(UserError, match="shown 'rating'; did you mean 'ratings'"):
        readmes.texts()
    path.write_text("quality: {title: Quality, note: None, shown: ratings}\n")
    folder = make_experiment(tree)
    [scores] = folder.glob("scores/*/by_snr.csv")
    table = pandas.read_csv(scores, dtype=str, keep_default_na=False)
    rated = table[(table["source"] == "voice") & table["metric"].str.match("stoi(_mix)?$")]
    rated = rated.assign(metric=rated["metric"].str.replace("stoi", "dnsmos_ovrl"), mean="2.5")
    pandas.concat([table, rated]).to_csv(scores, index=False)
    run(monkeypatch, "add", folder)
    text = readmes.texts()[tree / "recipes" / "RESULTS.md"]
    assert "DNSMOS OVRL at each SNR and its mean" in text
    head, _, mixture, line = cells_of(text)
    assert head == ["", "-5 dB", "0 dB", "5 dB", "10 dB", "mean", "voice SI-SDR", *head[7:]]
    assert mixture[1:5] == line[1:5] == ["2.50"] * 4
    assert mixture[5].startswith("2.50 [")
    assert float(line[6]) == float(mixture[6]) + 6


def test_a_table_of_bss_eval_has_medians_of_both_versions(tree, monkeypatch):
    about = "{title: Quality, note: None, statistic: median, shown: bss_eval}"
    (tree / "recipes" / "tables.yml").write_text(f"quality: {about}\n")
    folder = make_experiment(tree)
    [scores] = folder.glob("scores/*/by_snr.csv")
    table = pandas.read_csv(scores, dtype=str, keep_default_na=False)
    v4 = table[(table["source"] == "voice") & table["metric"].str.match("sdr_v4(_mix)?$")]
    v3 = v4.assign(metric=v4["metric"].str.replace("v4", "v3"), median="2.5", mad="0.25")
    # a mixture has no artefacts
    sar = v4.assign(metric=v4["metric"].str.replace("sdr", "sar"), median="9.5", mad="1.5")
    sar.loc[sar["metric"] == "sar_v4_mix", ["median", "mad"]] = ""
    pandas.concat([table, v3, sar]).to_csv(scores, index=False)
    run(monkeypatch, "add", folder)
    text = readmes.texts()[tree / "recipes" / "RESULTS.md"]
    assert "12 mixtures in 3 groups; the voice: median**" in text
    head, _, mixture, line = cells_of(text)
    assert head[:5] == ["", "SI-SDR", "SDR (v4)", "SAR (v4)", "SDR (v3)"]
    assert mixture[3:5] == [tables.NOTHING, "2.5 (0.2)"]
    assert line[3:5] == ["9.5 (1.5)", "2.5 (0.2)"]


def test_several_are_added_at_once_or_none(tree, monkeypatch):
    ant, bee = make_experiment(tree), make_experiment(tree, "bee")
    with pytest.raises(UserError, match="expected an experiment"):
        run(monkeypatch, "add", ant, tree)
    assert not (tree / "recipes" / "ant" / "results.csv").exists()
    run(monkeypatch, "add", ant, bee)
    assert rows_of(tree, "ant")
    assert rows_of(tree, "bee")


def test_rows_of_a_table_that_is_gone(tree, monkeypatch):
    run(monkeypatch, "add", make_experiment(tree), "--table", "speed_of_learning")
    (tree / "recipes" / "tables.yml").write_text("quality: {title: Quality, note: None}\n")
    with pytest.raises(UserError, match="'speed_of_learning', which is not in"):
        readmes.texts()
