"""Weights that ship: half the size, the same estimates, nothing where they would not be."""

import pytest
import torch

from local import ship
from local.base.errors import UserError
from local.model import checkpoint, separators


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A tiny checkpoint, in a checkout of its own."""
    monkeypatch.setattr(ship, "ROOT", tmp_path)
    path = tmp_path / "exp" / "best_model.pth"
    checkpoint.save(path, separators.build("blstm_complex", "tiny"), {"provenance": {"seed": 3}})
    return path


def test_the_file_is_half_as_large_and_separates_alike(source, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["ship", str(source.parent), "--as", "voice"])
    ship.main()
    path = tmp_path / "recipes" / "blstm_complex" / "pretrained" / "voice.pth"
    assert path.stat().st_size < 0.6 * source.stat().st_size
    assert checkpoint.read(path)["winnow"]["provenance"] == {"seed": 3}
    assert all(p.dtype == torch.float32 for p in separators.load(path).parameters())
    mix = 0.1 * torch.randn(1, 4001, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact, rounded = separators.load(source)(mix), separators.load(path)(mix)
    torch.testing.assert_close(rounded, exact, rtol=0, atol=1e-3)
    assert "dB from float32" in capsys.readouterr().out


def test_weights_that_float16_cannot_hold_are_refused(source, tmp_path):
    separator = separators.load(source)
    with torch.no_grad():
        separator.network.mask.bias.fill_(1e6)
    checkpoint.save(source, separator, {"provenance": {}})
    with pytest.raises(UserError, match=r"weight 'mask\.bias' is beyond what float16 can hold"):
        ship.ship(source, "voice")
    assert not list(tmp_path.glob("recipes/**/*.pth"))


def test_weights_whose_rounding_is_heard_are_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(ship, "TOLERANCE_DB", -150.0)  # float16 has 11 bits, about -66 dB
    with pytest.raises(UserError, match="as float16 its estimates change"):
        ship.ship(source, "voice")
    assert not list(tmp_path.glob("recipes/**/*.pth"))


@pytest.mark.parametrize("name", ["a/b", "../a", ""])
def test_a_name_is_a_word(source, monkeypatch, name):
    monkeypatch.setattr("sys.argv", ["ship", str(source.parent), "--as", name])
    with pytest.raises(UserError, match="--as expects"):
        ship.main()


def test_what_the_weights_do_not_depend_on_can_be_changed(source, tmp_path, monkeypatch):
    arguments = ["ship", str(source.parent), "--as", "voice", "--model.shifts", "4"]
    monkeypatch.setattr("sys.argv", arguments)
    ship.main()
    path = tmp_path / "recipes" / "blstm_complex" / "pretrained" / "voice.pth"
    assert separators.load(path).network.shifts == 4


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.shift", "2", "did you mean 'model.shifts'"),
        ("model.hidden_size", "8", "does not fit"),
        ("optim.lr", "1", "unknown key"),
    ],
)
def test_other_changes_are_one_line(source, tmp_path, key, value, message):
    with pytest.raises(UserError, match=message):
        ship.ship(source, "voice", {key: value})
    assert not list(tmp_path.glob("recipes/**/*.pth"))
