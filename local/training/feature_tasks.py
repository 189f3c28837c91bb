"""What a network of deep features learns from: kinds of noise, SNRs, and whether there is a voice.

The paper's tasks are two corpora of scenes and sounds (Germain et al. 2018, section 2.2). Here the
triplets give them: mixtures drawn as in training, or noise alone. The kind of a noise stands in
``labels.csv`` (folder, label) of a split's folder; where there is none, it is the group.
"""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from local.base import disk, progress
from local.base.errors import UserError
from local.base.file_kind import is_there
from local.base.names import TEXT
from local.model import checkpoint
from local.training import deep_features, mixtures, precision

ALONE = 0.5  # probability of a noise without a voice
STEP_DB = 5.0  # width of a class of SNRs
SHORTEST = 2**15 - 1  # samples of a crop, of the authors' code
RATE, BATCH = 1e-4, 16  # Adam's step size, the paper's; mixtures per step
FILE = "deep_features.pth"


def prepared(folder: Path, conf: dict, manifests: dict, provenance: dict):
    """The network that ``loss.deep_feature`` needs: of a file, or learnt now; None without one.

    Args:
        folder: of the experiment: what is learnt is kept in it, also half-way.
        conf: the resolved settings.
        manifests: of ``train`` and ``valid``.
        provenance: of the experiment; how the network was made is added.

    Raises:
        UserError: no such file; labels for folders that are not there; a state that cannot be
            continued.
    """
    if not conf["loss"]["deep_feature"]:
        return None
    given = conf["loss"]["deep_feature_network"]
    path = Path(given) if given else folder / FILE
    if not given and not path.is_file():
        learn(path, conf, manifests, provenance)
    return deep_features.load(path)


def learn(path: Path, conf: dict, manifests: dict, provenance: dict) -> None:
    """Learn the tasks for ``loss.deep_feature_epochs`` and write the network.

    After every epoch its state is written beside ``path``; the same call goes on from there, and
    ends with the same weights as one that was not interrupted.
    """
    data = {split: Tasks(manifests[split], conf, labels(manifests[split])) for split in manifests}
    kinds = sorted(set(data["train"].labels.values()))
    for part in data.values():
        part.kinds = {kind: i for i, kind in enumerate(kinds)}
    classes = {"noise": len(kinds), "snr": data["train"].levels, "voice": 2}
    with torch.random.fork_rng():
        torch.manual_seed(conf["seed"])
        network = deep_features.FeatureNetwork(classes)
    network.to(precision.device_of(conf["trainer"]["accelerator"]))
    optimiser = torch.optim.Adam(network.parameters(), lr=RATE)
    kept, epochs = path.with_suffix(".ckpt"), conf["loss"]["deep_feature_epochs"]
    first, history = 0, []
    if kept.is_file():
        try:
            state = torch.load(kept, map_location="cpu", weights_only=True)
            if state["kinds"] != kinds:
                raise ValueError("other kinds of noise")
            network.load_state_dict(state["network"])
            optimiser.load_state_dict(state["optimiser"])
            first, history = state["epoch"], state["history"]
        except Exception as error:  # torch raises almost anything on other bytes
            why = f"damaged, or learnt with other labels ({type(error).__name__})"
            raise UserError(f"{kept}: {why}; delete it, or --restart") from error
    kept.parent.mkdir(parents=True, exist_ok=True)
    for epoch in range(first, epochs):
        network.train()
        steps = progress.bar(
            data["train"].batches(epoch), f"deep features, epoch {epoch + 1} of {epochs}",
            len(data["train"]) // BATCH or 1, unit="batches",
        )  # fmt: skip
        for x, targets in steps:
            loss, _ = deep_features.hear(network, x, targets)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        history.append({"epoch": epoch} | accuracies(network, data["valid"]))
        checkpoint.write(kept, {
            "network": network.state_dict(), "optimiser": optimiser.state_dict(),
            "epoch": epoch + 1, "history": history, "kinds": kinds,
        })  # fmt: skip
    about = {"epochs": epochs, "kinds": kinds, "validation": history, "provenance": provenance}
    said = ", ".join(
        f"{task} {value:.2f}" for task, value in history[-1].items() if task != "epoch"
    )
    deep_features.save(path, network, about)
    disk.write_yaml(path.with_suffix(".yml"), about)
    kept.unlink(missing_ok=True)  # another process may have learnt the same
    print(f"{path}: written; right of the validation mixtures: {said}")


