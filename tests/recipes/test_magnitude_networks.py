"""Networks over magnitudes, recurrent, dense and convolutional: sizes, masks, training."""

import sys
from itertools import pairwise

import pytest
import torch
from half_precision import error_in_bfloat16

from local.blocks import masks, on_stft
from local.model import separators
from local.training.losses import si_sdr

MASKS_OF_ONE = ("cdae", "cnn", "deep_clustering", "deep_rnn")
MAGNITUDES = ("denoising_autoencoder",)
BINARY = ("deep_clustering", "deep_karaoke")
RECIPES = sorted({*MASKS_OF_ONE, *MAGNITUDES, *BINARY, "blstm"})


def build(recipe, **changes):
    return separators.build(recipe, "tiny", **changes)


def on_meta(recipe, name, **arguments):
    """The number of parameters of a network that is never filled."""
    with torch.device("meta"):
        network = separators.network_class(recipe, name)(**arguments)
    return sum(p.numel() for p in network.parameters())


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def dense(*sizes):
    return sum((inside + 1) * out for inside, out in pairwise(sizes))


# ---------------------------------------------------------------- every one of them


@pytest.mark.parametrize("recipe", RECIPES)
def test_gradients_reach_every_parameter(recipe):
    network = build(recipe).network.train()
    sources = noise(2, 2, 8000)
    network.loss(sources.sum(1), sources)[0].backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("recipe", RECIPES)
