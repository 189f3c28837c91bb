"""Filterbanks: what they give back, where their bands lie, what learns, and every refusal."""

import asteroid_filterbanks
import numpy as np
import pytest
import torch
from asteroid_filterbanks import make_enc_dec

from local.base.errors import UserError
from local.model import checkpoint, filterbanks, separators

RATE = 16000
NARROW = {
    "n_blocks": 2, "n_repeats": 1, "bn_chan": 4, "hid_chan": 8, "skip_chan": 4,
    "n_filters": 128, "kernel_size": 64, "stride": 16,
}  # fmt: skip
OWN = {"harmonic": {"harmonics": 1}, "multi_scale": {"scales": 2}, "mel": {"n_mels": 16}}
LAPPED = {"kernel_size": 128, "stride": 64}  # the sizes that cosine takes, of 128 filters


def pair(name, n_filters=512, kernel=64, stride=16, **own):
    """An encoder and a decoder, as a network has them."""
    encoder, decoder = make_enc_dec(name, n_filters, kernel, stride, sample_rate=RATE, **own)
    if name == "mel":
        decoder.filterbank.pair(encoder.filterbank)
    return encoder, decoder


def white(length, seed=0):
    return torch.randn(1, 1, length, generator=torch.Generator().manual_seed(seed))


def back(encoder, decoder, x, mask=1.0):
    """What one source gets of x through analysis, mask and synthesis: (time,)."""
    with torch.no_grad():
        return decoder(mask * encoder(x).unsqueeze(1)).squeeze()


def error_db(x, y):
    """Of y against x, without the ends, where frames are missing."""
    x, y = x.squeeze()[600:-600], y[600 : x.shape[-1] - 600]
    return 10 * ((x - y).square().mean() / x.square().mean()).log10().item()


@pytest.mark.parametrize(
    ("name", "most"),
    [("gabor", -54), ("param_sinc", -51), ("harmonic", -52), ("multi_scale", -90),
     ("multi_phase_gammatone", -45), ("mel", -110)],
)  # fmt: skip
def test_white_noise_comes_back(name, most):
    encoder, decoder = pair(name)
    x = white(16001)
    error = error_db(x, back(encoder, decoder, x))
    assert error < most
    if name != "mel":
        assert error == pytest.approx(decoder.filterbank.lost_db, abs=1.0)


@pytest.mark.parametrize(
    ("name", "size"),
    [("gabor", (512, 32, 16)), ("gabor", (128, 32, 16)), ("gabor", (512, 256, 128)),
     ("param_sinc", (512, 512, 128)), ("harmonic", (512, 128, 32)),
     ("multi_scale", (512, 512, 128)), ("mel", (512, 512, 128)),
     ("multi_phase_gammatone", (128, 32, 16)), ("multi_scale", (512, 100, 30))],
)  # fmt: skip
def test_other_sizes_come_back_too(name, size):
    encoder, decoder = pair(name, *size)
    x = white(12000)
    assert error_db(x, back(encoder, decoder, x)) < -30


@pytest.mark.parametrize("rectified", [False, True])
@pytest.mark.parametrize("half", [2, 5, 128])
def test_lapped_cosines_give_a_signal_back_exactly(half, rectified):
    filters = half * (1 + rectified)
    encoder, decoder = pair("cosine", filters, 2 * half, half)
    x = white(2000)
    spectrum = encoder(x).relu() if rectified else encoder(x)
    assert spectrum.shape[1] == filters
    with torch.no_grad():
        y = decoder(spectrum.unsqueeze(1)).squeeze()
    assert error_db(x, y) < -90
    # all see as much of white noise: the transform is orthogonal
    power = encoder.filterbank.filters().square().sum((1, 2))
    torch.testing.assert_close(power, torch.ones(filters))


def test_lapped_cosines_make_up_for_a_gate_that_is_half_open():
    encoder, decoder = pair("cosine", 64, 64, 32, gain=2.0)
    x = white(3000)
    gated = 0.5 * encoder(x).relu()
    with torch.no_grad():
        assert error_db(x, decoder(gated.unsqueeze(1)).squeeze()) < -90


