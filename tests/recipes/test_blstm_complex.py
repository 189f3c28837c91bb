"""The recurrent complex mask: what its sizes say, what it sees of the future, its statistics."""

import pytest
import torch
from half_precision import error_in_bfloat16

from local.base.errors import UserError
from local.blocks.stft import STFT
from local.model import separators


def build(recipe="blstm_complex", **changes):
    return separators.build(recipe, "tiny", **changes)


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lstm_parameters(inputs, hidden):
    """One direction of one layer: four gates of weights and two biases."""
    return 4 * hidden * (inputs + hidden + 2)


def test_parameters_are_those_of_the_layers():
    bins, width, hidden = 257, 256, 256
    expected = 3 * bins * width + width + 2 * lstm_parameters(width, hidden)
    expected += 2 * lstm_parameters(2 * hidden, hidden) + (2 * hidden + 1) * 2 * bins
    assert separators.count_parameters(separators.build("blstm_complex")) == expected == 3_090_946


def test_a_mask_of_one_returns_the_mixture():
    separator = build()
    network = separator.network
    with torch.no_grad():
        network.mask.weight.zero_()
        network.mask.bias.copy_(torch.cat((torch.ones(257), torch.zeros(257))))
        mix = noise(2, 5001)
        voice, residue = separator(mix).unbind(1)
    torch.testing.assert_close(voice, mix, rtol=0, atol=1e-6)
    torch.testing.assert_close(residue, torch.zeros_like(mix), rtol=0, atol=1e-6)


def test_shifts_are_the_mean_of_delayed_mixtures():
    one, four = build(shifts=1), build(shifts=4)
    mix = noise(2, 5001)
    with torch.no_grad():
        delays = (0, 64, 128, 192)
        padded = [torch.nn.functional.pad(mix, (n, 256 - n)) for n in delays]
        voices = [one(x)[:, 0, n : n + 5001] for n, x in zip(delays, padded, strict=True)]
        found = four(mix)
    torch.testing.assert_close(found[:, 0], sum(voices) / 4, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.sum(1), mix, rtol=0, atol=1e-6)
    torch.manual_seed(0)
    in_training = four.train()(mix)
    torch.manual_seed(0)
    assert torch.equal(in_training, one.train()(mix))


@pytest.mark.parametrize(("recipe", "shifts"), [("blstm_complex", 3), ("lstm_complex", 2)])
def test_shifts_that_cannot_be(recipe, shifts):
    with pytest.raises(UserError, match=f"shifts {shifts}"):
        build(recipe, shifts=shifts)


def test_only_one_of_the_two_looks_ahead():
    assert build().network.recurrent.bidirectional
    assert not build("lstm_complex").network.recurrent.bidirectional


def test_statistics_bring_the_training_set_to_mean_0_and_deviation_1():
    network = build(shifts=1).network
    mix = noise(4, 16000) * torch.tensor([[0.1], [1.0], [3.0], [0.5]])
    with torch.no_grad():
        network.fit([(mix[:2], None), (mix[2:], None)])
        seen = []
        handle = network.reduce.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        network(mix)
        handle.remove()
    frames = seen[0].flatten(0, 1)
    torch.testing.assert_close(frames.mean(0), torch.zeros(771), rtol=0, atol=1e-3)
    # the imaginary parts at 0 Hz and half the rate are always 0 and stay so
    deviation = frames.std(0, correction=0)
    still = torch.zeros(771, dtype=bool)
    still[[2 * 257, 3 * 257 - 1]] = True
    torch.testing.assert_close(deviation[~still], torch.ones(769), rtol=0, atol=1e-3)
    assert not frames[:, still].any()


def test_the_two_recipes_share_their_network():
    first, second = (separators.network_class(r, "ComplexMaskLSTM") for r in
                     ("blstm_complex", "lstm_complex"))  # fmt: skip
    assert first is second


def test_gradients_reach_every_parameter():
    separator = build()
    mix = noise(2, 4000)
    separator.train()(mix)[:, 0].square().sum().backward()
    for name, parameter in separator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_bfloat16_stays_close():
    assert error_in_bfloat16(build(), noise(2, 8000)) < 10**-3.5  # -35 dB
    with torch.autocast("cpu", torch.bfloat16):
        assert STFT(512, 256)(noise(2, 8000)).dtype == torch.complex64
