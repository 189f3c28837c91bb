"""Mixtures of voices and noises that are not mixed yet."""

import numpy as np
import pytest
import soundfile
import torch
from marked_sources import RATE, STEADY, conf, marked, measured_snr, same

from local.base import disk
from local.base.errors import UserError
from local.corpus import manifest
from local.training import mixtures


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
