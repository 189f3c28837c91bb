"""Conv-TasNet whose signals are padded, so that every sample is heard, with steps for live use."""

import asteroid.models
import torch
from asteroid.masknn.norms import CumLN
from torch import nn
from torch.nn import functional as F

from local.model.dual_filterbank import DualFilterbank

EPSILON = 1e-8  # of the variance, as in the layers that take the whole signal


class ConvTasNet(asteroid.models.ConvTasNet):
    """Asteroid's network on a signal with silence around it, whole and live.

    Asteroid cuts frames from the signal as it is, so its first and last samples lie in fewer frames
    than the others, or in none. Here as many samples of silence go before it as two frames overlap,
    and enough after it.

    A causal network can run live, frame by frame, unless the synthesis of its filterbank reaches
    over several frames. It remembers the statistics of its cumulative normalisations and what its
    convolutions look back on.
    """

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        lag, time = self._overlap, mix.shape[-1]
        padded = F.pad(mix, (lag, self.encoder.filterbank.kernel_size))
        return super().forward(padded)[..., lag : lag + time]

    @property
    def block(self) -> int:
        """Samples that ``step`` takes and gives, those between two frames."""
        return self.encoder.filterbank.stride

    @property
    def latency(self) -> int | None:
        """Samples by which the output of ``step`` lags its input; None: it cannot run live."""
        whole = isinstance(self.decoder.filterbank, DualFilterbank)
        return self._overlap if self.masker.causal and not whole else None

    def start(self, batch: int) -> tuple[torch.Tensor, ...]:
        """The state before the first sample, for ``step``.

        Frames so far, (1,); the last samples (batch, time); overlap-added estimates (batch, source,
        time); means and variances of each cumulative normalisation, (layer, 2, batch, 1); for each
        block of convolutions the frames that it looks back on, (batch, channel, frame).
        """
        zeros = next(self.masker.parameters()).new_zeros
        norms = sum(isinstance(module, CumLN) for module in self.masker.modules())
        pasts = (
            zeros(batch, conv.in_channels, conv.dilation[0] * (conv.kernel_size[0] - 1))
            for conv in map(_depthwise, self.masker.TCN)
        )
        return (
            zeros(1), zeros(batch, self._overlap), zeros(batch, self.masker.n_src, self._overlap),
            zeros(norms, 2, batch, 1), *pasts,
        )  # fmt: skip

    def step(self, block: torch.Tensor, state: tuple) -> tuple[torch.Tensor, tuple]:
        """Process the next block of a live recording.

        Args:
            block: (batch, block).
            state: of ``start``, or of the step before.

        Returns:
            (batch, source, block), the estimates of ``latency`` samples before; the new state.
        """
        count, recent, sums, moments, *pasts = state
        count = count + 1
        frame = torch.cat((recent, block), 1)
        features = self._analysed(frame)
        mask, moments, pasts = self._mask(features.squeeze(-1), 1 / count, moments, pasts)
        sums = F.pad(sums, (0, self.block)) + self._synthesised(self.apply_masks(features, mask))
        out, sums = sums.split((self.block, self._overlap), -1)
        return out, (count, frame[:, self.block :], sums, moments, *pasts)

    def finish(self, state: tuple) -> torch.Tensor:
        """(batch, source, latency): the estimates of the last samples that went in."""
        count, _, sums, *_ = state
        silence, out = count.new_zeros(len(sums), self.block), [sums[..., :0]]
        for _ in range(-(-self._overlap // self.block)):
            estimates, state = self.step(silence, state)
            out.append(estimates)
        return torch.cat(out, -1)[..., : self._overlap]

    @property
    def _overlap(self) -> int:
        """Samples that a frame shares with the next."""
        return self.encoder.filterbank.kernel_size - self.block

    def _analysed(self, frame: torch.Tensor) -> torch.Tensor:
        """The encoder, on one frame (batch, time): a product is faster than a convolution."""
        bank = self.encoder.filterbank
        spectrum = bank.pre_analysis(frame) @ bank.filters().squeeze(1).T
        return self.enc_activation(bank.post_analysis(spectrum.unsqueeze(-1)))

    def _synthesised(self, masked: torch.Tensor) -> torch.Tensor:
        """The decoder, of one frame (batch, source, feature, 1)."""
        bank = self.decoder.filterbank
        return bank.post_synthesis(
            bank.pre_synthesis(masked).squeeze(-1) @ bank.filters().squeeze(1)
        )

    def _mask(self, x, share, moments, pasts):
        """A frame's features (batch, feature) -> masks (batch, source, feature, 1), and memories.

        Args:
            x: of the frame.
            share: its share of all frames so far, (1,).
            moments, pasts: of ``start``.
        """
        net, norms, kept = self.masker, _Norms(share, moments), []
        norm, reduce = net.bottleneck
        x = _pointwise(reduce, norms(norm, x))
        skipped = 0.0
        for block, past in zip(net.TCN, pasts, strict=True):
            widen, activation, norm, _, last_activation, last_norm = block.shared_block
            conv = _depthwise(block)
            hidden = norms(norm, activation(_pointwise(widen, x)))
            window = torch.cat((past, hidden.unsqueeze(-1)), -1)
            kept.append(window[..., 1:])
            taps = window[..., :: conv.dilation[0]] * conv.weight.squeeze(1)
            hidden = norms(last_norm, last_activation(taps.sum(-1) + conv.bias))
            skipped = skipped + _pointwise(block.skip_conv, hidden)
            x = x + _pointwise(block.res_conv, hidden)
        activation, conv = net.mask_net
        score = _pointwise(conv, activation(skipped))
        mask = net.output_act(score.view(len(x), net.n_src, net.out_chan, 1))
        return mask, norms.moments(), kept


class _Norms:
    """The normalisations of one frame, layer after layer.

    Means and variances stay exact in a long recording, where sums would not, and where the mean is
    large, where squares would not (Chan, Golub and LeVeque 1983).
    """

    def __init__(self, share, moments):
        self.share, self.start, self.before, self.after = share, moments, iter(moments), []

    def __call__(self, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
        """(batch, channel) -> the same shape."""
        if not isinstance(norm, CumLN):  # each frame by itself
            return norm(x.unsqueeze(-1)).squeeze(-1)
        frame, (before, variance) = x.mean(-1, keepdim=True), next(self.before)
        step, within = frame - before, (x - frame).square().mean(-1, keepdim=True)
        mean = torch.addcmul(before, step, self.share)
        spread = torch.addcmul(within, step.square(), 1 - self.share)
        variance = torch.lerp(variance, spread, self.share)
        self.after.append(torch.stack((mean, variance)))
        return torch.addcmul(norm.beta, (x - mean) * (variance + EPSILON).rsqrt(), norm.gamma)

    def moments(self) -> torch.Tensor:
        """What the next frame needs, of all layers in their order."""
        return torch.stack(self.after) if self.after else self.start


def _depthwise(block: nn.Module) -> nn.Conv1d:
    """The convolution along time of a block of a causal network."""
    return block.shared_block[3][0]


def _pointwise(conv: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A convolution of size 1 on one frame: (batch, channel) -> (batch, out_channels)."""
    return F.linear(x, conv.weight.squeeze(-1), conv.bias)
