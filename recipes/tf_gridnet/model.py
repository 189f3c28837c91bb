"""TF-GridNet: recurrent layers along frequency and time, and attention between frames."""

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local import SOURCES
from local.blocks import level
from local.blocks.real_spectra import VIEWS, gain_and_turn, masked, views
from local.blocks.stft import STFT

TIME, FREQUENCY = 1, 2  # axes of (batch, frame, frequency, channel)


class TFGridNet(BaseModel):
    """Real and imaginary parts in, real and imaginary parts of both sources out.

    After Wang et al. 2023, "TF-GridNet: Integrating Full- and Sub-Band Modeling for Speech
    Separation" (IEEE/ACM TASLP): a convolution gives an embedding of every point of the
    spectrogram; blocks of a recurrent layer along the frequencies of each frame, one along the
    frames of each frequency and attention between frames follow; a transposed convolution maps the
    embeddings to the spectra. The recurrent layers take ``kernel`` neighbouring embeddings at once,
    ``stride`` apart. The network sees the mixture at a level of 1, as in the paper, and its
    estimates move with the level.

    Args:
        window: samples.
        hop: samples between frames.
        channels: D, size of an embedding.
        blocks: B.
        hidden: H, cells of a recurrent layer in each direction.
        kernel: I, embeddings that a step of a recurrent layer takes.
        stride: J, embeddings between steps, at most ``kernel``.
        heads: L, of the attention.
        query: E, channels of a head's queries and keys at each frequency.
        views: True: the input is log-magnitude and compressed real and imaginary part.
        output: ``mapping``: the spectra of both sources; ``polar``: a mask for the voice, a gain
            from 0 to 1 and a turn of the phase, none at first; the noise is the mixture minus the
            voice.
        sample_rate: Hz.

    Raises:
        ValueError: sizes from which a signal could not be recovered; a stride over the kernel;
            heads that do not divide the channels.
    """

    def __init__(
        self, window=512, hop=128, channels=64, blocks=6, hidden=256, kernel=4, stride=1, heads=4,
        query=2, views=False, output="mapping", sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        self.arguments = {
            "window": window, "hop": hop, "channels": channels, "blocks": blocks,
            "hidden": hidden, "kernel": kernel, "stride": stride, "heads": heads, "query": query,
            "views": views, "output": output, "sample_rate": sample_rate,
        }  # fmt: skip
        if stride > kernel:
            raise ValueError(f"stride {stride}: at most the kernel of {kernel}")
        if channels % heads:
            raise ValueError(f"channels {channels}: a multiple of the {heads} heads")
        self.stft = STFT(window, hop)
        self.views, self.output = views, output
        outputs = 2 * len(SOURCES) if output == "mapping" else 3
        self.embed = nn.Sequential(
            nn.Conv2d(VIEWS if views else 2, channels, 3, padding=1), nn.GroupNorm(1, channels)
        )
        self.blocks = nn.Sequential(*(
            nn.Sequential(
                Recurrent(channels, hidden, kernel, stride, FREQUENCY),
                Recurrent(channels, hidden, kernel, stride, TIME),
                Attention(channels, heads, query, self.stft.frequencies),
            )
            for _ in range(blocks)
        ))  # fmt: skip
        self.unembed = nn.ConvTranspose2d(channels, outputs, 3, padding=1)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        scaled, scale = level.unit(mix)
        parts = self.stft.parts(scaled)
        seen = views(parts) if self.views else parts
        x = self.embed(seen.transpose(2, 3)).permute(0, 2, 3, 1)
        x = self.unembed(self.blocks(x).permute(0, 3, 1, 2)).float().transpose(2, 3)
        if self.output == "polar":
            voice = scale * self.stft.inverse_parts(masked(gain_and_turn(x), parts), mix.shape[-1])
            return torch.stack((voice, mix - voice), 1)
        spectra = x.unflatten(1, (len(SOURCES), 2)).unbind(1)
        estimates = [self.stft.inverse_parts(spectrum, mix.shape[-1]) for spectrum in spectra]
        return scale.unsqueeze(1) * torch.stack(estimates, 1)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


class Recurrent(nn.Module):
    """A recurrent layer in both directions along an axis, with norm and skip."""

    def __init__(self, channels: int, hidden: int, kernel: int, stride: int, axis: int):
        super().__init__()
        self.kernel, self.stride, self.axis = kernel, stride, axis
        self.norm = nn.LayerNorm(channels)
        self.recurrent = nn.LSTM(channels * kernel, hidden, bidirectional=True)
        self.back = nn.ConvTranspose1d(2 * hidden, channels, kernel, stride)

    def forward(self, x):
        """(batch, frame, frequency, channel) -> the same shape."""
        places = self.norm(x).movedim(self.axis, 2)
        shape, size = places.shape, places.shape[2]
        # as far beyond both ends as steps overlap, and to a whole step
        margin = self.kernel - self.stride
        more = (-self.kernel - size) % self.stride
        places = F.pad(places.flatten(0, 1), (0, 0, margin, margin + more))
        steps = self.unfolded(places)
        out, _ = self.recurrent(steps.transpose(0, 1).flatten(2))
        out = self.back(out.permute(1, 2, 0))[:, :, margin : margin + size]
        return x + out.transpose(1, 2).reshape(shape).movedim(2, self.axis)

    def unfolded(self, x):
        """(sequence, place, channel) -> (sequence, step, channel, kernel)."""
        if torch.onnx.is_in_onnx_export():  # where unfold needs to know the number of places
            end = x.shape[1] - self.kernel + 1
            places = [x[:, i : end + i : self.stride] for i in range(self.kernel)]
            return torch.stack(places, 3)
        return x.unfold(1, self.kernel, self.stride)


class Attention(nn.Module):
    """Self-attention between frames, each of which all its frequencies describe; norm and skip."""

    def __init__(self, channels: int, heads: int, query: int, frequencies: int):
        super().__init__()
        self.frequencies = frequencies
        sizes = (query, query, channels // heads)  # of queries, keys, values
        self.inputs = nn.ModuleList(Points(channels, heads, size, frequencies) for size in sizes)
        self.project = Points(channels, 1, channels, frequencies)

    def forward(self, x):
        """(batch, frame, frequency, channel) -> the same shape."""
        query, key, value = (points(x) for points in self.inputs)
        frames = (y.flatten(3) for y in (query, key, value))
        out = F.scaled_dot_product_attention(*frames).unflatten(3, (self.frequencies, -1))
        out = out.permute(0, 2, 3, 1, 4).flatten(3)  # heads beside each other
        return x + self.project(out).squeeze(1)


class Points(nn.Module):
    """A linear layer on every point, rectifier, and norm over all points of a frame."""

    def __init__(self, channels: int, heads: int, size: int, frequencies: int):
        super().__init__()
        self.heads = heads
        self.linear = nn.Linear(channels, heads * size)
        self.slope = nn.Parameter(torch.full((heads, 1, 1, 1), 0.25))
        self.weight = nn.Parameter(torch.ones(heads, 1, frequencies, size))
        self.bias = nn.Parameter(torch.zeros(heads, 1, frequencies, size))

    def forward(self, x):
        """(batch, frame, frequency, channel) -> (batch, head, frame, frequency, size)."""
        x = self.linear(x).unflatten(3, (self.heads, -1)).permute(0, 3, 1, 2, 4)
        x = F.relu(x) - self.slope * F.relu(-x)  # PReLU, whose gradient torch has slow on a CPU
        return torch.addcmul(self.bias, F.layer_norm(x, x.shape[3:]), self.weight)