def test_a_gabor_has_half_its_gain_at_its_cut_offs():
    # a window so long that it holds the whole filter
    bank = filterbanks.ComplexGabor(64, 4096, 16, RATE, min_low_hz=300.0, min_band_hz=200.0)
    wave = bank.filters().detach().squeeze(1)
    wave = torch.complex(wave[:32], -wave[32:])
    low = 300 + 1000 * bank.low_khz.abs()
    band = 200 + 1000 * bank.band_khz.abs()
    for k in (0, 10, 20):

        def gain(hz, k=k):
            times = torch.arange(4096) / RATE
            tone = torch.polar(torch.ones(4096), 2 * torch.pi * hz.detach() * times)
            return (wave[k] * tone).sum().abs()

        peak = gain(low[k] + band[k] / 2)
        assert gain(low[k]) / peak == pytest.approx(0.5, rel=1e-2)
        assert gain(low[k] + band[k]) / peak == pytest.approx(0.5, rel=1e-2)


def test_band_passes_are_those_of_asteroid():
    ours = filterbanks.SincBandPass(64, 129, 16, RATE)
    theirs = asteroid_filterbanks.ParamSincFB(64, 129, 16, RATE, min_low_hz=20, min_band_hz=50)
    with torch.no_grad():
        ours.low_khz.copy_(theirs.low_hz_[:, 0] / 1000)
        ours.band_khz.copy_(theirs.band_hz_[:, 0] / 1000)
        found, expected = (torch.nn.functional.normalize(shapes.squeeze(1), dim=1)
                           for shapes in (ours.shapes(), theirs.filters()))  # fmt: skip
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["gabor", "param_sinc"])
def test_a_step_of_a_cut_off_can_be_heard(name):
    bank = filterbanks.BANKS[name](64, 128, 16, RATE)
    before = bank.filters().detach()
    optimiser = torch.optim.Adam(bank.parameters(), lr=1e-3)
    generator = torch.Generator().manual_seed(0)
    (bank.filters() * torch.randn(before.shape, generator=generator)).sum().backward()
    optimiser.step()
    moved = (bank.filters().detach() - before).norm() / before.norm()
    assert 1e-3 < moved < 0.1


def test_harmonics_lie_at_multiples_of_their_fundamental():
    bank = filterbanks.Harmonic(512, 128, 16, RATE, harmonics=4)
    power = torch.fft.rfft(bank.filters().squeeze(1)[:256].detach(), 16384).abs()
    peaks = (power.argmax(1) * RATE / 16384).reshape(4, 64)
    for order in (2, 3, 4):
        torch.testing.assert_close(peaks[order - 1, 30:], order * peaks[0, 30:], rtol=0.03, atol=60)
    assert bank.centres.max() == pytest.approx(8000, rel=1e-4)
    assert bank.centres.min() == pytest.approx(32.7, rel=1e-4)


def test_scales_are_quarters_and_stay_so():
    bank = filterbanks.MultiScale(96, 64, 16, RATE, scales=3)
    optimiser = torch.optim.SGD(bank.parameters(), lr=1.0)
    bank.filters().square().mean(1).sum().backward()
    optimiser.step()
    lengths = bank.shapes().detach().ne(0).sum(1)
    # the ends of a window are zeros or not; no sample beyond it is heard
    assert lengths[:32].max() <= 64
    assert lengths[:32].min() > 32
    assert lengths[32:64].max() <= 16
    assert lengths[64:].max() <= 4
    starts = bank.within[32:64].argmax(1).unique()
    assert len(starts) == 2  # 16 samples every 8: two places in a stride of 16


def test_gammatones_have_the_ears_centres_and_come_in_pairs():
    bank = filterbanks.MultiPhaseGammatone(128, 400, 16, RATE)
    shapes = bank.shapes()
    torch.testing.assert_close(shapes[64:], -shapes[:64])
    peaks = torch.fft.rfft(shapes[:64], 16000).abs().argmax(1).numpy()  # Hz
    steps = 9.265 * np.log((1 + peaks / (24.7 * 9.265)) / (1 + 100 / (24.7 * 9.265)))
    np.testing.assert_allclose(steps, steps.round(), atol=0.15)  # it moves a little with the phase
    assert sorted(set(steps.round())) == list(range(len(set(steps.round()))))
    assert len(set(steps.round())) == 30  # from 100 Hz to below 8 kHz


