"""The checkpoint: what is stored and read back, each fault of a file, and Asteroid's programs."""

import io
import pickle
import zipfile

import narrow_networks
import numpy as np
import pytest
import soundfile
import torch
from asteroid.models import BaseModel, ConvTasNet
from narrow_networks import noise

from local import SOURCES
from local.base import audio
from local.base.errors import UserError
from local.model import checkpoint, separators


@pytest.fixture(scope="module")
def narrow():
    return narrow_networks.build()


@pytest.fixture
def saved(narrow, tmp_path):
    """The path of a checkpoint of ``narrow``."""
    path = tmp_path / "best_model.pth"
    checkpoint.save(path, narrow, {"seed": 3, "provenance": {"commit": "abc"}})
    return path


def test_round_trip(narrow, saved):
    loaded = separators.load(saved)
    mix = noise(2, 1001)
    with torch.no_grad():
        assert torch.equal(loaded(mix), narrow(mix))
    assert not loaded.training
    assert loaded.recipe == "convtasnet"
    assert loaded.sample_rate == 16000
    assert loaded.consistency == "project"
    assert loaded.order == SOURCES
    assert loaded.infos == {"seed": 3, "provenance": {"commit": "abc"}}


def test_the_order_is_stored(narrow, tmp_path):
    turned = separators.Separator(narrow.network, "convtasnet", 16000, "none", SOURCES[::-1]).eval()
    checkpoint.save(tmp_path / "m.pth", turned, {})
    mix = noise(1, 300)
    with torch.no_grad():
        assert torch.equal(separators.load(tmp_path / "m.pth")(mix), turned(mix))


def test_layout_is_that_of_the_contracts(saved):
    package = torch.load(saved, weights_only=True)
    assert set(package) == {"model_name", "model_args", "state_dict", "infos", "winnow"}
    assert package["model_name"] == "ConvTasNet"
    assert package["winnow"] == {
        "format": 1, "recipe": "convtasnet", "sample_rate": 16000, "sources": list(SOURCES),
        "mixture_consistency": "project", "provenance": {"commit": "abc"},
    }  # fmt: skip


def test_infos_become_plain_types(narrow, tmp_path):
    infos = {
        "a": np.float64(1.5), "b": (np.int64(2), None), "c": tmp_path, 3: torch.tensor(4),
        "version": torch.__version__, "d": {"e": np.bool_(True)},
    }  # fmt: skip
    checkpoint.save(tmp_path / "m.pth", narrow, infos)
    found = checkpoint.read(tmp_path / "m.pth")["infos"]
    assert found == {
        "a": 1.5, "b": [2, None], "c": str(tmp_path), "3": 4, "version": str(torch.__version__),
        "d": {"e": True},
    }  # fmt: skip
    assert type(found["a"]) is float
    assert type(found["version"]) is str


def test_a_failed_save_leaves_the_old_file(narrow, saved, monkeypatch):
    before = saved.read_bytes()

    def fail(package, path):
        path.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        checkpoint.save(saved, narrow, {})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


class Trap:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def zipped(text: str) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("x", text)
    return memory.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello\nworld", b"\0" * 100, b"(]", zipped("x"), pickle.dumps({"a": 1}, protocol=2),
        pickle.dumps(complex(1, 2), protocol=2),
    ],
)  # fmt: skip
def test_a_file_that_is_no_checkpoint(tmp_path, data):
    path = tmp_path / "m.pth"
    path.write_bytes(data)
    with pytest.raises(UserError, match="not a model file of winnow") as caught:
        separators.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", [0.01, 0.5, 0.99])
def test_a_truncated_checkpoint(saved, part):
    data = saved.read_bytes()
    saved.write_bytes(data[: int(part * len(data))])
    with pytest.raises(UserError, match="not a model file of winnow"):
        separators.load(saved)


def test_no_file(tmp_path):
    with pytest.raises(UserError, match="stage 1 makes it"):
        separators.load(tmp_path / "best_model.pth")


def test_a_pickled_class_is_not_executed(saved, tmp_path):
    package = torch.load(saved, weights_only=True)
    package["infos"]["trap"] = Trap(tmp_path / "executed")
    for write in (torch.save, lambda p, path: path.write_bytes(pickle.dumps(p, protocol=2))):
        write(package, saved)
        with pytest.raises(UserError, match="not a model file of winnow"):
            separators.load(saved)
    assert not (tmp_path / "executed").exists()


