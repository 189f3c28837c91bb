"""Spectra over the level of their latest frames: by its definition, and pieces are the whole."""

import pytest
import torch

from local.blocks.level import no_frames, unit_frames


def parts(frames=9):
    return torch.randn(2, 2, 5, frames, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("frames", [1, 3, 20])
def test_each_frame_is_over_the_level_of_the_latest(frames):
    x = parts()
    found, _ = unit_frames(x, no_frames(2, frames, x), frames)
    for last in range(x.shape[-1]):
        latest = x[..., max(0, last + 1 - frames) : last + 1]
        level = latest.square().sum(1).mean((1, 2)).sqrt()[:, None, None]
        torch.testing.assert_close(found[..., last], x[..., last] / level)


@pytest.mark.parametrize("frames", [1, 3, 20])
def test_pieces_are_the_whole(frames):
    x, before, found = parts(), no_frames(2, frames, parts()), []
    expected, last = unit_frames(x, before, frames)
    for piece in x.split([1, 4, 1, 3], 3):
        out, before = unit_frames(piece, before, frames)
        found.append(out)
    torch.testing.assert_close(torch.cat(found, 3), expected)
    torch.testing.assert_close(before, last)


def test_silence_stays_silence():
    x = torch.zeros(1, 2, 5, 4)
    found, _ = unit_frames(x, no_frames(1, 3, x), 3)
    assert not found.any()
