"""The proof that no split holds anything of another: what it must find."""

import numpy as np
import pytest

from local.corpus import unmixed
from local.corpus.contents import Content, Recording
from local.corpus.mixing import Planned
from local.corpus.sources import NOISES, VOICES, File


def recording(kind, path, owner, split, digest=None):
    content = Content(8000, 8000, digest or f"{kind.option} {path}", np.ones(10), False)
    return Recording(kind, File(path, owner, split), content)


def recordings(**changes):
    """A voice and a noise of each split; ``changes`` are to those of test."""
    found = []
    for split in ("train", "valid", "test"):
        for kind in (VOICES, NOISES):
            about = {"path": f"{split}.wav", "owner": f"{kind.owner} of {split}"}
            about |= changes.get(kind.option, {}) if split == "test" else {}
            found.append(recording(kind, split=split, **about))
    return found


def plans(voice="test.wav", noise="test.wav"):
    def one(voice, noise):
        return [Planned("0001", "g", 0.0, "s", voice, 0, 1, noise, 0, 1, "")]

    return {"valid": one("valid.wav", "valid.wav"), "test": one(voice, noise)}


def test_splits_without_anything_in_common():
    assert unmixed.proof(recordings(), plans()) == (
        "nothing of valid (1 speaker, 1 recording of noise) or test (1 speaker, 1 recording of"
        " noise) is in train (1 speaker, 1 recording of noise): names, files and samples compared"
    )


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("kind", [VOICES, NOISES])
def test_a_name_of_two_splits_is_found(kind, split):
    found = recordings(**{kind.option: {"owner": f"{kind.owner} of {split}"}})
    with pytest.raises(RuntimeError, match=f"{split} and test share .*{kind.owner}"):
        unmixed.proof(found, plans())


@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_file_of_another_split_in_a_plan_is_found(split):
    with pytest.raises(RuntimeError, match=f"{split} and test share"):
        unmixed.proof(recordings(), plans(noise=f"{split}.wav"))


def test_the_same_samples_in_two_splits_are_found():
    found = recordings(voices={"digest": "noises train.wav"})
    with pytest.raises(RuntimeError, match=r"train and test share .*samples.*noises train\.wav"):
        unmixed.proof(found, plans())
