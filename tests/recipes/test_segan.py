"""Facts of the paper on SEGAN (Pascual, Bonafonte and Serrà 2017)."""

import itertools

import pytest
import torch
from scipy import signal

from local.base import config
from local.model import separators

TINY = {"features": [4, 4, 8], "window": 64, "references": 3}


def noise(*shape, seed=0):
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def build(**changes):
    return separators.build("segan", "tiny", **TINY | changes).network


def module():
    return separators.sys.modules["recipes.segan.model"]


def test_sizes_are_the_papers():
    conf = config.read("segan")
    with torch.device("meta"):
        network = separators.network_class("segan", conf["class"])(**conf["model"])
        adversary = network.adversary()
    widths = [1, 16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024]
    down = sum(a * b * 31 for a, b in itertools.pairwise(widths))
    up = sum(2 * b * a * 31 for a, b in itertools.pairwise(widths))
    offsets = 2 * sum(widths) - 1 - 1024  # convolutions both ways, the last of them of 1 feature
    bends, skips = 2 * sum(widths[1:]) - 1024, sum(widths[1:-1])
    count = sum(p.numel() for p in network.parameters())
    assert count == down + up + offsets + bends + skips
    assert count == pytest.approx(73e6, rel=0.01)
    theirs = down + 16 * 31 + sum(widths[1:]) * 3 + 1024 + 1 + 8 + 1
    assert sum(p.numel() for p in adversary.parameters()) == theirs
    assert theirs == pytest.approx(24e6, rel=0.02)


def test_emphasis_is_undone():
    x = noise(2, 3000).double()
    expected = signal.lfilter([1, -0.95], [1], x.numpy())
    torch.testing.assert_close(module().emphasised(x, 0.95), torch.from_numpy(expected))
    back = module().deemphasised(module().emphasised(x, 0.95), 0.95)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)


@pytest.mark.parametrize("time", [1, 63, 64, 65, 1000])
def test_windows_cover_a_recording_evenly(time, monkeypatch):
    network = build()
    monkeypatch.setattr(network, "generate", lambda mix: 0.5 * mix)
    mix = noise(2, time)
    voice, rest = network(mix).unbind(1)
    torch.testing.assert_close(voice, 0.5 * mix, rtol=0, atol=1e-6)
    torch.testing.assert_close(rest, 0.5 * mix, rtol=0, atol=1e-6)


def test_noise_is_in_the_code_only_in_training():
    network, mix = build(), noise(1, 64)
    assert torch.equal(network(mix), network(mix))
    network.train()
    first, second = network(mix), network(mix)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    again = network(mix)
    torch.manual_seed(3)
    assert torch.equal(network(mix), again)


def test_the_level_is_the_same_for_the_network_where_it_is_normalised():
    mix = noise(1, 200)
    for normalise, same in ((True, True), (False, False)):
        network = build(normalise=normalise)
        loud, quiet = network(mix)[:, 0], 100 * network(0.01 * mix)[:, 0]
        assert torch.allclose(loud, quiet, rtol=1e-3, atol=1e-6) == same


def test_losses_are_the_papers():
    network = build(normalise=False).train()
    mix, sources = noise(2, 64), noise(2, 2, 64, seed=1)

    def seen(voice, noisy):
        heard.append((voice, noisy))
        return torch.tensor([0.25] * len(voice), requires_grad=True)

    seen.met, heard = True, []
    torch.manual_seed(0)
    loss, terms = network.loss(mix, sources, seen)
    ((fake, noisy),) = heard
    real = module().emphasised(sources[:, 0], 0.95)
    torch.testing.assert_close(noisy, module().emphasised(mix, 0.95))
    torch.testing.assert_close(terms["l1"], (fake - real).abs().mean())
    torch.testing.assert_close(loss, 100 * terms["l1"] + 0.5 * 0.75**2)
    assert network.loss(mix, sources)[1].keys() == {"l1"}
    against = network.adversary_loss(mix, sources, seen)
    torch.testing.assert_close(against, torch.tensor(0.5 * 0.75**2 + 0.5 * 0.25**2))
    torch.testing.assert_close(heard[-1][0][:2], real)


def test_longer_segments_are_windows_half_over_one_another():
    network = build()
    windows = network._windows(torch.arange(130.0).unsqueeze(0))
    assert windows.shape == (1, 4, 64)
    assert windows[0, :, 0].tolist() == [0, 32, 64, 96]


def test_virtual_batch_norm_is_batch_norm_with_one_more_example():
    norm = module().VirtualBatchNorm(5, 3)
    x, reference = 3 * noise(2, 5, 40) + 1, noise(3, 5, 40, seed=1) - 2
    given, theirs = norm(x, reference)
    for example, found in zip(x, given, strict=True):
        # as if the example stood in a batch with the reference
        together = torch.cat((reference, example.unsqueeze(0)))
        expected = torch.nn.functional.batch_norm(together, None, None, training=True, eps=1e-12)
        torch.testing.assert_close(found, expected[-1], rtol=1e-4, atol=1e-4)
    stock = torch.nn.functional.batch_norm(reference, None, None, training=True, eps=1e-12)
    torch.testing.assert_close(theirs, stock, rtol=1e-4, atol=1e-4)


def test_the_first_batch_is_the_reference():
    network = build()
    adversary = network.adversary()
    mix, sources = noise(2, 64), noise(2, 2, 64, seed=1)
    network.adversary_loss(mix, sources, adversary)
    kept = adversary.reference.clone()
    torch.testing.assert_close(kept[0], kept[2])  # two examples for three places
    torch.testing.assert_close(kept[0, 1].abs() > 0, mix[0].abs() > 0)
    network.adversary_loss(2 * mix, sources, adversary)
    assert torch.equal(adversary.reference, kept)


def test_a_window_that_the_layers_do_not_divide_is_refused():
    with pytest.raises(separators.UserError, match="window 60 must be a multiple of 8"):
        build(window=60)
