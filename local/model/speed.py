"""Layers that compute what the slow ones of Asteroid and torch compute, in less time."""

import ctypes
import platform

import torch
from asteroid.complex_nn import ComplexMultiplicationWrapper
from asteroid.masknn.norms import CumLN, GlobLN
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def speed_up(network: nn.Module) -> None:
    """Swap slow layers inside ``network`` for equal ones; parameters and their names stay."""
    for module in network.modules():
        if type(module) in FASTER:
            module.__class__ = FASTER[type(module)]


class FusedGlobLN(GlobLN):
    """Asteroid's global layer norm by one fused kernel."""

    def forward(self, x, EPS: float = 1e-8):
        """(batch, channel, *) -> the same shape."""
        return F.group_norm(x, 1, self.gamma, self.beta, EPS)


class FastCumLN(CumLN):
    """Asteroid's cumulative layer norm in fewer passes, laid out as its input is.

    It differs in three faults of the other: sums are taken in float32 at least, and of what differs
    from the first frame's mean, which cancels where the mean is large; and a variance that rounding
    makes negative is 0 and not NaN.
    """

    def forward(self, x, EPS: float = 1e-8):
        """(batch, channel, frame) -> the same shape."""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        exact = exact - exact[..., :1].mean(1, keepdim=True).detach()  # no output depends on it
        frames = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=exact.dtype)
        count = x.shape[1] * frames
        mean = exact.sum(1).cumsum(-1) / count
        variance = exact.square().sum(1).cumsum(-1) / count - mean.square()
        scale = (variance.clamp(min=0) + EPS).rsqrt()
        normal = torch.addcmul((-mean * scale).unsqueeze(1), exact, scale.unsqueeze(1))
        return torch.addcmul(self.beta.unsqueeze(1), normal, self.gamma.unsqueeze(1)).to(x.dtype)


class FastPReLU(nn.PReLU):
    """torch's PReLU, whose gradient on a CPU is not vectorised, with one that is."""

    def forward(self, x):
        """(batch, channel, *) -> the same shape."""
        plain = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        plain = plain and self.num_parameters == 1 and not torch.is_autocast_enabled("cpu")
        if not plain or not torch.is_grad_enabled():  # without a gradient it can be exported
            return super().forward(x)
        return _PReLU.apply(x, self.weight)


class _PReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x, slope)
        return F.prelu(x, slope)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        x, slope = ctx.saved_tensors
        to_x = torch.ops.aten.leaky_relu_backward(gradient, x, slope.item(), False)
        to_slope = torch.dot(gradient.reshape(-1), x.clamp(max=0).reshape(-1)).reshape(1)
        return to_x, to_slope


class FastConv1d(nn.Conv1d):
    """torch's convolution, by oneDNN also where there is one thread and one example.

    There torch takes a matrix product instead, with which the same Conv-TasNet was 1.4 times
    slower. In use only: a traced network is for other machines.
    """

    def forward(self, x):
        """(batch, channel, time) -> (batch, out_channels, frame)."""
        plain = x.device.type == "cpu" and x.dtype == self.weight.dtype == torch.float32
        plain = plain and x.dim() == 3 and not torch.is_autocast_enabled("cpu")
        plain = plain and self.padding_mode == "zeros" and not isinstance(self.padding, str)
        in_use = not torch.is_grad_enabled() and not torch.jit.is_tracing()
        here = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
        if not (plain and in_use and here):
            return super().forward(x)
        return torch.mkldnn_convolution(
            x.unsqueeze(2), self.weight.unsqueeze(2), self.bias, (0, *self.padding),
            (1, *self.stride), (1, *self.dilation), self.groups,
        ).squeeze(2)  # fmt: skip


class FastComplexMultiplication(ComplexMultiplicationWrapper):
    """Asteroid's complex layer: a plain convolution by one real one, another layer by two calls.

    The layer takes each example of a batch by itself, as convolutions and recurrent layers do.
    """

    def forward(self, x):
        """Complex (batch, *) -> complex (batch, *)."""
        a, b = self.re_module, self.im_module
        kind = CONVOLUTIONS.get(type(a))
        if kind is None or a.groups > 1 or a.padding_mode != "zeros":
            parts = torch.cat((x.real, x.imag))
            (real_a, imag_a), (real_b, imag_b) = (f(parts).to(parts.dtype).chunk(2) for f in (a, b))
            return torch.complex(real_a - imag_b, imag_a + real_b)
        # the matrix of A + iB: real and imaginary outputs over real and imaginary inputs
        inputs, outputs = (0, 1) if a.transposed else (1, 0)
        real = torch.cat((a.weight, -b.weight), inputs)
        weight = torch.cat((real, torch.cat((b.weight, a.weight), inputs)), outputs)
        bias = None if a.bias is None else torch.cat((a.bias - b.bias, a.bias + b.bias))
        parts = torch.cat((x.real, x.imag), 1)
        more = {"output_padding": a.output_padding} if a.transposed else {}
        out = kind(parts, weight, bias, a.stride, a.padding, dilation=a.dilation, **more)
        return torch.complex(*out.to(parts.dtype).chunk(2, 1))


class FastAttention(nn.MultiheadAttention):
    """torch's attention for those who do not look at its weights: it need not keep them."""

    def forward(self, query, key, value):
        """Each (step, batch, feature) -> the attended values, and None."""
        return super().forward(query, key, value, need_weights=False)


CONVOLUTIONS = {nn.Conv2d: F.conv2d, nn.ConvTranspose2d: F.conv_transpose2d}
FASTER = {
    GlobLN: FusedGlobLN,
    CumLN: FastCumLN,
    nn.PReLU: FastPReLU,
    nn.Conv1d: FastConv1d,
    nn.MultiheadAttention: FastAttention,
    ComplexMultiplicationWrapper: FastComplexMultiplication,
}


M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h


def tune_allocator() -> bool:
    """Let glibc's malloc keep what it has; nothing where the C library is another.

    Returns:
        whether the settings were taken.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