def test_training_on_silence_is_finite(recipe):
    network = build(recipe).network.train()
    sources = torch.zeros(2, 2, 5000)
    sources[0, 1] = noise(5000)
    network.loss(sources.sum(1), sources)[0].backward()
    assert all(p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_level_goes_through_and_silence_is_silence(recipe):
    separator = build(recipe)
    mix = noise(1, 5000)
    with torch.no_grad():
        out = separator(mix)
        for gain in (2.0**-13, 2.0**7):  # exact in floats: binary masks do not move
            torch.testing.assert_close(separator(gain * mix) / gain, out, rtol=0, atol=1e-5)
        assert not separator(torch.zeros(1, 5000)).any()


@pytest.mark.parametrize("recipe", RECIPES)
def test_bfloat16_stays_close(recipe):
    """What the network says, within -30 dB; binary masks are 0 or 1 and may turn where in doubt."""
    network = build(recipe).network
    error = error_in_bfloat16(network.estimate, noise(2, 513, 30).abs() * 10)
    assert error < (0.1 if recipe == "deep_clustering" else 1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_masks_and_magnitudes(recipe):
    network = build(recipe).network
    with torch.no_grad():
        estimate = network.estimate(noise(2, 513, 7).abs())
    assert estimate.shape == (2, 2, 513, 7)
    assert estimate.min() >= 0
    assert network.output == ("magnitude" if recipe in MAGNITUDES else "mask")
    if recipe in MASKS_OF_ONE:
        torch.testing.assert_close(estimate.sum(1), torch.ones(2, 513, 7))
    if recipe in BINARY:
        assert set(network.applied(estimate).unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("recipe", ["blstm", "cdae", "cnn", "denoising_autoencoder"])
def test_learnt_is_the_squared_error_of_magnitudes(recipe):
    network = build(recipe).network
    sources = noise(2, 2, 3000)
    with torch.no_grad():
        estimate, wanted = network.compared(sources.sum(1), sources)
        loss, terms = network.loss(sources.sum(1), sources)
    torch.testing.assert_close(loss, (estimate - wanted).square().mean())
    assert list(terms) == ["mse"]


# ---------------------------------------------------------------- BLSTM


def test_blstm_has_the_layers_of_open_unmix():
    def lstm(inputs):  # both directions of 256 cells
        return 2 * 4 * 256 * (inputs + 256 + 2)

    bins, outputs = 513, 2 * 513
    expected = bins * 512 + 2 * 512 + 3 * lstm(512)
    expected += 1024 * 512 + 2 * 512 + 512 * outputs + 2 * outputs
    assert on_meta("blstm", "MagnitudeBLSTM") == expected


def test_blstm_scales_by_statistics_of_the_training_set():
    network = build("blstm").network
    sources = noise(4, 2, 8000) * torch.tensor([1.0, 10.0])[None, :, None]
    seen = []
    with torch.no_grad():
        network.fit([(part.sum(1), part) for part in sources.split([1, 3])])
        handle = network.reduce.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        network(sources.sum(1))
        handle.remove()
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(513), rtol=0, atol=1e-3)
    torch.testing.assert_close(seen[0].std(0, correction=0), torch.ones(513), rtol=0, atol=1e-3)
    ideal = on_stft.ideal_mask("ratio", network.stft(sources))
    expected = ideal.mean((0, 3)).flatten()
    torch.testing.assert_close(network.mask_mean, expected, rtol=1e-4, atol=1e-5)
    deviation = ideal.permute(1, 2, 0, 3).flatten(2).std(-1, correction=0).flatten()
    torch.testing.assert_close(network.mask_deviation, deviation, rtol=1e-3, atol=1e-5)
    voice, other = network.mask_mean.unflatten(0, (2, -1))
    torch.testing.assert_close(voice + other, torch.ones(513))
    assert voice.mean() < 0.2 < 0.8 < other.mean()


def test_blstm_of_an_odd_width():
    with pytest.raises(ValueError, match="hidden_size 33"):
        separators.network_class("blstm", "MagnitudeBLSTM")(hidden_size=33)


# ---------------------------------------------------------------- deep karaoke


def karaoke():
    build("deep_karaoke")
    return sys.modules["recipes.deep_karaoke.model"]


def test_deep_karaoke_has_nearly_the_papers_billion():
    papers = on_meta("deep_karaoke", "DeepKaraoke", window=2048, hop=512, hidden_size=20 * 1025)
    assert papers == dense(20500, 20500, 20500) == 840_541_000
    assert on_meta("deep_karaoke", "DeepKaraoke") == dense(10260, 10260, 10260)


@pytest.mark.parametrize("total", [1, 4, 5, 6, 9, 23])
@pytest.mark.parametrize("step", [1, 2, 5])
def test_windows_overlap_and_their_mean_gives_the_frames_back(total, step):
    model = karaoke()
    x = noise(2, 3, total)
    cut = model.windows(x, 5, step)
    count = cut.shape[1]
    assert (count - 1) * step + 5 >= total
    for place in range(min(count, (max(total - 5, 0)) // step + 1)):
        piece = x[..., place * step : place * step + 5]
        assert torch.equal(cut[:, place, :, : piece.shape[-1]], piece)
    torch.testing.assert_close(model.overlapped_mean(cut, total, step), x)
    # each window says its own number: the mean over those that hold a frame
    said = torch.arange(float(count)).view(1, -1, 1, 1).expand(1, -1, 1, 5)
    mean = model.overlapped_mean(said, total, step).flatten()
    for frame in range(total):
        holders = [w for w in range(count) if w * step <= frame < w * step + 5]
        assert mean[frame] == pytest.approx(sum(holders) / len(holders))


def test_deep_karaoke_holds_probabilities_against_the_threshold():
    estimate = torch.tensor([[[[0.55, 0.8, 0.2]], [[0.45, 0.2, 0.8]]]])
    applied = build("deep_karaoke").network.applied(estimate)
    assert applied.flatten(1).tolist() == [[1, 1, 0, 0, 0, 1]]
    unsure = build("deep_karaoke", threshold=0.7).network.applied(estimate)
    assert unsure.flatten(1).tolist() == [[0, 1, 0, 0, 0, 1]]


@pytest.mark.parametrize("weighted", [False, True])
def test_deep_karaoke_learns_the_ideal_binary_mask(weighted):
    network = build("deep_karaoke", frames=4, training_step=4, weighted=weighted).network
    sources = noise(1, 2, 11 * 256)  # 12 frames: three windows
    with torch.no_grad():
        loss, _ = network.loss(sources.sum(1), sources)
        network.step = 4
        magnitude = network.stft(sources.sum(1)).abs()
        magnitude = magnitude / on_stft.level(magnitude)
        voice = network.estimate(magnitude)[:, 0]
    ideal = masks.binary(*network.stft(sources).unbind(1))[:, 0]
    weights = magnitude if weighted else None
    expected = torch.nn.functional.binary_cross_entropy(voice, ideal, weights)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


def test_deep_karaoke_sees_log_magnitudes_of_one_deviation_at_every_frequency():
    """However loud a frequency is: of plain magnitudes, nearly all inputs would be near 0."""
    network = build("deep_karaoke").network
    slope = torch.logspace(0, -3, 4001)
    sources = torch.fft.irfft(torch.fft.rfft(noise(6, 2, 8000)) * slope, 8000)
    seen = []
    with torch.no_grad():
        network.fit([(part.sum(1), part) for part in sources.split([2, 4])])
        network.step = network.frames = 1
        network.network = torch.nn.Sequential(torch.nn.Identity())
        handle = network.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        network(sources.sum(1))
        handle.remove()
    frames = seen[-1].flatten(0, 1)  # (batch x frame, frequency)
    torch.testing.assert_close(frames.mean(0), torch.zeros(513), rtol=0, atol=1e-3)
    torch.testing.assert_close(frames.std(0, correction=0), torch.ones(513), rtol=0, atol=1e-3)
    plain = build("deep_karaoke", logarithmic=False).network
    plain.fit([])
    assert "mean" not in dict(plain.named_buffers())


@pytest.mark.parametrize("arguments", [{"step": 0}, {"training_step": 21}, {"threshold": 1.0}])
def test_deep_karaoke_leaves_no_frame_or_source_out(arguments):
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} "):
        separators.network_class("deep_karaoke", "DeepKaraoke")(hidden_size=2, **arguments)


# ---------------------------------------------------------------- deep recurrent network


def test_deep_rnn_has_the_layers_of_the_paper():
    expected = dense(3 * 513, 1000) + 2 * 1000 * 1001 + dense(1000, 1000, 2 * 513)
    assert on_meta("deep_rnn", "DeepRNN") == expected


def test_deep_rnn_sees_one_frame_ahead_and_all_before():
    network = build("deep_rnn").network
    magnitude = noise(1, 513, 20).abs()
    changed = magnitude.clone()
    changed[..., 10] += 1
    with torch.no_grad():
        moved = network.estimate(changed) - network.estimate(magnitude)
    moved = moved.abs().sum((0, 1, 2)) > 0
    assert moved.tolist() == [False] * 9 + [True] * 11


def test_deep_rnn_is_to_be_unlike_the_other_source():
    network = build("deep_rnn", discrimination=0.3).network
    sources = noise(2, 2, 3000)
    with torch.no_grad():
        loss, _ = network.loss(sources.sum(1), sources)
        estimate, wanted = network.compared(sources.sum(1), sources)
    own = (estimate - wanted).square().mean()
    other = (estimate[:, [1, 0]] - wanted).square().mean()
    torch.testing.assert_close(loss, own - 0.3 * other)


# ---------------------------------------------------------------- convolutions


def test_cdae_has_the_weights_of_the_paper():
    """Grais and Plumbley 2017, table 1."""
    channels = (1, 12, 20, 30, 40, 30, 20, 12, 1)
    expected = sum((9 * inside + 1) * out for inside, out in pairwise(channels))
    assert expected == 37_101
    assert on_meta("cdae", "ConvolutionalAutoencoder") == 2 * expected


def test_cdae_pools_25_frequencies_and_3_frames_into_one():
    network = build("cdae", channels=[2, 3, 4, 5]).network.networks[0]
    sizes = []
    for layer in network:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(lambda _, inputs, out: sizes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        out = network(noise(1, 1, 525, 15))
    full, half, middle = (525, 15), (105, 5), (21, 5)
    assert sizes == [(2, *full), (3, *half), (4, *middle), (5, *middle), (4, *middle),
                     (3, *middle), (2, *half), (1, *full)]  # fmt: skip
    assert out.shape == (1, 1, 525, 15)


def test_cdae_takes_from_the_mixture_what_pooling_removes():
    """As a mask, the same networks leave a mixture whole; as magnitudes, they cannot."""
    mix = noise(1, 8000)
    for output, whole in (("mask", True), ("magnitude", False)):
        separator = build("cdae", output=output)
        separator.consistency = "none"
        with torch.no_grad():
            rest = separator(mix).sum(1) - mix
        assert (rest.square().mean() < 1e-8 * mix.square().mean()) == whole


def test_cdae_of_too_few_layers():
    with pytest.raises(ValueError, match="more than 2 layers"):
        separators.network_class("cdae", "ConvolutionalAutoencoder")(channels=[4, 4])


@pytest.mark.parametrize(("kernel", "count"), [(3, 3), (5, 2)])
def test_cnn_sees_as_far_as_its_kernels(kernel, count):
    network = build("cnn", kernel=kernel, channels=[3] * count).network
    with torch.no_grad():  # no rectifier is to hide anything
        for parameter in network.parameters():
            parameter.abs_()
    magnitude = noise(1, 61, 61).abs().requires_grad_()
    network.estimate(magnitude)[0, 0, 30, 30].backward()
    seen = magnitude.grad[0].abs() > 0
    reach = (count + 1) * (kernel // 2)
    assert seen.any(0).nonzero().flatten().tolist() == list(range(30 - reach, 31 + reach))
    assert seen.any(1).nonzero().flatten().tolist() == list(range(30 - reach, 31 + reach))


def test_cnn_has_the_channels_of_cdae():
    channels = (1, 12, 20, 30, 40, 30, 20, 12, 2)
    expected = sum((25 * inside + 1) * out for inside, out in pairwise(channels))
    assert on_meta("cnn", "MaskCNN") == expected
    with pytest.raises(ValueError, match="kernel 4"):
        separators.network_class("cnn", "MaskCNN")(kernel=4)


# ---------------------------------------------------------------- denoising autoencoder


def test_denoising_autoencoder_sees_one_frame_at_a_time():
    network = build("denoising_autoencoder").network
    magnitude = noise(1, 513, 9).abs()
    with torch.no_grad():
        together = network.estimate(magnitude)
        alone = network.estimate(magnitude[..., 4:5])
    torch.testing.assert_close(together[..., 4:5], alone)
    expected = dense(513, 512, 128, 512, 2 * 513)
    assert on_meta("denoising_autoencoder", "DenoisingAutoencoder") == expected


@pytest.mark.parametrize("recipe", MAGNITUDES)
def test_magnitudes_of_the_sources_would_separate_them(recipe):
    network = build(recipe).network
    sources = noise(1, 2, 8000)
    mix = sources.sum(1)
    unit = on_stft.level(network.stft(mix).abs()).unsqueeze(1)
    network.estimate = lambda _: network.stft(sources).abs() / unit
    with torch.no_grad():
        gain = si_sdr(network(mix), sources) - si_sdr(mix.unsqueeze(1), sources)
    assert gain.min() > 3