def test_mel_keeps_the_mixtures_phase():
    encoder, decoder = pair("mel", 512, 512, 128)
    x = white(8000)
    assert encoder(x).shape == (1, 64, 59)
    assert bool((encoder(x) >= 0).all())
    torch.testing.assert_close(back(encoder, decoder, x, 0.25), 0.25 * back(encoder, decoder, x))
    # a mask over bands is a gain over frequency: low bands leave a low-pass of the mixture
    mask = (torch.arange(64) < 32).float().reshape(1, 1, 64, 1)
    low = back(encoder, decoder, x, mask)[600:-600]
    power = torch.fft.rfft(low).abs() ** 2
    assert power[-len(power) // 2 :].sum() < 1e-4 * power.sum()
    silence = torch.zeros(1, 1, 4000)
    assert not back(encoder, decoder, silence).any()


@pytest.mark.parametrize("name", filterbanks.BANKS)
def test_a_network_with_it_learns_saves_and_loads(name, tmp_path):
    own = {"filterbank": OWN.get(name, {})}
    size = NARROW | own | (LAPPED if name == "cosine" else {})
    separator = separators.build("convtasnet", "tiny", **size, fb_name=name)
    mix = white(3001).squeeze(1)
    estimates = separator(mix)
    assert estimates.shape == (1, 2, 3001)
    estimates[:, 0].square().sum().backward()
    bank = separator.network.encoder.filterbank
    learns = {key: p.grad.abs().sum() for key, p in bank.named_parameters() if p.requires_grad}
    assert all(gradient > 0 for gradient in learns.values())
    assert bool(learns) == (name not in ("multi_phase_gammatone", "mel"))
    with torch.no_grad():
        for parameter in bank.parameters():
            parameter.mul_(1.1)
    checkpoint.save(tmp_path / "m.pth", separator, {})
    torch.testing.assert_close(separators.load(tmp_path / "m.pth")(mix), separator(mix))


@pytest.mark.parametrize("recipe", ["convtasnet_causal", "dprnn", "lstm_tasnet", "dptnet"])
@pytest.mark.parametrize("name", ["gabor", "param_sinc", "mel"])
def test_other_recipes_take_them(recipe, name):
    size = {"n_filters": 512, "kernel_size": 32, "stride": 16}
    estimates = separators.build(recipe, "tiny", **size, fb_name=name)(white(1501).squeeze(1))
    assert estimates.shape == (1, 2, 1501)
    assert bool(estimates.isfinite().all())


def test_a_batch_after_another_uses_its_own_mixture():
    separator = separators.build("convtasnet", "tiny", **NARROW, fb_name="mel",
                                 filterbank={"n_mels": 16})  # fmt: skip
    first, second = white(2000).squeeze(1), white(3000, 1).squeeze(1)
    expected = separator(first)
    separator(second)
    torch.testing.assert_close(separator(first), expected)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"fb_name": "gabors"}, ["'gabor'"]),
        ({"fb_name": "gabor", "n_filters": 33}, ["even", "33"]),
        ({"fb_name": "cosine"}, ["stride 16", "kernel_size 32", "16 or 32", "64 and 128"]),
        ({"fb_name": "gabor", "filterbank": {"harmonics": 2}}, ["harmonics", "gabor"]),
        ({"fb_name": "harmonic", "filterbank": {"harmonics": 3}}, ["128", "harmonics 3"]),
        ({"fb_name": "harmonic", "stride": 64}, ["harmonic", "white noise", "model.stride"]),
        ({"fb_name": "multi_scale", "filterbank": {"scales": 4}}, ["scales 4", "64"]),
        ({"fb_name": "multi_scale", "n_filters": 2}, ["n_filters 2", "scales 3", "6"]),
        ({"fb_name": "multi_phase_gammatone", "n_filters": 32}, ["32", "at least"]),
        ({"fb_name": "mel", "filterbank": {"n_mels": 64}}, ["n_mels 64", "model.n_filters"]),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(overrides, parts):
    with pytest.raises(UserError) as caught:
        separators.build("convtasnet", "tiny", **NARROW | overrides)
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line, line


def test_asteroid_finds_them_by_both_names():
    for name, bank in filterbanks.BANKS.items():
        assert asteroid_filterbanks.get(name) is asteroid_filterbanks.get(bank.__name__) is bank
