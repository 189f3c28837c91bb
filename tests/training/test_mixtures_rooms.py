"""Mixtures whose voices are put into rooms."""

import numpy as np
import pytest
import soundfile
import torch
from marked_sources import RATE, STEADY, conf, make_manifest, marked, measured_snr, same

from local.base import disk
from local.base.errors import UserError
from local.corpus import manifest
from local.corpus.reverberation import Room
from local.training import mixtures


def add_rooms(files, *responses):
    """The same manifest with rooms beside it, each response a group."""
    folder = files.path.parent
    rooms = []
    for i, x in enumerate(responses):
        soundfile.write(folder / f"room{i}.wav", x.astype(np.float32), RATE, subtype="FLOAT")
        rooms.append(Room(f"rooms:room{i}.wav", RATE, len(x), str(i)))
    manifest.write(manifest.rooms_of(files.path), rooms, Room._fields)
    tree = disk.read_yaml(folder / manifest.ROOT_FILE) | {"folders": {"rooms": str(folder)}}
    disk.write_yaml(folder / manifest.ROOT_FILE, tree)
    return manifest.read(files.path)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_voices_is_put_into_a_room_drawn_anew(tmp_path, share):
    """Voices of one size become rooms' echoes of two sizes; noises stay of one size."""
    echo = np.zeros(200)
    echo[[30, 31]] = 1, 0.5
    dry = make_manifest(tmp_path, marked(2, time=1000))
    files = add_rooms(dry, echo, np.append(echo, 0.25))
    data = conf(**STEADY, rooms=share, examples_per_epoch=60)
    items = mixtures.training(files, data, 0)
    kinds = []
    for mix, sources in [items[i] for i in range(60)]:
        assert torch.equal(mix, sources.sum(0))
        assert measured_snr(sources) == pytest.approx(0, abs=0.01)
        assert len(sources[1].abs().unique()) <= 2  # one size, rounded twice
        kinds.append(len((sources[0, 400:].abs() * 1e5).round().unique()))
    assert np.mean([kind > 1 for kind in kinds]) == pytest.approx(share, abs=0.2)
    assert len(set(kinds) - {1}) == (2 if share else 0)  # 2 sizes of one echo, more of the other
    assert same(items[3], mixtures.training(files, data, 0)[3])


def test_rooms_are_drawn_evenly_over_their_groups(tmp_path):
    impulse = np.ones(1)
    files = add_rooms(
        make_manifest(tmp_path, marked(1)), *[impulse * (-1) ** (i > 0) for i in range(9)]
    )
    files.rooms[1:] = [room._replace(group="one hall") for room in files.rooms[1:]]
    items = mixtures.training(files, conf(**STEADY, rooms=1.0), 0)
    rng = np.random.default_rng(0)
    turned = np.mean([items._response(rng)[0] < 0 for _ in range(300)])
    assert 0.4 < turned < 0.6


def test_rooms_change_the_hash_and_need_remixing(tmp_path):
    dry = make_manifest(tmp_path, marked(1))
    before = dry.hash
    files = add_rooms(dry, np.ones(3))
    assert files.hash != before
    with pytest.raises(UserError, match=r"data\.remix false.*split_rooms\.csv.*set data\.rooms 0"):
        mixtures.training(files, conf(remix=False), 0)
    assert mixtures.training(files, conf(remix=False, rooms=0.0), 0)[0]


def test_a_list_of_rooms_that_is_none_is_one_line(tmp_path):
    files = add_rooms(make_manifest(tmp_path, marked(1)), np.ones(3))
    for text in ("", "a,b\n1,2\n", "file,sample_rate,num_samples,group\nx,fast,1,a\n"):
        manifest.rooms_of(files.path).write_text(text)
        with pytest.raises(UserError, match=r"split_rooms\.csv: not a list of rooms.*run stage 0"):
            manifest.read(files.path)
