"""Mixtures: what they are made of, at which level, and that every run makes the same ones."""

import itertools

import numpy as np
import pytest
import soundfile
import torch
import triplet_trees
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from local.base import audio, config, disk
from local.base.errors import UserError
from local.corpus import manifest
from local.corpus.manifest import Row
from local.corpus.reverberation import Room
from local.training import mixtures
from local.training.augment import KINDS
from local.training.losses import SourceLoss
from local.training.mixtures import BatchIndices

RATE = 8000
LENGTH = 4001  # samples of a file


def make_manifest(folder, sources: list[np.ndarray], rate: int = RATE, gains=(1.0, 1.0)):
    """A manifest of float wavs: voice and noise (2, time) of each example, of any length."""
    rows = []
    (folder / "tree").mkdir(parents=True)
    for i, pair in enumerate(sources):
        names = [f"{name}{i}.wav" for name in ("mix", "voice", "noise")]
        for name, x in zip(names, (gains @ pair, *pair), strict=True):
            soundfile.write(folder / "tree" / name, x.astype(np.float32), rate, subtype="FLOAT")
        rows.append(Row(f"{i}_0", 0.0, *names, rate, pair.shape[1], *gains, 0.0, str(i)))
    manifest.write(folder / "split.csv", rows)
    disk.write_yaml(folder / manifest.ROOT_FILE, {"root": str(folder / "tree")})
    return manifest.read(folder / "split.csv")


def marked(count: int, time: int = LENGTH, seed: int = 0) -> list[np.ndarray]:
    """Sources whose samples are all of one size, ``(example + 1) / 1000``, with random signs.

    So a sample tells which voice it is of, and its gain, wherever the crop was taken.
    """
    rng = np.random.default_rng(seed)
    return [(i + 1) / 1000 * rng.choice([-1.0, 1.0], size=(2, time)) for i in range(count)]


def conf(**changes) -> dict:
    """The committed section ``data``, small; ``apply`` is that of its augmentations."""
    data = config.read("convtasnet")["data"] | {"sample_rate": RATE, "segment": 0.125}
    data["augment"]["apply"] = changes.pop("apply", [])
    return data | changes


STEADY = {"gain_db": [0.0, 0.0], "snr_db": [0.0, 0.0]}


def measured_snr(sources: torch.Tensor) -> float:
    voice, noise = sources.double().square().mean(-1)
    return float(10 * torch.log10(voice / noise))


