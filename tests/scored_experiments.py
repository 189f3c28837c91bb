"""Small experiments to evaluate: a test manifest of a few triplets, and an untrained model.

The current directory is where ``data/`` and ``exp/`` are made, as for the stages themselves.
"""

from pathlib import Path

import triplet_trees

from local.base import disk, experiment
from local.corpus import manifest


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
