"""Small experiments to evaluate: a test manifest of a few triplets, and an untrained model.

The current directory is where ``data/`` and ``exp/`` are made, as for the stages themselves.
"""

from pathlib import Path

import pandas
import triplet_trees

from local.base import disk, experiment
from local.corpus import manifest
from local.scoring import score_table
from local.scoring.score_table import IMPROVEMENT, MIXTURE, ROW


def make_manifest(name: str, rows: int, length: int, rate: int = triplet_trees.RATE) -> Path:
    """``data/<name>/test.csv`` over new triplets of ``length`` samples, SNRs in turn."""
    folder = experiment.data_dir(name)
    tree = Path("trees") / name
    split = triplet_trees.make_tree(tree, {"test": rows}, length=length, rate=rate) / "test"
    disk.write_yaml(folder / "root.yml", {"root": str(tree.resolve())})
    made = []
    for i in range(rows):
        snr = triplet_trees.SNRS[i % len(triplet_trees.SNRS)]
        number = split.name + f"/{i + 1:04d}"
        made.append(
            manifest.Row(
                f"{i + 1:04d}_{snr}", float(snr), f"{number}/mix_snr_{snr}.wav",
                f"{number}/voice.wav", f"{number}/noise.wav", rate, length, 1.0, 1.0, float(snr),
                f"{i // 2}",
            )
        )  # fmt: skip
    manifest.write(folder / "test.csv", made)
    return folder / "test.csv"


def make_experiment(name: str, recipe: str = "convtasnet", tag: str | None = None, **model) -> Path:
    """``exp/<name>/<recipe>[_<tag>]/best_model.pth`` with seeded weights, tiny by default."""
    from local.model import checkpoint, separators

    preset = "tiny" if recipe == "convtasnet" else None
    folder = experiment.exp_dir(name, recipe, preset, tag)
    separator = separators.build(recipe, preset, **model)
    parameters = separators.count_parameters(separator)
    infos = {"parameters": parameters, "macs_per_second": separators.count_macs(separator),
             "audio_seconds_seen": 0.0, "seed": 0, "provenance": {}}  # fmt: skip
    checkpoint.save(folder / "best_model.pth", separator, infos)
    return folder


def write_scores(path: Path, scores: pandas.DataFrame, about: dict) -> None:
    """What stage 2 leaves for ``score_table.read_scores`` to find these scores: scores.csv,
    scores.yml, and of the mixtures what is not there yet.

    Args:
        path: of scores.csv.
        about: what scores.yml holds.
    """
    own = [name for name in scores if not name.endswith((MIXTURE, IMPROVEMENT))]
    path.parent.mkdir(parents=True, exist_ok=True)
    scores[own].to_csv(path, index=False)
    disk.write_yaml(path.with_suffix(".yml"), about)
    plain = score_table.mixtures_of(path, about["engine"])
    of = {f"{name}{MIXTURE}": name for name in own if f"{name}{MIXTURE}" in scores}
    mixtures = scores[[*score_table.KEYS, *of]].rename(columns=of).assign(failed="")
    if plain.is_file():
        before = score_table.read_file(plain).set_index(ROW)
        more = [name for name in before if name not in mixtures]
        mixtures = mixtures.join(before[more], on=ROW)
    plain.parent.mkdir(parents=True, exist_ok=True)
    mixtures.to_csv(plain, index=False)
    if not plain.with_suffix(".yml").is_file():
        alike = {key: about.get(key) for key in score_table.ALIKE}
        disk.write_yaml(plain.with_suffix(".yml"), alike)
