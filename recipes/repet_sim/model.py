"""REPET-SIM: what repeats in a recording is the noise, what stands out is the voice."""

import torch
from asteroid.models import BaseModel
from torch.nn import functional as F

from local.blocks import masks
from local.blocks.stft import STFT

BLOCK = 128  # frames per search for similar ones; bounds memory


class REPETSim(BaseModel):
    """The median of similar frames is the noise; what a frame has above it is the voice.

    After Rafii and Pardo 2012, "Music/voice separation using the similarity matrix": the
    similarity of two frames is the cosine between their magnitude spectra; for each frame, the
    most similar ones that are not too close to each other are taken; their median, at most the
    frame itself, is the magnitude of the repeating background, and its ratio to the frame's is
    the mask of the background.

    Departs from it: similar frames are sought only within ``reach`` before and after the frame, so
    memory and time grow with the length of the recording, not with its square (the authors' own
    form for speech looks back only: Rafii and Pardo 2013, "Online REPET-SIM for real-time speech
    enhancement"); of an even number of frames the median is the lower of the two in the middle;
    frequencies below 100 Hz are treated like all others.

    Args:
        window: samples.
        hop: samples.
        similarity: least cosine of a similar frame, 0 to 1.
        distance: seconds. A frame is taken as similar only where it is the most similar one
            within this distance.
        count: similar frames at most, including the frame itself.
        reach: seconds.
        sample_rate: Hz.

    Raises:
        ValueError: a setting out of its range, or sizes from which a signal could not be
            recovered.
    """

    def __init__(
        self, window=1024, hop=256, similarity=0.0, distance=0.03, count=100, reach=10.0,
        sample_rate=16000,
    ):  # fmt: skip
        super().__init__(sample_rate=sample_rate)
        if not 0 <= similarity <= 1:
            raise ValueError(f"similarity {similarity}: from 0 to 1")
        if distance < 0:
            raise ValueError(f"distance {distance}: at least 0 seconds")
        if count < 1:
            raise ValueError(f"count {count}: at least 1")
        if reach <= distance:
            raise ValueError(f"reach {reach}: more seconds than the distance of {distance}")
        self.stft = STFT(window, hop)
        self.window, self.similarity, self.count = window, similarity, count
        self.distance, self.reach = distance, reach

    def forward(self, mix: torch.Tensor) -> torch.Tensor:
        """(batch, time) -> (batch, source, time)."""
        spectrum = self.stft(mix)
        magnitudes = spectrum.abs()
        background = self.background(magnitudes)
        estimates = masks.apply(masks.ratio(magnitudes - background, background), spectrum)
        return self.stft.inverse(estimates, mix.shape[-1])

    def background(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """The part of the magnitudes that repeats, both (batch, frequency, frame)."""
        frames = magnitudes.transpose(1, 2)
        units = F.normalize(frames, dim=-1)
        count = frames.shape[1]
        reach = max(1, self._frames(self.reach))
        medians = []
        for start in range(0, count, BLOCK):
            end = min(start + BLOCK, count)
            seen = slice(max(0, start - reach), min(count, end + reach))
            cosines = units[:, start:end] @ units[:, seen].transpose(1, 2)
            places = torch.arange(count, device=frames.device)
            apart = (places[start:end].unsqueeze(1) - places[seen]).abs()
            cosines = cosines.masked_fill(apart > reach, -torch.inf)
            medians.append(self._median(frames[:, seen], cosines, apart == 0))
        return torch.minimum(torch.cat(medians, 1), frames).transpose(1, 2)

    def _median(self, frames, cosines, itself) -> torch.Tensor:
        """Medians (batch, row, frequency) of those frames (batch, frame, frequency) that are
        most similar to each row, by their cosines (batch, row, frame); ``itself`` (row, frame)
        is where a row meets itself."""
        distance = self._frames(self.distance)
        peaks = F.max_pool1d(cosines, 2 * distance + 1, 1, distance)
        similar = itself | ((cosines == peaks) & (cosines >= self.similarity))
        most = min(self.count, int(similar.sum(-1).amax()))
        cosines, index = cosines.masked_fill(~similar, -torch.inf).topk(most)
        batch = torch.arange(len(frames), device=frames.device).view(-1, 1, 1)
        chosen = frames[batch, index]  # (batch, row, similar, frequency)
        return chosen.masked_fill(cosines.isinf().unsqueeze(-1), torch.nan).nanmedian(2).values

    def _frames(self, seconds: float) -> int:
        return round(seconds * self.sample_rate / self.stft.hop)

    def get_model_args(self):
        """Arguments that build an equal model."""
        return {"window": self.window, "hop": self.stft.hop, "similarity": self.similarity,
                "distance": self.distance, "count": self.count, "reach": self.reach,
                "sample_rate": self.sample_rate}  # fmt: skip