@torch.no_grad()
def accuracies(network, data: "Tasks") -> dict[str, float]:
    """The share of right answers for each task; a task that nothing asks is left out."""
    network.eval()
    totals: dict[str, torch.Tensor] = {}
    for x, targets in data.batches(0):
        for task, counts in deep_features.hear(network, x, targets)[1].items():
            totals[task] = totals.get(task, 0) + counts
    return {task: float(right / asked) for task, (right, asked) in totals.items() if asked}


def labels(manifest) -> dict[int, str]:
    """The kind of noise of each row of a manifest.

    Raises:
        UserError: a labels.csv that is no file, such as a link to nothing; a line of it without a
            folder of the split, or without a label.
    """
    found = {i: manifest.row(i).group for i in range(len(manifest))
             if manifest.row(i).holds("noise")}  # fmt: skip
    folders = {i: Path(manifest.row(i).noise or manifest.row(i).mix).parent for i in found}
    for path in sorted({manifest.root / place.parent / "labels.csv" for place in folders.values()}):
        if is_there(path):
            given = _read(path)
            for i, place in folders.items():
                if place.name in given and manifest.root / place.parent == path.parent:
                    found[i] = given[place.name]
    return found


def _read(path: Path) -> dict[str, str]:
    """labels.csv: folder -> label."""
    given = {}
    with open(path, newline="", encoding="utf-8-sig", errors=TEXT["errors"]) as file:
        table = csv.DictReader(file)
        if not {"folder", "label"} <= set(table.fieldnames or ()):
            raise UserError(f"{path}: expected the columns folder and label, found"
                            f" {', '.join(table.fieldnames or ()) or 'none'}")  # fmt: skip
        for line in table:
            folder, label = line["folder"], line["label"]
            if not label or not folder or not (path.parent / folder).is_dir():
                raise UserError(f"{path}, line {table.line_num}: expected a folder beside it and a"
                                f" label, found folder {folder!r} and label {label!r}")  # fmt: skip
            if given.setdefault(folder, label) != label:
                raise UserError(f"{path}, line {table.line_num}: folder {folder} has the label"
                                f" {given[folder]!r} above, found {label!r}; keep one")  # fmt: skip
    return given


class Tasks(mixtures.Training):
    """Mixtures and noises alone at one level, with what is to be heard in them.

    Args:
        manifest: of a split.
        conf: the resolved settings.
        kinds: row -> kind of its noise.
    """

    def __init__(self, manifest, conf: dict, kinds: dict[int, str]):
        super().__init__(manifest, conf["data"] | {"augment": {"apply": []}}, conf["seed"])
        self.labels, self.kinds = kinds, {}
        low, high = min(self.snr_db), max(self.snr_db)
        self.edges = np.arange(low + STEP_DB, high, STEP_DB)

    @property
    def levels(self) -> int:
        """Classes of SNRs."""
        return len(self.edges) + 1

    def batches(self, epoch: int) -> Iterator[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
        """Waveforms (batch, time) of one random length, and task -> class (batch,)."""
        self.set_epoch(epoch)
        for first in range(0, max(1, len(self) - BATCH + 1), BATCH):
            rng = np.random.default_rng([self.seed, epoch, first, BATCH])
            shortest = min(SHORTEST, self.frames)
            # evenly over the logarithm, as in the authors' code
            length = int(np.exp(rng.uniform(np.log(shortest), np.log(self.frames + 1))))
            items = [self.heard(i, length) for i in range(first, min(first + BATCH, len(self)))]
            waves = torch.stack([wave for wave, _ in items])
            targets = [target for _, target in items]
            yield waves, {task: torch.tensor([t[task] for t in targets]) for task in targets[0]}

    def heard(self, index: int, frames: int) -> tuple[torch.Tensor, dict[str, int]]:
        """(time,) of root mean square 1, and task -> class; -1 where there is no answer."""
        rng = np.random.default_rng([self.seed, self.epoch, index])
        rows, row = self.rows["noise"], self._row(index)
        i, _, crop = self._draw(lambda: rows[rng.integers(len(rows))], "noise", frames, rng)
        noise = mixtures.place(self._fit(crop, i, frames), frames, rng)
        snr, alone = self._draw_snr(rng), bool(rng.random() < ALONE)
        if not alone:
            _, _, crop = self._draw(lambda: row, "voice", frames, rng)
            voice = mixtures.place(self._fit(crop, row, frames), frames, rng)
            noise = mixtures.set_snr(np.stack([voice, noise]), snr).sum(0)
        level = np.sqrt(np.mean(np.square(noise, dtype=np.float64)))
        wave = torch.from_numpy(np.ascontiguousarray(noise / max(level, 1e-8), dtype=np.float32))
        return wave, {
            "noise": self.kinds.get(self.labels[i], -1),
            "snr": -1 if alone else int(np.searchsorted(self.edges, snr)),
            "voice": int(not alone),
        }
