"""SEGAN (Pascual, Bonafonte and Serrà 2017): a generator on the waveform and its discriminator."""

import torch
from asteroid.models import BaseModel
from torch import nn
from torch.nn import functional as F

from local import SOURCES
from local.blocks import level

KERNEL = 31  # steps of a filter, section 3
SLOPE = 0.3  # of the discriminator's LeakyReLU below zero, section 4.2
LEVEL = (
    0.1  # root mean square to which a mixture is brought where ``normalise``: peaks stay below 1
)


class Segan(BaseModel):
    """Strided convolutions down to a code, noise beside it, transposed ones back (section 3).

    What it estimates is the voice; the noise is the mixture minus it. Recordings are taken in
    windows. In training the noise z is drawn anew for every example, in use it is 0, its mean: the
    same recording gives the same estimate.

    Args:
        features: filters of each layer of the encoder; the decoder mirrors them, and the
            discriminator has the same.
        window: samples that the network takes at once, a multiple of 2 to the number of layers.
        emphasis: x[n] - emphasis x[n-1] before it, undone behind it (section 4.2).
        l1: weight of the mean absolute error in the generator's loss, λ of eq. 7.
        references: examples of the reference batch of virtual batch normalisation.
        normalise: whether the network gets mixtures of one level.
        sample_rate: Hz.

    Raises:
        ValueError: a window that the layers do not divide.
    """

    def __init__(
        self, features=(16, 32, 32, 64, 64, 128, 128, 256, 256, 512, 1024), window=16384,
        emphasis=0.95, l1=100.0, references=16, normalise=False, sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        if window % 2 ** len(features):
            raise ValueError(f"window {window} must be a multiple of {2 ** len(features)} samples")
        self.arguments = {
            "features": list(features), "window": window, "emphasis": emphasis, "l1": l1,
            "references": references, "normalise": normalise, "sample_rate": sample_rate,
        }  # fmt: skip
        self.window, self.emphasis, self.l1, self.normalise = window, emphasis, l1, normalise
        self.down = nn.ModuleList(
            nn.Conv1d(below, above, KERNEL, stride=2, padding=KERNEL // 2)
            for below, above in zip((1, *features), features, strict=False)
        )
        self.bends = nn.ModuleList(nn.PReLU(count) for count in features)
        # one for each feature that skips the code, 1 at first: `alpha` of the authors' later code
        self.skips = nn.ParameterList(torch.ones(count, 1) for count in features[:-1])
        backwards = [*features[-2::-1], 1]
        self.up = nn.ModuleList(
            nn.ConvTranspose1d(2 * below, above, KERNEL, 2, KERNEL // 2, output_padding=1)
            for below, above in zip(features[::-1], backwards, strict=True)
        )
        self.bends_up = nn.ModuleList(nn.PReLU(count) for count in backwards[:-1])
        _first_weights(self)

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        seen, unit = self._levelled(mix)
        found = self._in_windows(emphasised(seen, self.emphasis))
        voice = deemphasised(found, self.emphasis) * unit
        return torch.stack((voice, mix - voice), 1)

    def generate(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, window) -> the voice, (batch, window), both pre-emphasised."""
        x, passed = mix.unsqueeze(1), []
        for convolution, bend in zip(self.down, self.bends, strict=True):
            x = bend(convolution(x))
            passed.append(x)
        code = passed.pop()
        z = torch.randn_like(code) if self.training else torch.zeros_like(code)
        x = torch.cat((code, z), 1)
        for convolution, bend, skip in zip(self.up, self.bends_up, self.skips[::-1], strict=False):
            x = torch.cat((bend(convolution(x)), skip * passed.pop()), 1)
        return self.up[-1](x).squeeze(1).float().tanh()

    def loss(self, mix, sources, adversary=None):
        """Eq. 7: λ times the mean absolute error, and how far the adversary is from being taken in.

        Both are of pre-emphasised voices.

        Args:
            mix: (batch, time).
            sources: (batch, source, time).
            adversary: a ``Discriminator``; None leaves its part out.
        """
        noisy, real, fake = self._heard(mix, sources)
        distance = (fake - real).abs().mean()
        loss, terms = self.l1 * distance, {"l1": distance}
        if adversary is not None:
            deceit = 0.5 * (adversary(fake, noisy) - 1).square().mean()
            loss, terms = loss + deceit, terms | {"deceit": deceit}
        return loss, terms

    def adversary_loss(self, mix, sources, adversary):
        """Eq. 6: references shall give 1 and estimates 0."""
        with torch.no_grad():
            noisy, real, fake = self._heard(mix, sources)
        if not adversary.met:
            adversary.meet(real, noisy)
        scores = adversary(torch.cat((real, fake)), torch.cat((noisy, noisy)))
        of_real, of_fake = scores.chunk(2)
        return 0.5 * (of_real - 1).square().mean() + 0.5 * of_fake.square().mean()

    def adversary(self) -> nn.Module:
        """The discriminator that it is trained against."""
        chosen = ("features", "window", "references")
        return Discriminator(**{key: self.arguments[key] for key in chosen})

    def _heard(self, mix, sources):
        """Mixture, voice, estimate, emphasised, in windows: (batch * windows, window) each."""
        seen, unit = self._levelled(mix)
        voice = sources[:, SOURCES.index("voice")] / unit.clamp(min=level.QUIET)
        noisy, real = (
            self._windows(emphasised(x, self.emphasis)).flatten(0, 1) for x in (seen, voice)
        )
        return noisy, real, self.generate(noisy)

    def _windows(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, windows, window), each half over the one before."""
        half = self.window // 2
        missing = max(self.window - x.shape[-1], -x.shape[-1] % half)
        return F.pad(x, (0, missing)).unfold(-1, self.window, half)

    def _levelled(self, mix):
        if not self.normalise:
            return mix, mix.new_ones(1, 1)
        seen, unit = level.unit(mix)
        return LEVEL * seen, unit / LEVEL

    def _in_windows(self, x: torch.Tensor) -> torch.Tensor:
        """Faded from one window to the next: (batch, time) -> (batch, time)."""
        time, half = x.shape[-1], self.window // 2
        windows = self._windows(F.pad(x, (half, half)))
        fade = torch.hann_window(self.window, device=x.device)
        out = self.generate(windows.flatten(0, 1)).unflatten(0, windows.shape[:2]) * fade
        first, second = out[..., :half], out[..., half:]
        return (first[:, 1:] + second[:, :-1]).flatten(1)[:, :time]

    def get_model_args(self):
        """Arguments that build an equal model."""
        return self.arguments


class Discriminator(nn.Module):
    """The encoder's layers on voice and mixture together, and a score (section 3).

    Args:
        features, window: those of the generator.
        references: examples that every other is normalised with.
    """

    def __init__(self, features, window: int, references: int):
        super().__init__()
        self.register_buffer("reference", torch.zeros(references, 2, window))
        self.register_buffer("met", torch.tensor(False))
        self.layers = nn.ModuleList(
            nn.Conv1d(below, above, KERNEL, stride=2, padding=KERNEL // 2)
            for below, above in zip((2, *features), features, strict=False)
        )
        self.norms = nn.ModuleList(VirtualBatchNorm(count, references) for count in features)
        self.narrow = nn.Conv1d(features[-1], 1, 1)
        self.score = nn.Linear(window // 2 ** len(features), 1)
        _first_weights(self)

    def meet(self, voice: torch.Tensor, mix: torch.Tensor) -> None:
        """Keep a training's first batch, (batch, window) each; a small one again from its start."""
        pairs = torch.stack((voice, mix), 1)
        self.reference.copy_(pairs[torch.arange(len(self.reference)) % len(pairs)])
        self.met.fill_(True)

    def forward(self, voice: torch.Tensor, mix: torch.Tensor) -> torch.Tensor:
        """Pre-emphasised (batch, window) each -> scores (batch,): 1 for a reference, 0 for none."""
        x, reference = torch.stack((voice, mix), 1), self.reference
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x, reference = norm(layer(x), layer(reference))
            x, reference = F.leaky_relu(x, SLOPE), F.leaky_relu(reference, SLOPE)
        return self.score(self.narrow(x).squeeze(1)).squeeze(1).float()


class VirtualBatchNorm(nn.Module):
    """Normalisation by the statistics of a fixed batch and of the example itself.

    Salimans et al. 2016, "Improved techniques for training GANs", section 3.4: an example's output
    does not depend on the others beside it. The example has the weight 1 / (references + 1).

    Args:
        count: features.
        references: examples of the fixed batch.
    """

    def __init__(self, count: int, references: int):
        super().__init__()
        self.share = 1 / (references + 1)
        self.gain = nn.Parameter(torch.ones(count, 1))
        self.offset = nn.Parameter(torch.zeros(count, 1))

    def forward(self, x: torch.Tensor, reference: torch.Tensor):
        """Each (batch, feature, step) -> the same shapes."""
        mean = reference.mean((0, 2), keepdim=True)
        power = reference.square().mean((0, 2), keepdim=True)
        means = self.share * x.mean(2, keepdim=True) + (1 - self.share) * mean
        powers = self.share * x.square().mean(2, keepdim=True) + (1 - self.share) * power
        return self._normal(x, means, powers), self._normal(reference, mean, power)

    def _normal(self, x, mean, power):
        return (x - mean) * (power - mean.square()).clamp(
            min=1e-8
        ).rsqrt() * self.gain + self.offset


def emphasised(x: torch.Tensor, factor: float) -> torch.Tensor:
    """x[n] - factor x[n-1] along the last axis, with x[-1] = 0."""
    return x - factor * F.pad(x, (1, -1))


def deemphasised(x: torch.Tensor, factor: float) -> torch.Tensor:
    """What gives ``x`` when it is emphasised: y[n] = x[n] + factor y[n-1].

    A convolution with factor^n by FFT, cut off after 512 samples, where 0.97^n is below 1e-6.
    """
    taps = factor ** torch.arange(min(x.shape[-1], 512), device=x.device, dtype=x.dtype)
    size = x.shape[-1] + len(taps) - 1
    spectrum = torch.fft.rfft(x, size) * torch.fft.rfft(taps, size)
    return torch.fft.irfft(spectrum, size)[..., : x.shape[-1]]


@torch.no_grad()
def _first_weights(module: nn.Module) -> None:
    """Glorot's, and offsets of 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
