"""Training mixtures made on the fly, fixed validation mixtures, and their order.

An item is ``(mix (time,), sources (2, time))``: float32 tensors, all of one length, at the rate of
the settings, with ``mix == sources.sum(0)``. Nothing is clipped: samples are floats.
"""

import collections
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch.utils.data import Dataset

from local import SOURCES
from local.base import audio
from local.base.errors import UserError
from local.corpus import crops, reverberation
from local.corpus.manifest import rooms_of
from local.training import synthetic_noise
from local.training.augment import Chain
from local.training.losses import SILENCE
from local.training.ranges import pair

REDRAWS = 5  # how often a crop that is too quiet is drawn again
SECOND_NOISE_DB = 10.0  # dB of a second noise below the first, at most
QUIET_DB = -30.0  # dB of a crop's level over its file's; below, it is a pause
BLOCK = 2**20  # samples read at once where a file's level is measured
ORDER, BATCHES = (1,), (2,)  # keep the random numbers of different uses apart


def training(manifest, conf: dict, seed: int) -> "Training":
    """The training set of a manifest.

    Args:
        manifest: ``local.corpus.manifest.Manifest``.
        conf: the section ``data`` of the settings.
        seed: of everything that is drawn.

    Raises:
        UserError: a setting out of range, or no examples.
    """
    return Training(manifest, conf, seed)


def validation(manifest, conf: dict) -> "Validation":
    """The validation set of a manifest: the same crops in every epoch.

    Raises:
        UserError: no examples.
    """
    return Validation(manifest, conf)


