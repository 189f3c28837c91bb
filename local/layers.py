"""Layers that compute what the slow ones of Asteroid and torch compute, in less time."""

import torch
from asteroid.masknn.norms import GlobLN
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


FASTER = {GlobLN: FusedGlobLN, nn.PReLU: FastPReLU, nn.Conv1d: FastConv1d}
