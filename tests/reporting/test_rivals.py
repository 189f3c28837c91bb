"""One model against others: differences by SNR, one family of tests, kept and shown in its card."""

import hashlib
import sys

import numpy as np
import pandas
import pytest
import scored_experiments
import yaml

from local import results
from local.base import config
from local.base.errors import UserError
from local.reporting import published, readmes, rivals, significance, statistics
from local.scoring import metrics

HASH = "0123456789ab"
GROUPS, LEVELS = 12, (-5.0, 10.0)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A checkout with the recipe ``ant``, and a card of its weights, the current directory."""
    folder = tmp_path / "recipes" / "ant"
    (folder / "pretrained").mkdir(parents=True)
    (folder / "conf.yml").write_text("# ant: an insect\n", encoding="utf-8")
    card = "# Weights\n\n<!-- results:rivals -->\nold\n<!-- /results -->\n"
    (folder / "pretrained" / "ant.md").write_text(card, encoding="utf-8")
    (tmp_path / "recipes" / "tables.yml").write_text("{}", encoding="utf-8")
    monkeypatch.setattr(published, "ROOT", tmp_path)
    monkeypatch.setattr(config, "ROOT", tmp_path)
    monkeypatch.setattr(statistics, "RESAMPLES", statistics.CHUNK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_experiment(root, name, ahead, recipe="ant", home="exp/garden"):
    """Scores of ``ahead[level]`` dB and a spread that is the same for all experiments."""
    folder = root / home / name
    scores = folder / "scores" / HASH
    scores.mkdir(parents=True)
    (folder / "best_model.pth").write_bytes(b"weights")
    (folder / "conf.yml").write_text("seed: 0\n")
    facts = {"recipe": recipe, "command": ["python"], "seed": 0}
    (folder / "provenance.yml").write_text(yaml.safe_dump(facts))
    sha = hashlib.sha256(b"weights").hexdigest()
    about = {
        "version": metrics.VERSION,
        "test_hash": HASH,
        "recipe": recipe,
        "provenance": {},
        "metrics": ["si_sdr"],
        "engine": "fast",
        "model_sha256": sha,
        "needs_sources": False,
    }
    about |= dict.fromkeys(
        ("parameters", "macs_per_second", "audio_seconds_seen", "real_time_factor")
    )
    spread = np.random.default_rng(0).normal(size=(len(LEVELS), GROUPS))
    rows = [
        {"id": f"{k}_{level:g}", "snr_db": level, "group": f"g{k}", "source": source,
         "si_sdr": sign * level + spread[i, k] + ahead[level], "si_sdr_mix": sign * level,
         "failed": ""}
        for i, level in enumerate(LEVELS) for k in range(GROUPS)
        for source, sign in (("voice", 1), ("noise", -1))
    ]  # fmt: skip
    scored_experiments.write_scores(scores / "scores.csv", pandas.DataFrame(rows), about)
    return folder


def test_a_row_is_the_models_lead_over_a_rival_at_one_level(tree):
    model = make_experiment(tree, "ant", {-5.0: 3.0, 10.0: 1.0})
    worse = make_experiment(tree, "bee", {-5.0: 1.0, 10.0: 2.0}, home="elsewhere/garden")
    even = make_experiment(tree, "cow", {-5.0: 3.0, 10.0: 1.0})
    rows = rivals.against(model, [worse, even]).set_index(["source", "rival", "snr_db"])
    for source in ("voice", "noise"):
        found = rows.loc[source]["difference"]
        assert found["bee"].to_dict() == pytest.approx({"-5": 2.0, "10": -1.0, "all": 0.5})
        assert found["cow"].to_dict() == pytest.approx({"-5": 0.0, "10": 0.0, "all": 0.0})
    # all groups on one side, the least that the test can reach, and all cells in one family
    sure = rows.loc["voice", "bee", "-5"]
    assert sure["p"] == pytest.approx(2.0 ** (1 - GROUPS))
    assert sure["p_holm"] == pytest.approx(significance.holm(rows["p"].to_numpy())[0])
    assert rows["p"].size == 2 * 2 * 3
    assert (rows.loc["voice", "cow", "all"]["p_holm"]) == 1


def test_the_card_shows_them_and_again_after_new_weights(tree, monkeypatch):
    make_experiment(tree, "ant_v1", {-5.0: 3.0, 10.0: 1.0})
    make_experiment(tree, "ant_v2", {-5.0: 4.0, 10.0: 2.0})
    make_experiment(tree, "bee", {-5.0: 1.0, 10.0: 1.0})
    for version, lead in (("ant_v1", "+2.0"), ("ant_v2", "+3.0")):
        words = ["results", "rivals", f"exp/garden/{version}", "exp/garden/bee"]
        monkeypatch.setattr(sys, "argv", words)
        results.main()
        [text] = [text for path, text in readmes.texts().items() if path.name == "ant.md"]
        lines = [line for line in text.splitlines() if line.startswith("| bee")]
        assert len(lines) == 2
        assert lines[0].split("|")[2].strip() == f"{lead} [{lead[1:]}, {lead[1:]}] *"
        assert f"Voice SI-SDR of {version} minus that of each" in text
    kept = pandas.read_csv(tree / "recipes" / "ant" / rivals.FILE)
    assert set(kept["experiment"]) == {"ant_v2"}


def test_a_level_without_an_example_in_common_is_an_empty_cell(tree):
    model = make_experiment(tree, "ant", {-5.0: 3.0, 10.0: 1.0})
    deaf = make_experiment(tree, "bee", {-5.0: 1.0, 10.0: 0.0})
    path = deaf / "scores" / HASH / "scores.csv"
    table = pandas.read_csv(path)
    table.loc[table["snr_db"] == -5, "si_sdr"] = np.nan
    table.to_csv(path, index=False)
    whole = make_experiment(tree, "cow", {-5.0: 1.0, 10.0: 0.5})
    lines = rivals.markdown(rivals.against(model, [deaf, whole]), "")
    assert lines.count("|  | -5 dB | 10 dB | mean |") == 2
    assert lines.count("| bee | – | +1.0 [1.0, 1.0] * | +1.0 [1.0, 1.0] * |") == 2


def test_a_card_without_rows_says_so(tree):
    [text] = [text for path, text in readmes.texts().items() if path.name == "ant.md"]
    assert readmes.NOT_RUN in text


def test_what_cannot_be_compared_is_one_line(tree):
    model = make_experiment(tree, "ant", {-5.0: 3.0, 10.0: 1.0})
    with pytest.raises(UserError, match="ant: named twice"):
        rivals.against(model, [model])
    other = make_experiment(tree, "bee", {-5.0: 1.0, 10.0: 1.0})
    (other / "scores" / HASH).rename(other / "scores" / "ba9876543210")
    with pytest.raises(UserError, match="bee: scored on another test set"):
        rivals.against(model, [other])
    bare = make_experiment(tree, "cow", {-5.0: 1.0, 10.0: 1.0})
    path = bare / "scores" / HASH / "scores.csv"
    table = pandas.read_csv(path)
    table.assign(si_sdr=float("nan")).to_csv(path, index=False)
    with pytest.raises(UserError, match=r"ant and cow: no example .*; leave it out"):
        rivals.against(model, [bare])
    table.rename(columns={"si_sdr": "snr"}).to_csv(path, index=False)
    mixtures = tree / "exp" / "garden" / ".mixture" / f"{HASH}.csv"
    plain = pandas.read_csv(mixtures)
    plain.assign(snr=plain["si_sdr"]).to_csv(mixtures, index=False)
    with pytest.raises(UserError, match="cow: scored without si_sdr; run stage 2"):
        rivals.against(model, [bare])
    with pytest.raises(UserError, match="no scores/"):
        rivals.against(tree / "exp" / "garden" / "nothing", [other])
    (tree / "recipes" / "ant" / rivals.FILE).write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match=r"rivals.csv: expected the columns"):
        readmes.texts()