def same(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


# ---------------------------------------------------------------------- every item


@pytest.mark.parametrize("remix", [True, False])
@pytest.mark.parametrize("apply", [[], *([name] for name in KINDS), list(KINDS)])
@pytest.mark.parametrize("rate", [RATE, 5000, 11025])
def test_a_mixture_is_the_sum_of_its_sources(tmp_path, remix, apply, rate):
    files = marked(3) + marked(2, time=600) + marked(1, time=1)
    data = conf(remix=remix, apply=apply, sample_rate=rate)
    items = mixtures.training(make_manifest(tmp_path, files), data, 0)
    frames = round(0.125 * rate)
    for mix, sources in [items[i] for i in range(len(items))]:
        assert mix.dtype == sources.dtype == torch.float32
        assert mix.shape == (frames,)
        assert sources.shape == (2, frames)
        assert torch.equal(mix, sources.sum(0))
        assert mix.isfinite().all()


@pytest.mark.parametrize("apply", [[], list(KINDS)])
def test_the_snr_drawn_is_that_of_the_mixture(tmp_path, apply):
    files = make_manifest(tmp_path, marked(4))
    items = mixtures.training(files, conf(snr_db=[7.3, 7.3], apply=apply), 0)
    for _, sources in [items[i] for i in range(4)]:
        assert measured_snr(sources) == pytest.approx(7.3, abs=0.01)


def test_snr_of_a_range_and_of_a_list(tmp_path):
    files = make_manifest(tmp_path, marked(2))
    data = conf(snr_db=[-5.0, 15.0], examples_per_epoch=60)
    items = mixtures.training(files, data, 0)
    snrs = [measured_snr(items[i][1]) for i in range(60)]
    assert -5.01 <= min(snrs) < -3
    assert 13 < max(snrs) <= 15.01
    data = conf(snr_db=[12.0, -5.0, 0.0], snr_from="list", examples_per_epoch=60)
    items = mixtures.training(files, data, 0)
    assert {round(measured_snr(items[i][1]), 2) for i in range(60)} == {12.0, -5.0, 0.0}


def test_gains_of_the_manifest_and_of_the_settings(tmp_path):
    files = make_manifest(tmp_path, marked(1), gains=(0.5, 3.0))
    whole = mixtures.training(files, conf(remix=False), 0)[0][1]
    torch.testing.assert_close(whole.abs(), torch.tensor([[0.0005], [0.003]]).expand(2, 1000))
    remixed = mixtures.training(files, conf(**STEADY), 0)[0][1]
    torch.testing.assert_close(remixed.abs(), torch.full((2, 1000), 0.0005))
    louder = mixtures.training(files, conf(**STEADY | {"gain_db": [20.0, 20.0]}), 0)[0][1]
    torch.testing.assert_close(louder, 10 * remixed)
    items = mixtures.training(files, conf(**STEADY | {"gain_db": [-6.0, 6.0]}), 0)
    levels = []
    for epoch in range(40):
        items.set_epoch(epoch)
        levels.append(20 * np.log10(float(items[0][1][0, 0].abs()) / 0.0005))
    assert -6.01 <= min(levels) < -4
    assert 4 < max(levels) <= 6.01


def test_peaks_are_not_clipped(tmp_path):
    items = mixtures.training(
        make_manifest(tmp_path, marked(1)), conf(**STEADY | {"gain_db": [90.0, 90.0]}), 0
    )
    assert float(items[0][0].abs().max()) > 30


def test_remixing_pairs_a_voice_with_the_noise_of_any_example(tmp_path):
    """Noises are told apart by their signs: each file has its own."""
    files = marked(5)
    signs = [np.sign(pair[1]) for pair in files]
    items = mixtures.training(make_manifest(tmp_path, files), conf(**STEADY, segment=0.05), 0)
    pairs = set()
    for epoch in range(12):
        items.set_epoch(epoch)
        for _, sources in [items[i] for i in range(5)]:
            voice = round(float(sources[0, 0].abs()) * 1000) - 1
            crop = sources[1].sign().numpy()
            pairs.add((voice, next(i for i in range(5) if contains(signs[i], crop))))
    assert {voice for voice, _ in pairs} == {noise for _, noise in pairs} == set(range(5))
    assert len(pairs) > 15


def test_a_second_noise_is_of_another_example_and_quieter(tmp_path):
    """Noises that do not overlap in frequency can be told apart in the sum."""
    time = np.arange(LENGTH) / RATE
    tones = [np.sin(2 * np.pi * f * time) for f in (500, 1000, 2000)]
    sources = [np.stack([0.1 * np.sin(2 * np.pi * 3000 * time), 0.1 * tone]) for tone in tones]
    data = mixtures.training(make_manifest(tmp_path, sources), conf(second_noise=1.0), 0)
    data.set_epoch(0)
    counts = []
    for epoch in range(10):
        data.set_epoch(epoch)
        for i in range(len(data)):
            noise = data[i][1][1].double().numpy()
            place = np.arange(len(noise)) / RATE
            power = np.array(
                [abs(np.exp(-2j * np.pi * f * place) @ noise) ** 2 for f in (500, 1000, 2000)]
            )
            levels = np.sort(10 * np.log10(power / power.max() + 1e-12))[::-1]
            counts.append((levels > -20).sum())
            assert counts[-1] == 1 or levels[1] > -mixtures.SECOND_NOISE_DB - 1
    assert max(counts) == 2
    assert min(counts) == 1  # the second may come from the first's file


@pytest.mark.parametrize(("probability", "low", "high"), [(0.0, 40, 40), (0.5, 8, 32), (1.0, 0, 0)])
def test_synthetic_noise_takes_the_place_of_recordings(tmp_path, probability, low, high):
    """Recorded noises are tones of one frequency, made ones hold others."""
    tone = 0.1 * np.sin(2 * np.pi * 1000 * np.arange(LENGTH) / RATE)
    made = make_manifest(tmp_path, [np.stack([tone, tone])] * 4)
    data = mixtures.training(made, conf(synthetic_noise=probability), 0)
    recorded = 0
    for epoch in range(10):
        data.set_epoch(epoch)
        for i in range(4):
            noise = data[i][1][1].double().numpy()
            place = np.exp(-2j * np.pi * 1000 * np.arange(len(noise)) / RATE)
            recorded += 2 * abs(place @ noise) ** 2 / len(noise) > 0.9 * noise @ noise
    assert low <= recorded <= high


def contains(whole: np.ndarray, part: np.ndarray) -> bool:
    windows = np.lib.stride_tricks.sliding_window_view(whole, len(part))
    return bool((windows == part).all(-1).any())


def test_without_remixing_the_triplets_are_cropped_at_one_place(tmp_path):
    files = marked(3)
    items = mixtures.training(make_manifest(tmp_path, files), conf(remix=False), 0)
    places = set()
    for epoch in range(5):
        items.set_epoch(epoch)
        for _, sources in [items[i] for i in range(3)]:
            voice = round(float(sources[0, 0].abs()) * 1000) - 1
            windows = np.lib.stride_tricks.sliding_window_view(files[voice], 1000, axis=1)
            found = np.isclose(windows, sources.numpy()[:, None]).all((0, 2))
            assert found.sum() == 1
            places.add(int(found.argmax()))
    assert len(places) > 10


@pytest.mark.parametrize("remix", [True, False])
def test_a_short_file_stands_at_random_places_in_zeros(tmp_path, remix):
    items = mixtures.training(
        make_manifest(tmp_path, marked(1, time=400)), conf(**STEADY, remix=remix), 0
    )
    places = set()
    for epoch in range(10):
        items.set_epoch(epoch)
        sources = items[0][1]
        assert (sources != 0).sum(-1).tolist() == [400, 400]
        starts = tuple((sources != 0).int().argmax(-1).tolist())
        for source, start in zip(sources, starts, strict=True):
            assert (source[start : start + 400] != 0).all()
        places.add(starts)
    assert len(places) > 5
    assert all(voice == noise for voice, noise in places) != remix


# ---------------------------------------------------------------------- pauses and silence


def reads_of(monkeypatch, source: str) -> list[tuple[int, int]]:
    """Starts and lengths of what is read of one source, from now on."""
    calls, read = [], audio.read

    def spy(path, start=0, frames=-1, *args):
        if source in str(path):
            calls.append((start, frames))
        return read(path, start, frames, *args)

    monkeypatch.setattr(audio, "read", spy)
    return calls


def burst(below_db: float) -> np.ndarray:
    """A voice with one loud sample at its very end; the rest lies below the level of the whole."""
    (pair,) = marked(1, time=60_000)
    pair[0] *= 10 ** (-below_db / 20)
    pair[0, -1] = np.sqrt(60_000 * 1e-6)
    return pair


@pytest.mark.parametrize("remix", [True, False])
@pytest.mark.parametrize(("below_db", "crops"), [(29.0, 1), (33.5, 6), (200.0, 6)])
def test_a_pause_is_drawn_again_up_to_five_times(tmp_path, monkeypatch, remix, below_db, crops):
    files = make_manifest(tmp_path, [burst(below_db)])
    items = mixtures.training(files, conf(**STEADY, remix=remix), 0)
    calls = reads_of(monkeypatch, "voice")
    mix, sources = items[0]
    starts = [start for start, frames in calls if frames == 1000]
    assert len(starts) == crops
    assert len(set(starts)) == crops
    assert mix.isfinite().all()
    assert sources[0].any()  # taken as it is
    whole = [frames for _, frames in calls if frames > 1000]
    assert len(whole) == 1  # the level of the file
    items.set_epoch(1)
    items[0]
    assert len([frames for _, frames in calls if frames > 1000]) == 1  # is measured once


def test_most_pauses_are_avoided(tmp_path):
    (pair,) = marked(1, time=60_000)
    pair[0, :30_000] = 0
    items = mixtures.training(make_manifest(tmp_path, [pair]), conf(examples_per_epoch=300), 0)
    silent = sum(not items[i][1][0].any() for i in range(300))
    assert silent < 25  # half to the sixth of 300 are 5; without drawing again 150


def test_only_the_crop_is_read_where_the_file_is_as_long(tmp_path, monkeypatch):
    items = mixtures.training(make_manifest(tmp_path, marked(3, time=1000)), conf(), 0)
    calls = reads_of(monkeypatch, ".wav")
    for i in range(3):
        items[i]
    assert calls == [(0, 1000)] * 6  # one voice and one noise for each


@pytest.mark.parametrize("silent", [(0,), (1,), (0, 1)])
@pytest.mark.parametrize("remix", [True, False])
@pytest.mark.parametrize("residue", [0.0, 1e-30])
def test_silent_files_give_finite_mixtures(tmp_path, silent, remix, residue):
    (pair,) = marked(1)
    pair[list(silent)] = residue
    data = conf(remix=remix, apply=list(KINDS))
    mix, sources = mixtures.training(make_manifest(tmp_path, [pair]), data, 0)[0]
    assert mix.isfinite().all()
    for i in range(2):
        assert (sources[i].abs().max() < 1e-20) == (i in silent)


def test_a_silent_noise_is_drawn_again_from_another_file(tmp_path):
    files = marked(2)
    files[0][1] = 1e-30  # as good as silent
    items = mixtures.training(make_manifest(tmp_path, files), conf(examples_per_epoch=100), 0)
    silent = sum(float(items[i][1][1].abs().max()) < 1e-20 for i in range(100))
    assert silent < 10  # half to the sixth of 100 are 2; without drawing again 50


# ---------------------------------------------------------------------- order and randomness


def test_an_item_is_a_function_of_seed_epoch_and_index(tmp_path):
    files, data = make_manifest(tmp_path, marked(4)), conf(apply=list(KINDS))
    items, others = (mixtures.training(files, data, 5) for _ in range(2))
    first = {}
    for epoch, index in itertools.product(range(3), range(4)):
        items.set_epoch(epoch)
        first[epoch, index] = items[index]
    for epoch, index in reversed(list(first)):
        others.set_epoch(epoch)
        assert same(first[epoch, index], others[index])
    heard = {mix.numpy().tobytes() for mix, _ in first.values()}
    assert len(heard) == 12
    reseeded = mixtures.training(files, data, 6)
    assert not any(same(reseeded[i], first[0, i]) for i in range(4))


def test_loader_processes_make_the_same_items(tmp_path):
    items = mixtures.training(make_manifest(tmp_path, marked(4)), conf(), 0)
    batches = [[3, 1], [0, 2]]
    here, there = (
        list(DataLoader(items, batch_sampler=batches, num_workers=workers)) for workers in (0, 2)
    )
    assert all(same(a, b) for a, b in zip(here, there, strict=True))
    assert here[0][1].shape == (2, 2, 1000)


def voices(items, epoch: int) -> list[int]:
    items.set_epoch(epoch)
    return [round(float(items[i][1][0, 0].abs()) * 1000) - 1 for i in range(len(items))]


@pytest.mark.parametrize("remix", [True, False])
def test_every_voice_comes_once_in_an_epoch_in_a_shuffled_order(tmp_path, remix):
    items = mixtures.training(make_manifest(tmp_path, marked(12)), conf(**STEADY, remix=remix), 0)
    orders = [voices(items, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] != orders[1] != orders[2]
    assert list(range(12)) not in orders


@pytest.mark.parametrize("size", [1, 5, 12, 17])
def test_with_examples_per_epoch_every_voice_comes_before_one_comes_again(tmp_path, size):
    items = mixtures.training(
        make_manifest(tmp_path, marked(12)), conf(**STEADY, examples_per_epoch=size), 0
    )
    assert len(items) == size
    heard = list(itertools.chain(*(voices(items, epoch) for epoch in range(24 // size + 1))))
    assert sorted(heard[:12]) == sorted(heard[12:24]) == list(range(12))


def test_items_end_where_the_epoch_does(tmp_path):
    items = mixtures.training(make_manifest(tmp_path, marked(2)), conf(), 0)
    for index in (2, -1):
        with pytest.raises(IndexError):
            items[index]


# ---------------------------------------------------------------------- not mixed yet


def make_alone(folder, voices: list[np.ndarray], noises: list[np.ndarray]):
    """A manifest of voices and noises (time,) that are not mixed."""
    rows = []
    (folder / "tree").mkdir(parents=True)
    for source, sounds in (("voice", voices), ("noise", noises)):
        for i, x in enumerate(sounds):
            path = f"{source}{i}.wav"
            soundfile.write(folder / "tree" / path, x.astype(np.float32), RATE, subtype="FLOAT")
            rows.append(manifest.alone(source, path, RATE, len(x), str(i)))
    manifest.write(folder / "train.csv", rows)
    disk.write_yaml(folder / manifest.ROOT_FILE, {"root": str(folder / "tree")})
    return manifest.read(folder / "train.csv")


def test_voices_and_noises_alone_are_mixed(tmp_path):
    """Sizes of samples tell the voice, and after scaling to the SNR the noise's signs its file."""
    voices = [pair[0] for pair in marked(3)]
    noises = [pair[1] for pair in marked(2, seed=1)]
    items = mixtures.training(
        make_alone(tmp_path, voices, noises), conf(**STEADY, examples_per_epoch=24), 0
    )
    pairs = set()
    for mix, sources in [items[i] for i in range(24)]:
        assert torch.equal(mix, sources.sum(0))
        assert measured_snr(sources) == pytest.approx(0, abs=0.01)
        voice = round(float(sources[0].abs().mean()) * 1000) - 1
        signs = np.sign(sources[1].numpy())
        found = [np.correlate(np.sign(noise), signs).max() == 1000 for noise in noises]
        assert sum(found) == 1
        pairs.add((voice, found.index(True)))
    assert len(pairs) == 6


def test_an_epoch_has_a_long_voice_once_per_segment(tmp_path):
    voices = [np.full(time, (i + 1) / 1000) for i, time in enumerate((500, 1999, 2000, 5500))]
    items = mixtures.training(make_alone(tmp_path, voices, voices[:1]), conf(**STEADY), 0)
    assert len(items) == 1 + 1 + 2 + 5
    for epoch in range(2):
        items.set_epoch(epoch)
        heard = [round(float(items[i][1][0].max()) * 1000) for i in range(len(items))]
        assert sorted(heard) == [1, 2, 3, 3, 4, 4, 4, 4, 4]


def test_the_snr_is_that_of_the_speech_without_its_pauses(tmp_path):
    """A voice of which half is pauses, and a short one within zeros."""
    long = np.tile(np.repeat([0.01, 0.0], 4000), 8)
    short = np.full(4000, 0.01)
    noise = np.random.default_rng(0).choice([-0.5, 0.5], 30_000)
    files = make_alone(tmp_path, [long, short], [noise])
    items = mixtures.training(files, conf(segment=1.6, **STEADY | {"snr_db": [6.0, 6.0]}), 0)
    for _, sources in [items[i] for i in range(len(items))]:
        spoken = sources[0][sources[0] != 0]
        level = float(sources[1].abs().max())
        assert float(spoken.max()) == pytest.approx(0.01)
        assert len(spoken) <= 8800
        # frames at the ends of speech hold parts of pauses; over the whole crop it would be 8.5
        assert 5.99 < 20 * np.log10(0.01 / level) < 7.8


def test_a_crop_with_little_speech_is_drawn_again(tmp_path, monkeypatch):
    """A tenth of the file is speech; what is drawn holds some nearly always."""
    voice = np.zeros(80_000)
    voice[40_000:48_000] = 0.01
    files = make_alone(tmp_path, [voice], [np.full(9000, 0.01)])
    items = mixtures.training(files, conf(segment=0.5, examples_per_epoch=200), 0)
    spoken = [float((items[i][1][0] != 0).double().mean()) for i in range(200)]
    once = np.mean([voice[s : s + 4000].any() for s in range(0, 76_001, 100)])
    assert once < 0.17  # so many would hold speech without drawing again
    assert np.mean([share > 0.15 for share in spoken]) > 0.45


def test_a_short_noise_fills_the_segment(tmp_path):
    files = make_alone(tmp_path, [np.full(4000, 0.01)], [np.full(150, 0.01)])
    items = mixtures.training(files, conf(**STEADY), 0)
    assert bool(items[0][1][1].all())


def test_the_same_seed_draws_the_same_of_sources_alone(tmp_path):
    sounds = [pair[0] for pair in marked(3)]
    files = make_alone(tmp_path, sounds, sounds)
    one, two, other = (mixtures.training(files, conf(), seed) for seed in (0, 0, 1))
    assert all(same(one[i], two[i]) for i in range(len(one)))
    assert not all(same(one[i], other[i]) for i in range(len(one)))


def add_rooms(files, *responses):
    """The same manifest with rooms beside it, each response a group."""
    folder = files.path.parent
    rooms = []
    for i, x in enumerate(responses):
        soundfile.write(folder / f"room{i}.wav", x.astype(np.float32), RATE, subtype="FLOAT")
        rooms.append(Room(f"rooms:room{i}.wav", RATE, len(x), str(i)))
    manifest.write(manifest.rooms_of(files.path), rooms, Room._fields)
    tree = disk.read_yaml(folder / manifest.ROOT_FILE) | {"folders": {"rooms": str(folder)}}
    disk.write_yaml(folder / manifest.ROOT_FILE, tree)
    return manifest.read(files.path)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_voices_is_put_into_a_room_drawn_anew(tmp_path, share):
    """Voices of one size become rooms' echoes of two sizes; noises stay of one size."""
    echo = np.zeros(200)
    echo[[30, 31]] = 1, 0.5
    dry = make_manifest(tmp_path, marked(2, time=1000))
    files = add_rooms(dry, echo, np.append(echo, 0.25))
    data = conf(**STEADY, rooms=share, examples_per_epoch=60)
    items = mixtures.training(files, data, 0)
    kinds = []
    for mix, sources in [items[i] for i in range(60)]:
        assert torch.equal(mix, sources.sum(0))
        assert measured_snr(sources) == pytest.approx(0, abs=0.01)
        assert len(sources[1].abs().unique()) <= 2  # one size, rounded twice
        kinds.append(len((sources[0, 400:].abs() * 1e5).round().unique()))
    assert np.mean([kind > 1 for kind in kinds]) == pytest.approx(share, abs=0.2)
    assert len(set(kinds) - {1}) == (2 if share else 0)  # 2 sizes of one echo, more of the other
    assert same(items[3], mixtures.training(files, data, 0)[3])


def test_rooms_are_drawn_evenly_over_their_groups(tmp_path):
    impulse = np.ones(1)
    files = add_rooms(
        make_manifest(tmp_path, marked(1)), *[impulse * (-1) ** (i > 0) for i in range(9)]
    )
    files.rooms[1:] = [room._replace(group="one hall") for room in files.rooms[1:]]
    items = mixtures.training(files, conf(**STEADY, rooms=1.0), 0)
    rng = np.random.default_rng(0)
    turned = np.mean([items._response(rng)[0] < 0 for _ in range(300)])
    assert 0.4 < turned < 0.6


def test_rooms_change_the_hash_and_need_remixing(tmp_path):
    dry = make_manifest(tmp_path, marked(1))
    before = dry.hash
    files = add_rooms(dry, np.ones(3))
    assert files.hash != before
    with pytest.raises(UserError, match=r"data\.remix false.*split_rooms\.csv.*set data\.rooms 0"):
        mixtures.training(files, conf(remix=False), 0)
    assert mixtures.training(files, conf(remix=False, rooms=0.0), 0)[0]


def test_a_list_of_rooms_that_is_none_is_one_line(tmp_path):
    files = add_rooms(make_manifest(tmp_path, marked(1)), np.ones(3))
    for text in ("", "a,b\n1,2\n", "file,sample_rate,num_samples,group\nx,fast,1,a\n"):
        manifest.rooms_of(files.path).write_text(text)
        with pytest.raises(UserError, match=r"split_rooms\.csv: not a list of rooms.*run stage 0"):
            manifest.read(files.path)


@pytest.mark.parametrize(
    ("voices", "noises", "remix", "said"),
    [
        (
            1,
            1,
            False,
            r"data\.remix false takes mixtures as they are, and .*train\.csv holds voices",
        ),
        (0, 1, True, "expected voices and noises, found no voice"),
        (1, 0, True, "expected voices and noises, found no noise"),
    ],
)
def test_faults_of_sources_alone_are_one_line(tmp_path, voices, noises, remix, said):
    sound = [np.full(2000, 0.01)]
    files = make_alone(tmp_path, voices * sound, noises * sound)
    with pytest.raises(UserError, match=said):
        mixtures.training(files, conf(remix=remix), 0)


def test_validation_is_on_mixtures(tmp_path):
    sound = [np.full(2000, 0.01)]
    with pytest.raises(UserError, match="expected mixtures, found voices or noises that are not"):
        mixtures.validation(make_alone(tmp_path, sound, sound), conf())


# ---------------------------------------------------------------------- validation


@pytest.mark.parametrize("time", [1, 999, 1000, 1001, 2000, 2999, 4001])
def test_validation_covers_every_file_in_its_order(tmp_path, time):
    files = marked(2, time=time)
    items = mixtures.validation(make_manifest(tmp_path, files), conf())
    count = -(-time // 1000)
    assert len(items) == 2 * count
    for example in range(2):
        covered = np.zeros((2, max(time, 1000)))
        for k in range(count):
            mix, sources = items[example * count + k]
            assert mix.shape == (1000,)
            assert torch.equal(mix, sources.sum(0))
            start = min(1000 * k, max(0, time - 1000))
            covered[:, start : start + 1000] = sources
        np.testing.assert_array_equal(covered[:, :time], files[example].astype(np.float32))
        assert not covered[:, time:].any()
        assert same(items[example], items[example])


@pytest.mark.parametrize("rate", [5000, 11025, 16000])
def test_validation_at_another_rate(tmp_path, rate):
    """A tone of the file is the same tone at the rate of the settings."""
    tone = 0.1 * np.sin(2 * np.pi * 440 * np.arange(9 * RATE // 8) / RATE)
    files = make_manifest(tmp_path, [np.stack([tone, tone])])
    items = mixtures.validation(files, conf(sample_rate=rate, segment=0.5))
    frames = round(rate * 0.5)
    assert len(items) == 3
    for mix, sources in [items[i] for i in range(3)]:
        assert mix.shape == (frames,)
        spectrum = np.abs(np.fft.rfft(sources[0].numpy()))
        assert abs(spectrum.argmax() * rate / frames - 440) <= 2
        assert float(sources[0].square().mean()) == pytest.approx(0.005, rel=0.02)


def test_validation_is_what_the_files_hold(tmp_path):
    """16-bit triplets: the sum of the sources is the recorded mixture."""
    tree = triplet_trees.make_tree(tmp_path / "tree", {"valid": 2}, length=LENGTH)
    rows = []
    for folder in sorted((tree / "valid").iterdir()):
        mix = next(folder.glob("mix_snr_*"))
        names = [
            str(f.relative_to(tree)) for f in (mix, folder / "voice.wav", folder / "noise.wav")
        ]
        rows.append(Row(folder.name, 0.0, *names, RATE, LENGTH, 1.0, 1.0, 0.0, folder.name))
    manifest.write(tmp_path / "valid.csv", rows)
    disk.write_yaml(tmp_path / manifest.ROOT_FILE, {"root": str(tree)})
    files = manifest.read(tmp_path / "valid.csv")
    items = mixtures.validation(files, conf(segment=LENGTH / RATE))
    for i in range(2):
        np.testing.assert_allclose(items[i][0], files.mix(i), atol=1e-7)


def test_a_silent_end_of_a_file_has_a_finite_loss(tmp_path):
    (pair,) = marked(1, time=2000)
    pair[0, 1000:] = 0
    items = mixtures.validation(make_manifest(tmp_path, [pair]), conf())
    mix, sources = next(iter(DataLoader(items, batch_size=2)))
    settings = config.read("convtasnet")["loss"] | {"sisdr": 1.0}
    loss, _ = SourceLoss(settings)(torch.stack([mix, mix], 1), sources)
    assert loss.isfinite()


# ---------------------------------------------------------------------- batches


@given(
    size=st.integers(1, 60),
    share=st.integers(1, 5),
    world=st.integers(1, 4),
    shuffle=st.booleans(),
    epoch=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_ranks_share_the_batches_of_one_process(size, share, world, shuffle, epoch):
    batch_size = share * world
    if size < (batch_size if shuffle else world):
        with pytest.raises(UserError):
            BatchIndices(size, batch_size, 0, shuffle, world=world)
        return

    def epoch_of(rank, world):
        indices = BatchIndices(size, batch_size, 0, shuffle, rank, world)
        indices.set_epoch(epoch)
        batches = list(indices)
        assert len(batches) == len(indices)
        return batches

    alone = epoch_of(0, 1)
    ranks = [epoch_of(rank, world) for rank in range(world)]
    together = [sorted(itertools.chain(*shares)) for shares in zip(*ranks, strict=True)]
    seen = sorted(itertools.chain(*together))
    if shuffle:
        assert together == [sorted(batch) for batch in alone]
        assert all(len(batch) == batch_size for batch in alone)
        assert all(len(part) == share for rank in ranks for part in rank)
        assert len(set(seen)) == len(seen) == size // batch_size * batch_size
    else:
        assert seen == sorted(itertools.chain(*alone)) == list(range(size))
        assert all(part for rank in ranks for part in rank)


def test_batches_are_shuffled_by_seed_and_epoch():
    def order(seed, epoch):
        indices = BatchIndices(20, 4, seed, True)
        indices.set_epoch(epoch)
        return list(indices)

    orders = [order(0, 0), order(0, 1), order(1, 0)]
    assert order(0, 0) == orders[0]
    assert len({str(batches) for batches in orders}) == 3
    fixed = BatchIndices(5, 2, 0, False)
    fixed.set_epoch(3)
    assert list(fixed) == [[0, 1], [2, 3], [4]]


def test_a_continued_epoch_leaves_out_what_was_seen():
    indices = BatchIndices(20, 4, 0, True)
    indices.set_epoch(1)
    whole = list(indices)
    indices.start(3)
    assert list(indices) == whole[3:]
    assert len(indices) == 5
    indices.set_epoch(1)  # Lightning says so once more
    assert list(indices) == whole[3:]
    indices.set_epoch(2)
    assert len(list(indices)) == 5


# ---------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"snr_db": [5.0, -5.0]}, r"data\.snr_db expects two numbers"),
        ({"snr_db": [-5.0, 0.0, 5.0]}, r"data\.snr_db expects two numbers"),
        ({"gain_db": [3.0]}, r"data\.gain_db expects two numbers"),
        ({"apply": ["pitches", "polarty"]}, r"data\.augment\.apply.*'pitches'"),
    ],
)
def test_faults_of_the_settings_are_one_line(tmp_path, changes, said):
    with pytest.raises(UserError, match=said):
        mixtures.training(make_manifest(tmp_path, marked(1)), conf(**changes), 0)


def test_no_examples_is_one_line(tmp_path):
    empty = make_manifest(tmp_path, [])
    for make in (
        lambda: mixtures.training(empty, conf(), 0),
        lambda: mixtures.validation(empty, conf()),
    ):
        with pytest.raises(UserError, match="no examples"):
            make()


def test_a_file_that_has_changed_is_one_line(tmp_path):
    files = make_manifest(tmp_path, marked(1))
    items = mixtures.training(files, conf(segment=1.0), 0)
    soundfile.write(tmp_path / "tree" / "voice0.wav", np.zeros(100), RATE)
    with pytest.raises(UserError, match=r"voice0\.wav.*stage 0"):
        items[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"batch_size": 3, "world": 2}, "does not divide evenly between 2 processes"),
        ({"batch_size": 11}, "at most the 10 examples"),
        ({"batch_size": 12, "shuffle": False, "world": 12}, "too few"),
    ],
)
def test_batches_that_cannot_be_are_one_line(arguments, said):
    with pytest.raises(UserError, match=said):
        BatchIndices(10, **{"seed": 0, "shuffle": True} | arguments)
