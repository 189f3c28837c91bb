"""Mixtures: what they are made of, at which level, and those of validation."""

import numpy as np
import pytest
import soundfile
import torch
import triplet_trees
from marked_sources import LENGTH, RATE, STEADY, conf, make_manifest, marked, measured_snr, same
from torch.utils.data import DataLoader

from local.base import audio, config, disk
from local.base.errors import UserError
from local.corpus import manifest
from local.corpus.manifest import Row
from local.training import mixtures
from local.training.augment import KINDS
from local.training.losses import SourceLoss

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