def change(tree: dict, key: str, value) -> None:
    """Set, or with ``...`` delete, a dotted key."""
    *sections, name = key.split(".")
    for section in sections:
        tree = tree[section]
    if value is ...:
        del tree[name]
    else:
        tree[name] = value


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("model_name", ..., ["'model_name'"]),
        ("model_args", [1], ["'model_args'"]),
        ("state_dict", ..., ["'state_dict'"]),
        ("infos", 3, ["'infos'"]),
        ("winnow", ..., ["'winnow'"]),
        ("winnow.recipe", ..., ["'recipe'"]),
        ("winnow.sample_rate", "x", ["'sample_rate'"]),
        ("winnow.sample_rate", True, ["sample_rate from 1000 to 768000 Hz", "True"]),
        ("winnow.sample_rate", 0, ["sample_rate from 1000", "found 0"]),
        ("winnow.sample_rate", -16000, ["sample_rate from 1000", "found -16000"]),
        ("winnow.sample_rate", 10**9, ["sample_rate from 1000", "found 1000000000"]),
        ("winnow.sample_rate", 16000.0, ["'sample_rate'"]),
        ("winnow.provenance", ..., ["'provenance'"]),
        ("winnow.provenance", [1], ["'provenance'"]),
        ("infos.parameters", "many", ["'parameters'", "'many'"]),
        ("infos.parameters", 1.5, ["'parameters'", "1.5"]),
        ("infos.macs_per_second", [1], ["'macs_per_second'"]),
        ("infos.audio_seconds_seen", float("nan"), ["'audio_seconds_seen'", "nan"]),
        ("infos.training_seconds", float("inf"), ["'training_seconds'", "inf"]),
        ("infos.training_seconds", -1, ["'training_seconds'", "-1"]),
        ("infos.seed", True, ["'seed'", "True"]),
        ("winnow.format", ..., ["expected format 1", "None"]),
        ("winnow.format", 2, ["expected format 1", "2"]),
        ("winnow.format", True, ["expected format 1", "True"]),
        ("winnow.sources", ["voice", "music"], ["'noise'", "'music'"]),
        ("winnow.mixture_consistency", "sum", ["mixture_consistency", "'sum'"]),
        ("winnow.recipe", "convtasnte", ["unknown model", "'convtasnet'"]),
        ("winnow.recipe", "../recipes/convtasnet", ["unknown model"]),
        ("winnow.recipe", "dprnn", ["class expects one of DPRNNTasNet", "'ConvTasNet'"]),
        ("model_name", "os.system", ["class expects one of ConvTasNet", "'os.system'"]),
        ("model_args.n_blocks", 3, ["recipes/convtasnet"]),
        ("model_args.norm_type", "zLN", ["recipes/convtasnet", "zLN"]),
        ("state_dict.extra", 3, ["'extra'"]),
        ("state_dict.extra", torch.zeros(2), ["recipes/convtasnet", "extra"]),
    ],
)
def test_a_checkpoint_with_a_fault(saved, key, value, parts):
    package = torch.load(saved, weights_only=True)
    change(package, key, value)
    torch.save(package, saved)
    with pytest.raises(UserError) as caught:
        separators.load(saved)
    line = str(caught.value)
    assert line.startswith(f"{saved}: ")
    assert "\n" not in line
    for part in parts:
        assert part in line


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_weight_that_is_not_finite(saved, value, dtype):
    package = torch.load(saved, weights_only=True)
    name = "decoder.filterbank._filters"
    package["state_dict"][name] = package["state_dict"][name].to(dtype)
    separators.load(saved)
    package["state_dict"][name].flatten()[-1] = value
    torch.save(package, saved)
    with pytest.raises(UserError, match=rf"weight '{name}' holds NaN or infinite values"):
        separators.load(saved)


@pytest.mark.parametrize(
    "weight", [torch.zeros(2, 2).to_sparse(), torch.zeros(2, device="meta")], ids=["sparse", "meta"]
)
def test_a_weight_without_values(saved, weight):
    package = torch.load(saved, weights_only=True)
    package["state_dict"]["decoder.filterbank._filters"] = weight
    torch.save(package, saved)
    with pytest.raises(UserError, match=str(saved)):
        separators.load(saved)


def test_a_missing_weight(saved):
    package = torch.load(saved, weights_only=True)
    del package["state_dict"]["decoder.filterbank._filters"]
    torch.save(package, saved)
    with pytest.raises(UserError, match=r"decoder\.filterbank\._filters"):
        separators.load(saved)


# ---------------------------------------------------------------- Asteroid's own programs


def test_stock_asteroid_loads_the_checkpoint(narrow, saved):
    stock = BaseModel.from_pretrained(str(saved)).eval()
    assert type(stock) is ConvTasNet
    mix = noise(1, 1600)
    with torch.no_grad():
        torch.testing.assert_close(stock(mix), narrow.network(mix), rtol=0, atol=1e-6)


def test_asteroid_infer_separates_a_file(narrow, saved, tmp_path):
    from asteroid.scripts import asteroid_cli

    mix = 0.1 * noise(1600).numpy()
    soundfile.write(tmp_path / "a.wav", mix, 16000, subtype="FLOAT")
    out = tmp_path / "out"
    out.mkdir()
    asteroid_cli.infer([str(saved), "--files", str(tmp_path / "a.wav"), "-o", str(out)])
    with torch.no_grad():
        expected = narrow.network(torch.as_tensor(mix).unsqueeze(0))[0]
    for i in range(2):
        estimate, rate = audio.read(out / f"a_est{i + 1}.wav")
        assert rate == 16000
        # it rescales its outputs: the same up to a factor
        assert np.corrcoef(estimate, expected[i])[0, 1] > 0.9999
