"""First weights of networks on the waveform."""

import torch
from torch import nn

REST = 0.1  # factor of the last layer's other weights where it begins with the mixture


@torch.no_grad()
def keep_level(network: nn.Module, slope: float) -> None:
    """Give convolutions weights that keep the level through leaky ReLUs, and offsets of 0.

    After He et al. 2015, "Delving deep into rectifiers", eq. 15. Under torch's own weights the
    signal loses nearly 8 dB with each layer, while the offsets stay: after a dozen, nothing of it
    is left for the deepest layers to learn from.

    Args:
        network: whose ``nn.Conv1d`` and ``nn.ConvTranspose1d`` are meant.
        slope: of the leaky ReLUs below zero.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            given = module.in_channels * module.kernel_size[0]
            if isinstance(module, nn.ConvTranspose1d):
                given /= module.stride[0]  # the others of a filter's steps meet no sample
            module.weight.normal_(0, (2 / (1 + slope**2) / given) ** 0.5)
            if module.bias is not None:
                module.bias.zero_()


@torch.no_grad()
def begin_with_mixture(output: nn.Conv1d, sources: int) -> None:
    """Let a last layer of one step give each source its even part of the mixture at first.

    Args:
        output: whose last channel is the mixture.
        sources: among which it is shared.
    """
    output.weight *= REST
    output.weight[:, -1] = 1 / sources
