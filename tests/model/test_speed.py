"""Faster layers: the same outputs, gradients and names as those that they stand for."""

import pytest
import torch
from asteroid.complex_nn import ComplexMultiplicationWrapper
from asteroid.masknn.norms import CumLN, GlobLN
from asteroid.masknn.recurrent import SingleRNN
from torch import nn

from local.model import speed


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def compare(stock, fast, x, **tolerances):
    """Outputs, and gradients of the input and of every parameter."""
    for (name, ours), (_, theirs) in zip(
        fast.named_parameters(), stock.named_parameters(), strict=True
    ):
        theirs.data = noise(*theirs.shape, seed=len(name)).to(theirs.dtype)
        ours.data = theirs.data.clone()
    kind = type(fast)
    speed.speed_up(nn.Sequential(fast))
    assert type(fast) is not kind
    assert list(fast.state_dict()) == list(stock.state_dict())
    results = []
    for layer in (stock, fast):
        x = x.detach().requires_grad_()
        out = layer(x)
        (out * noise(*out.shape, seed=9)).sum().abs().backward()
        results.append([out.detach(), x.grad, *(p.grad.clone() for p in layer.parameters())])
    for theirs, ours in zip(*results, strict=True):
        assert ours.dtype == theirs.dtype
        torch.testing.assert_close(ours, theirs, **tolerances)


def test_attention_is_the_same_without_its_weights():
    stock = nn.MultiheadAttention(16, 4)
    fast = nn.Sequential(nn.MultiheadAttention(16, 4))
    fast[0].load_state_dict(stock.state_dict())
    speed.speed_up(fast)
    x = torch.randn(11, 3, 16, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected, _ = stock(x, x, x)
    found, weights = fast[0](x, x, x)
    assert weights is None
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    ours, theirs = (torch.autograd.grad(y.square().sum(), x)[0] for y in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(3, 7, 50), (2, 7, 5, 11), (1, 7, 1)])
def test_global_norm(shape):
    compare(GlobLN(7), GlobLN(7), 3 * noise(*shape) + 2, rtol=1e-5, atol=1e-5)


def test_global_norm_of_a_network_to_1e_6():
    stock, fast = GlobLN(16), GlobLN(16)
    speed.speed_up(fast)
    x = noise(2, 16, 4000)
    torch.testing.assert_close(fast(x), stock(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 7, 50), (1, 7, 1), (2, 7, 4000)])
def test_cumulative_norm(shape):
    compare(CumLN(7), CumLN(7), 3 * noise(*shape) + 2, rtol=1e-4, atol=2e-4)


def test_cumulative_norm_of_a_constant_is_finite():
    layer = CumLN(7)
    speed.speed_up(layer)
    assert layer(torch.full((1, 7, 500), 1e3 / 3)).isfinite().all()


def test_cumulative_norm_of_bfloat16_counts_beyond_its_digits():
    layer = CumLN(7)
    speed.speed_up(layer)
    x = noise(1, 7, 2000) + 1
    rough = layer(x.bfloat16())
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), layer(x), rtol=0.02, atol=0.02)


@pytest.mark.parametrize("shape", [(3, 7, 50), (2, 7, 5, 11), (4,)])
def test_prelu(shape):
    x = noise(*shape)
    x.view(-1)[0] = 0  # where the slope changes
    compare(nn.PReLU(), nn.PReLU(), x, rtol=1e-5, atol=1e-6)


def test_prelu_of_an_input_that_is_not_contiguous():
    compare(nn.PReLU(), nn.PReLU(), noise(3, 7, 50).transpose(1, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_prelu_of_another_type(dtype):
    compare(nn.PReLU().to(dtype), nn.PReLU().to(dtype), noise(3, 7, 50).to(dtype))


def test_prelu_of_several_slopes():
    compare(nn.PReLU(7), nn.PReLU(7), noise(3, 7, 50))


def test_prelu_under_autocast():
    stock, fast = nn.PReLU(), nn.PReLU()
    speed.speed_up(fast)
    x = noise(3, 7, 50).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fast(x), stock(x))


CONVOLUTIONS = [
    (7, 5, 1, {}),
    (7, 5, 1, {"bias": False}),
    (6, 6, 3, {"padding": 4, "dilation": 4, "groups": 6}),
    (4, 6, 5, {"stride": 2, "padding": 1, "groups": 2}),
    (7, 5, 3, {"padding": "same"}),
    (7, 5, 3, {"padding": 2, "padding_mode": "reflect"}),
]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize(("channels", "out", "kernel", "options"), CONVOLUTIONS)
def test_convolution(channels, out, kernel, options, batch):
    stock, fast = (nn.Conv1d(channels, out, kernel, **options) for _ in range(2))
    x = noise(batch, channels, 51)
    compare(stock, fast, x, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        for turned in (x, x.transpose(0, 2).contiguous().transpose(0, 2)):
            torch.testing.assert_close(fast(turned), stock(turned), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(fast(x[0]), stock(x[0]), rtol=1e-5, atol=1e-5)


def test_convolution_of_another_type():
    fast = nn.Conv1d(7, 5, 1).double()
    stock = nn.Conv1d(7, 5, 1).double()
    compare(stock, fast, noise(1, 7, 50).double())
    with torch.inference_mode():
        assert torch.equal(fast(noise(1, 7, 50).double()), stock(noise(1, 7, 50).double()))


COMPLEX = {
    "plain": (nn.Conv2d, 3, 4, (3, 2), (2, 1), (1, 0)),
    "transposed": (nn.ConvTranspose2d, 3, 4, (3, 2), (2, 1), (1, 0), (1, 0)),
    "grouped": (nn.Conv2d, 3, 6, 3, 1, 1, 1, 3),
    "linear": (nn.Linear, 7, 5),
}


@pytest.mark.parametrize("kind", COMPLEX)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_complex_layer(kind, dtype):
    stock, fast = (ComplexMultiplicationWrapper(*COMPLEX[kind]).to(dtype) for _ in range(2))
    x = torch.complex(noise(2, 3, 9, 7), noise(2, 3, 9, 7, seed=1)).to(dtype.to_complex())
    compare(stock, fast, x, rtol=1e-4, atol=1e-4)


def test_complex_recurrent_layer():
    stock, fast = (ComplexMultiplicationWrapper(SingleRNN, "LSTM", 7, 5) for _ in range(2))
    x = torch.complex(noise(2, 9, 7), noise(2, 9, 7, seed=1))
    compare(stock, fast, x, rtol=1e-4, atol=1e-5)


def test_complex_layer_under_autocast_stays_complex64():
    fast = ComplexMultiplicationWrapper(*COMPLEX["plain"])
    speed.speed_up(nn.Sequential(fast))
    x = torch.complex(noise(2, 3, 9, 7), noise(2, 3, 9, 7, seed=1))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = fast(x)
    assert out.dtype == torch.complex64
    torch.testing.assert_close(out, fast(x), rtol=0.05, atol=0.05)
