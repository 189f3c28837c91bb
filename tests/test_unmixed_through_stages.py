"""Voices, noises and rooms that are not mixed, through run.sh to scores, and once more."""

import subprocess
import sys

import pandas
import toy_recipes
from sound_folders import make_noises, make_rooms, make_voices
from triplet_trees import snapshot

from local.base import disk

SETTINGS = {
    "data.sample_rate": 8000, "data.segment": 0.5, "data.batch_size": 2, "data.num_workers": 0,
    "trainer.max_epochs": 2, "trainer.accelerator": "cpu",
}  # fmt: skip


def test_from_folders_to_scores_and_again(checkout):
    toy_recipes.make_recipe(checkout, "toy", toy_recipes.PLAIN, SETTINGS)
    for maker, name, count in ((make_voices, "voices", 4), (make_noises, "noises", 4),
                               (make_rooms, "rooms", 3)):  # fmt: skip
        maker(checkout.parent / "mine" / name, count)
    before = snapshot(checkout.parent / "mine")
    words = ["./run.sh", f"--python={sys.executable}", "--model=toy", "--name=mine",
             *(f"--{name}=../mine/{name}" for name in ("voices", "noises", "rooms")),
             "--snrs", "-5,5"]  # fmt: skip

    def run(*more):
        process = subprocess.run([*words, *more], cwd=checkout, capture_output=True, text=True)
        assert process.returncode == 0, process.stderr[-4000:]
        return process.stdout

    printed = run("--stop-stage=2", "--metrics=si_sdr")
    assert "nothing of valid (1 speaker, " in printed
    experiment = checkout / "exp/mine/toy"
    facts = disk.read_yaml(experiment / "provenance.yml")
    # two speakers of two files of 2 s in train, each four segments: 16 mixtures, two epochs
    assert facts["steps"] == 2 * 16 / 2
    [scores] = experiment.glob("scores/*/scores.csv")
    table = pandas.read_csv(scores)
    test = pandas.read_csv(checkout / "data/mine/test.csv")
    assert sorted(set(test["snr_db"])) == [-5, 5]
    assert len(table) == 2 * len(test) == 8
    assert table["si_sdr"].notna().all()
    made = snapshot(checkout / "data/mine/triplets")
    assert "already trained" in run("--stop-stage=1")
    assert {path: made[path] for path in made if path.suffix == ".wav"} == {
        path: data for path, data in snapshot(checkout / "data/mine/triplets").items()
        if path.suffix == ".wav"
    }  # fmt: skip
    assert snapshot(checkout.parent / "mine") == before
