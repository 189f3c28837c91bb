"""ONNX networks: what they remember, and the lines where a file is not the one that is expected."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx_files

from local import ROOT
from local.base.errors import UserError
from local.blocks.onnx_network import Network, locate


def counting(path):
    """y = x + m, and m becomes m + 1."""
    shapes = {"x": (1, 2), "m": (1, 1)}
    return onnx_files.write(path, ["Add x m y", "Add m one n"], shapes, ["y", "n"], {"one": 1.0})


def test_what_it_remembers_goes_from_call_to_call(tmp_path):
    network = Network(counting(tmp_path / "a.onnx"), [(1, 2), (1, 1)])
    x, memory, found = np.array([[10, 20]], np.float32), network.blank(), []
    for _ in range(3):
        y, memory = network(x, memory)
        found.append(y[0].tolist())
    assert found == [[10, 20], [11, 21], [12, 22]]
    assert network.blank()[0] == 0


def test_a_size_may_be_left_open(tmp_path):
    path = onnx_files.write(tmp_path / "a.onnx", ["Neg x y"], {"x": (None, 3)}, ["y"])
    network = Network(path, [(None, 3)])
    for count in (1, 5):
        y, memory = network(np.ones((count, 3), np.float32), [])
        assert y.tolist() == [[-1] * 3] * count
        assert memory == []


@pytest.mark.parametrize("shapes", [[(1, 2)], [(1, 2), (1, 2)], [(1, 1), (1, 2)]])
def test_a_network_with_other_inputs_is_refused(tmp_path, shapes):
    with pytest.raises(ValueError, match=r"expected a network with the inputs"):
        Network(counting(tmp_path / "a.onnx"), shapes)


def test_what_is_no_network_is_named(tmp_path):
    (tmp_path / "text.onnx").write_text("not a network")
    for name, what in (("none.onnx", "nothing there"), (".", "a folder"), ("text.onnx", "ONNX")):
        with pytest.raises(UserError, match=what) as caught:
            Network(tmp_path / name, [(1, 2)])
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)


def test_a_file_is_the_one_given_or_that_of_the_package(tmp_path):
    assert locate("some/file", "no-such-package", "x", "toy") == ROOT / "some/file"
    assert locate(str(tmp_path), "no-such-package", "x", "toy") == tmp_path
    assert locate(None, "numpy", "numpy/__init__.py", "toy").samefile(np.__file__)


def test_a_package_that_is_not_there_is_one_line():
    with pytest.raises(UserError, match=r"^toy needs files of the package 'no-such-package': "):
        locate(None, "no-such-package", "x", "toy")
    with pytest.raises(UserError, match=r"nowhere.onnx: not there; the package 'numpy'"):
        locate(None, "numpy", "numpy/nowhere.onnx", "toy")