class Training(Dataset):
    """Random segments, remixed or (``remix: false``) from the triplets unchanged.

    Remixing takes a segment of the indexed voice and one of any noise, or of one made by rule
    (``synthetic_noise``); ``second_noise`` adds another at its own level, and ``rooms`` puts the
    voice into one of the manifest's rooms (``corpus.reverberation``), if it has any. It applies the
    augmentations, then sets the SNR (by the noise's level) and the level of the mixture. Otherwise
    voice and noise are from one place of one triplet, and only the augmentations are applied.

    A voice crop that is silent or ``QUIET_DB`` below its file's level is drawn again from the same
    file, up to ``REDRAWS`` times. So is a noise crop in remixing, from any file: otherwise the SNR
    would amplify the pause between two barks of a dog. If voice or noise are still silent, the
    noise keeps its level. A file shorter than the segment gets a random place in zeros.

    Voices and noises that are not mixed yet (``manifest.alone``) are drawn alike, with what
    follows from their pauses and lengths. A crop of a voice is also drawn again where pauses leave
    less than ``crops.SPOKEN`` of it, and the SNR is set over its speech, without pauses and zeros.
    A noise shorter than the segment is repeated.

    An epoch takes the next ``examples_per_epoch`` voices of a shuffled order: all are used once
    before one is used twice. A voice alone stands in that order once for each segment that fits
    into it. An item depends only on (seed, epoch, index).
    """

    def __init__(self, manifest, conf: dict, seed: int):
        _check_examples(manifest)
        self.manifest, self.seed, self.epoch = manifest, seed, 0
        self.rate, self.frames = conf["sample_rate"], _frames(conf)
        self.augment = Chain(conf["augment"], self.rate)
        self.remix = conf["remix"]
        self.snr_db, self.snr_from = conf["snr_db"], conf["snr_from"]
        if self.snr_from == "range":
            pair("data.snr_db", self.snr_db)
        self.gain_db = pair("data.gain_db", conf["gain_db"])
        self.second_noise, self.synthetic = conf["second_noise"], conf["synthetic_noise"]
        self.in_rooms = conf["rooms"] if manifest.rooms else 0.0
        self.rooms = collections.defaultdict(list)
        for room in manifest.rooms:
            self.rooms[room.group].append(room)
        self.rows = {source: [i for i in range(len(manifest)) if manifest.row(i).holds(source)]
                     for source in SOURCES}  # fmt: skip
        self._check_rows()
        self.turns = [i for i in self.rows["voice"] for _ in range(self._turns(i))]
        self.size = conf["examples_per_epoch"] or len(self.turns)
        # shared between loader processes, which are new in every epoch
        self._levels = torch.full((len(SOURCES), len(manifest)), math.nan).double().share_memory_()
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0))

    def __len__(self) -> int:
        return self.size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the items."""
        self.epoch = epoch

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        if not 0 <= index < self.size:
            raise IndexError(index)
        rng = np.random.default_rng([self.seed, self.epoch, index])
        row = self._row(index)
        sources = self._remixed(row, rng) if self.remix else self._triplet(row, rng)
        return _item(sources)

    def _check_rows(self) -> None:
        path = self.manifest.path
        for source, rows in self.rows.items():
            if not rows:
                raise UserError(f"{path}: expected voices and noises, found no {source}")
            if not self.remix and len(rows) < len(self.manifest):
                raise UserError(
                    f"data.remix false takes mixtures as they are, and {path} holds voices or"
                    " noises that are not mixed; leave data.remix at true"
                )
        if self.in_rooms and not self.remix:
            raise UserError(
                f"data.remix false takes mixtures as they are, and {rooms_of(path)} lists rooms to"
                " put voices into; set data.rooms 0"
            )

    def _turns(self, i: int) -> int:
        """How often a voice is taken before all have been: a voice alone may be long."""
        row = self.manifest.row(i)
        if row.holds("noise"):
            return 1
        return max(1, row.num_samples // _span(self.frames, row.sample_rate, self.rate))

    def _row(self, index: int) -> int:
        """Which row of the manifest is the item's voice."""
        cycle, place = divmod(self.epoch * self.size + index, len(self.turns))
        if self._order[0] != cycle:
            self._order = cycle, _generator(self.seed, cycle, ORDER).permutation(len(self.turns))
        return self.turns[self._order[1][place]]

    def _remixed(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """Voice and noise (2, frames), drawn separately and remixed."""
        size = self.augment.reach(self.frames)
        _, _, crop = self._draw(lambda: row, "voice", size, rng)
        voice = place(self._fit(crop, row, size), size, rng)
        if self.in_rooms and rng.random() < self.in_rooms:
            voice = reverberation.reverberate(voice, self._response(rng))
        noise = self._noise(size, rng)
        if self.second_noise and rng.random() < self.second_noise:
            both = np.stack([noise, self._noise(size, rng)])
            noise = set_snr(both, rng.uniform(0, SECOND_NOISE_DB)).sum(0)
        sources = self.augment(np.stack([voice, noise]), rng)
        speech = None if self.manifest.row(row).holds("noise") else self._speech(sources[0])
        sources = set_snr(sources, self._draw_snr(rng), speech)
        return sources * np.float32(10 ** (rng.uniform(*self.gain_db) / 20))

    def _noise(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Any noise, (size,)."""
        if self.synthetic and rng.random() < self.synthetic:
            return synthetic_noise.draw(size, self.rate, rng)
        rows = self.rows["noise"]
        i, _, crop = self._draw(lambda: rows[rng.integers(len(rows))], "noise", size, rng)
        crop = self._fit(crop, i, size)
        if not self.manifest.row(i).holds("voice"):
            crop = crops.repeat(crop, size, self.rate)
        return place(crop, size, rng)

    def _response(self, rng: np.random.Generator) -> np.ndarray:
        """The response (time,) of any room, at our rate."""
        groups = list(self.rooms.values())
        group = groups[rng.integers(len(groups))]
        room = group[rng.integers(len(group))]
        return audio.resample(self.manifest.response(room), room.sample_rate, self.rate)

    def _speech(self, voice: np.ndarray) -> float:
        """The active level of a voice (time,), a mean square."""
        return crops.active_level(crops.frame_levels(voice, self.rate))

    def _triplet(self, row: int, rng: np.random.Generator) -> np.ndarray:
        """Voice and noise (2, frames) of one example, at the same place."""
        size = self.augment.reach(self.frames)
        _, start, voice = self._draw(lambda: row, "voice", size, rng)
        noise = self.manifest.source(row, "noise", start, len(voice))
        sources = self._fit(np.stack([voice, noise]), row, size)
        return self.augment(place(sources, size, rng), rng)

    def _draw(
        self, row: Callable[[], int], source: str, size: int, rng: np.random.Generator
    ) -> tuple[int, int, np.ndarray]:
        """A crop of one source, at its file's rate, for ``size`` samples at ours.

        Returns:
            its row, its start in the file, and its samples (time,).
        """
        for _ in range(1 + REDRAWS):
            i = row()
            about = self.manifest.row(i)
            span = _span(size, about.sample_rate, self.rate)
            rest = max(0, about.num_samples - span)
            start = int(rng.integers(rest, endpoint=True))
            crop = self.manifest.source(i, source, start, span)
            pause = rest and self._pauses(crop, i, source)
            if not pause and _mean_square(crop) > SILENCE:
                break
        return i, start, crop

    def _pauses(self, crop: np.ndarray, i: int, source: str) -> bool:
        """Whether a crop of a longer file is a pause in it."""
        about, usual = self.manifest.row(i), self._level(i, source)
        if about.holds("noise"):
            return _mean_square(crop) <= usual * 10 ** (QUIET_DB / 10)
        return crops.active_share(crops.frame_levels(crop, about.sample_rate), usual) < crops.SPOKEN

    def _fit(self, crop: np.ndarray, i: int, size: int) -> np.ndarray:
        """A crop (..., time) at our rate, at most ``size`` long."""
        return audio.resample(crop, self.manifest.row(i).sample_rate, self.rate)[..., :size]

    def _level(self, i: int, source: str) -> float:
        """Mean square of a whole file, of a voice alone without pauses; measured once."""
        levels = self._levels[SOURCES.index(source)]
        if levels[i].isnan():
            about = self.manifest.row(i)
            length = about.num_samples
            parts = (
                self.manifest.source(i, source, start, BLOCK) for start in range(0, length, BLOCK)
            )
            if about.holds("noise"):
                levels[i] = sum(_mean_square(part) * len(part) for part in parts) / length
            else:
                frames = [crops.frame_levels(part, about.sample_rate) for part in parts]
                levels[i] = crops.active_level(np.concatenate(frames))
        return float(levels[i])

    def _draw_snr(self, rng: np.random.Generator) -> float:
        if self.snr_from == "list":
            return float(rng.choice(self.snr_db))
        return rng.uniform(*self.snr_db)


class Validation(Dataset):
    """The mixtures unchanged, in segments that cover every file; nothing is drawn or dropped.

    A longer file gives the fewest consecutive segments that cover it; the last one ends with the
    file and may overlap the one before. A shorter file is padded with zeros.
    """

    def __init__(self, manifest, conf: dict):
        _check_examples(manifest)
        rows = map(manifest.row, range(len(manifest)))
        if not all(row.holds(source) for row in rows for source in SOURCES):
            raise UserError(
                f"{manifest.path}: expected mixtures, found voices or noises that are not mixed,"
                " which are for train.csv; run stage 0 again"
            )
        self.manifest = manifest
        self.rate, self.frames = conf["sample_rate"], _frames(conf)
        self.places: list[tuple[int, int]] = []
        for i in range(len(manifest)):
            row = manifest.row(i)
            span = _span(self.frames, row.sample_rate, self.rate)
            last = max(0, row.num_samples - span)
            self.places += [(i, start) for start in (*range(0, last, span), last)]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        i, start = self.places[index]
        rate = self.manifest.row(i).sample_rate
        crop = self.manifest.sources(i, start, _span(self.frames, rate, self.rate))
        crop = audio.resample(crop, rate, self.rate)[:, : self.frames]
        return _item(place(crop, self.frames))


class BatchIndices:
    """Batches of indices: the same global batches for any number of processes.

    In training (``shuffle``) every epoch has a new order, and an incomplete last batch is left
    out: with equal shares, the mean of the ranks' gradients is the gradient of the batch.
    Otherwise every index comes once, in order. A last batch too small for all ranks joins the one
    before, so all ranks have equally many batches.

    Args:
        size: number of items.
        batch_size: items per batch, over all ranks.
        seed: of the order.
        shuffle: for training.
        rank, world: which process this is, of how many.

    Raises:
        UserError: a batch cannot be shared out evenly, or there are too few items for one.
    """

    def __init__(
        self, size: int, batch_size: int, seed: int, shuffle: bool, rank: int = 0, world: int = 1
    ):
        if batch_size % world:
            raise UserError(
                f"data.batch_size {batch_size} does not divide evenly between {world} processes"
            )
        if shuffle and size < batch_size:
            raise UserError(
                f"data.batch_size expects at most the {size} examples of an epoch, found"
                f" {batch_size}; make it smaller, or set data.examples_per_epoch"
            )
        if size < world:
            raise UserError(f"{size} examples are too few to validate on with {world} processes")
        self.size, self.batch_size, self.seed, self.shuffle = size, batch_size, seed, shuffle
        self.rank, self.world, self.epoch, self.first = rank, world, 0, 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; a new one starts from its beginning."""
        if epoch != self.epoch:
            self.epoch, self.first = epoch, 0

    def start(self, batch: int) -> None:
        """Skip what a continued training has seen of this epoch."""
        self.first = batch

    def __len__(self) -> int:
        """Batches in an epoch, including those that ``start`` skips."""
        return len(self._edges())

    def __iter__(self) -> Iterator[list[int]]:
        order = np.arange(self.size)
        if self.shuffle:
            order = _generator(self.seed, self.epoch, BATCHES).permutation(self.size)
        for low, high in self._edges()[self.first :]:
            yield order[low:high][self.rank :: self.world].tolist()

    def _edges(self) -> list[tuple[int, int]]:
        """First index and end of each global batch."""
        full, rest = divmod(self.size, self.batch_size)
        ends = [self.batch_size * (i + 1) for i in range(full)]
        if rest and not self.shuffle:
            if rest < self.world:
                ends.pop()
            ends.append(self.size)
        return list(zip([0, *ends[:-1]], ends, strict=True))


def set_snr(sources: np.ndarray, snr_db: float, speech: float | None = None) -> np.ndarray:
    """Two signals (2, time), the second scaled to ``snr_db`` below the first unless silent.

    ``speech`` is the mean square of the first that counts; None: that of all of it.
    """
    voice, noise = (_mean_square(x) for x in sources)
    voice = voice if speech is None else speech
    if min(voice, noise) > SILENCE:
        gain = math.sqrt(voice / noise) / 10 ** (snr_db / 20)
        sources = np.stack([sources[0], sources[1] * np.float32(gain)])
    return sources


def _item(sources: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    sources = torch.from_numpy(np.ascontiguousarray(sources, dtype=np.float32))
    return sources.sum(0), sources


def place(x: np.ndarray, size: int, rng: np.random.Generator | None = None) -> np.ndarray:
    """``x`` (..., time) in ``size`` samples of zeros: at a random place, or without rng first."""
    rest = size - x.shape[-1]
    before = int(rng.integers(rest, endpoint=True)) if rng and rest else 0
    return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(before, rest - before)])


def _span(frames: int, rate_from: int, rate_to: int) -> int:
    """Samples at ``rate_from`` that last as long as ``frames`` at ``rate_to``, or just longer."""
    return -(-frames * rate_from // rate_to)


def _frames(conf: dict) -> int:
    """The segment in samples."""
    return max(1, round(conf["segment"] * conf["sample_rate"]))


def _mean_square(x: np.ndarray) -> float:
    return float(np.mean(np.square(x, dtype=np.float64)))


def _generator(seed: int, number: int, use: tuple[int, ...]) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([seed, number], spawn_key=use))


def _check_examples(manifest) -> None:
    if not len(manifest):
        raise UserError(f"{manifest.path}: no examples; stage 0 makes it (--stage 0 --data DIR)")
