"""Context aggregation network (Germain, Chen and Koltun 2018): dilated convolutions on samples."""

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local.blocks import level

SLOPE = 0.2  # of the LeakyReLU below zero, the paper's


class ContextAggregation(BaseModel):
    """Convolutions of 3 taps whose dilation doubles, one without dilation, a linear output.

    The signal passes the paper's 14 layers at full rate, each followed by adaptive normalisation
    and a LeakyReLU. With dilations of 1 to 4096 an output sample sees 8192 samples on each side.
    Signals of any length are padded with zeros to a multiple of the largest dilation.

    Args:
        layers: of dilation 1, 2, 4 and so on.
        channels: features of each layer.
        outputs: ``both`` sources, or only the ``voice``, as in the paper: the noise is then the
            mixture minus it.
        sample_rate: Hz.
    """

    def __init__(self, layers=13, channels=64, outputs="both", sample_rate=16000):
        super().__init__(sample_rate=sample_rate)
        self.arguments = {
            "layers": layers, "channels": channels, "outputs": outputs, "sample_rate": sample_rate,
        }  # fmt: skip
        self.outputs = outputs
        dilations = [2**i for i in range(layers)]
        self.longest = dilations[-1]
        self.layers = nn.ModuleList(
            Layer(channels if i else 1, channels, dilation)
            for i, dilation in enumerate([*dilations, 1])
        )
        self.output = nn.Conv1d(channels, 1 if outputs == "voice" else 2, 1)
        # small at first: the output of random layers is no estimate yet
        with torch.no_grad():
            self.output.weight *= 0.1
            self.output.bias.zero_()

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        time = mix.shape[-1]
        # near 1, like the weights: otherwise the first learnt offsets are louder than the signal
        seen, unit = level.unit(mix)
        x = F.pad(seen, (0, -time % self.longest)).unsqueeze(1)
        for layer in self.layers:
            x = layer(x)
        estimates = self.output(x)[..., :time].float() * unit.unsqueeze(1)
        if self.outputs == "voice":
            estimates = torch.cat((estimates, mix.unsqueeze(1) - estimates), 1)
        return estimates

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


class Layer(nn.Module):
    """A dilated convolution of 3 taps, adaptive normalisation and a LeakyReLU.

    The signal is laid out in rows of ``dilation`` steps, so the convolution joins neighbouring
    rows without dilation: on a CPU it takes a half to a third of the time.

    Args:
        given: features in.
        channels: features out.
        dilation: steps between taps.
    """

    def __init__(self, given: int, channels: int, dilation: int):
        super().__init__()
        self.dilation = dilation
        self.convolution = nn.Conv2d(given, channels, (3, 1), padding=(1, 0))
        # the normalisation is off at first: the weights must keep the level from layer to layer
        nn.init.kaiming_normal_(self.convolution.weight, SLOPE)
        nn.init.zeros_(self.convolution.bias)
        self.norm = AdaptiveNorm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channel, step), a multiple of ``dilation`` -> (batch, channel, step)."""
        rows = x.unflatten(-1, (-1, self.dilation))
        x = self.norm(self.convolution(rows).flatten(-2))
        return F.leaky_relu(x, SLOPE, inplace=True)


class AdaptiveNorm(nn.BatchNorm1d):
    """Weights of the input itself and of its batch normalisation, 1 and 0 at first.

    The batch normalisation has no gain and no offset of its own: the weight is its gain, and the
    convolution before it has an offset.

    Args:
        channels: features.
    """

    def __init__(self, channels: int):
        super().__init__(channels, affine=False)
        self.plain = nn.Parameter(torch.ones(()))
        self.normal = nn.Parameter(torch.zeros(()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, channel, step) -> the same shape."""
        if self.training:
            self.num_batches_tracked.add_(1)
        gain = self.normal.repeat(self.num_features)  # contiguous, which torch is fast with
        normal = F.batch_norm(
            x, self.running_mean, self.running_var, gain, None, self.training, self.momentum,
            self.eps,
        )  # fmt: skip
        return torch.addcmul(normal, x, self.plain.to(x.dtype))
