"""RNNoise: its delay is gone, and nothing but the noise is lost."""

import pytest
import torch
import triplet_trees

from local import ROOT
from local.base import audio
from local.model import separators

pytest.importorskip("pyrnnoise")


def buzz(rate, seconds=2):
    voice, _ = triplet_trees.signals(0, seconds * rate, rate)
    return torch.from_numpy(voice / 32768.0).float().unsqueeze(0)


@pytest.mark.parametrize("rate", [16000, 48000, 44100])
def test_the_voice_is_in_time_with_the_mixture(rate):
    speech, found = audio.read(ROOT / "egs_data" / "test" / "0001" / "voice.wav")
    mix = torch.from_numpy(audio.resample(speech, found, rate)).unsqueeze(0)
    voice = separators.network_class("rnnoise", "RNNoise")(sample_rate=rate)(mix)[:, 0]
    assert voice.shape == mix.shape
    spectra = torch.fft.rfft(torch.stack((voice, mix)), 2 * mix.shape[-1])
    cross = torch.fft.irfft(spectra[0] * spectra[1].conj())
    assert cross.argmax() == 0


def test_the_noise_is_what_is_left_of_the_mixture():
    mix = buzz(16000)
    estimates = separators.build("rnnoise")(mix)
    torch.testing.assert_close(estimates.sum(1), mix, rtol=0, atol=1e-6)


def test_white_noise_is_removed():
    mix = 0.05 * torch.randn(1, 48000, generator=torch.Generator().manual_seed(0))
    voice, noise = separators.build("rnnoise")(mix)[0, :, 16000:].square().mean(-1)
    assert voice < 0.01 * noise


def test_an_example_starts_anew():
    separator = separators.build("rnnoise")
    mix = buzz(16000)
    first, second = separator(mix), separator(torch.cat((mix, mix)))
    assert torch.equal(first, second[:1])
    assert torch.equal(first, second[1:])


def test_loud_samples_are_not_clipped():
    mix = 3 * buzz(16000) / buzz(16000).abs().amax()
    assert separators.build("rnnoise")(mix)[:, 0].abs().amax() > 1.5
