"""Which arithmetic a training takes, on hardware with and without bfloat16."""

import re
from pathlib import Path

import pytest
import torch

from local.base.errors import UserError
from local.training import precision


def without_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def cpu(monkeypatch, *flags):
    """A CPU that can do what these flags say, and AVX2."""
    without_gpu(monkeypatch)
    known = {"avx2": True, "avx512_bf16": False, "amx_int8": True} | dict.fromkeys(flags, True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)


def test_this_cpu_is_what_the_system_says_of_it():
    """Where the kernel lists the flags: those of bfloat16 on x86, and on ARM."""
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    flags = set(" ".join(re.findall(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)).split())
    if flags:
        assert precision.has_bfloat16("cpu") == bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    assert precision.has_bfloat16("mps") is False


@pytest.mark.parametrize("flag", ["avx512_bf16", "amx_bf16", "bf16"])
def test_auto_is_bfloat16_where_the_cpu_has_it(monkeypatch, flag):
    cpu(monkeypatch, flag)
    for accelerator in ("auto", "cpu"):
        assert precision.choose("auto", accelerator) == ("bf16-mixed", None)
        assert precision.choose("bf16-mixed", accelerator) == ("bf16-mixed", None)
        assert precision.choose("32-true", accelerator) == ("32-true", None)


def test_auto_is_float32_where_it_does_not_and_the_emulation_is_told(monkeypatch):
    cpu(monkeypatch)
    assert precision.choose("auto", "auto") == ("32-true", None)
    assert precision.choose("32-true", "auto") == ("32-true", None)
    monkeypatch.setattr(precision, "slowdown", lambda: 15.25)
    chosen, line = precision.choose("bf16-mixed", "cpu")
    assert chosen == "bf16-mixed"
    assert "15.2 times" in line
    assert "precision auto" in line


@pytest.mark.parametrize(("major", "chosen"), [(7, "32-true"), (8, "bf16-mixed")])
def test_a_gpu_has_it_from_its_eighth_generation_on(monkeypatch, major, chosen):
    cpu(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    properties = type("Properties", (), {"major": major})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    for accelerator in ("auto", "gpu"):
        assert precision.choose("auto", accelerator) == (chosen, None)
        assert precision.choose("bf16-mixed", accelerator) == ("bf16-mixed", None)
    assert precision.choose("auto", "cpu") == ("32-true", None)


def test_float16_on_a_cpu_is_refused(monkeypatch):
    cpu(monkeypatch, "amx_bf16")
    with pytest.raises(UserError, match="16-mixed needs a GPU"):
        precision.choose("16-mixed", "auto")


def test_the_ratio_is_that_of_the_times(monkeypatch):
    """A clock that each product in bfloat16 moves by 6 s and each in float32 by 2 s."""
    now, passed = 0.0, {True: 6.0, False: 2.0}

    def multiply(x, weight):
        nonlocal now
        now += passed[torch.is_autocast_enabled("cpu")]
        return x @ weight

    monkeypatch.setattr(precision.functional, "linear", multiply)
    monkeypatch.setattr(precision.time, "perf_counter", lambda: now)
    assert precision.slowdown() == 3.0


class Wrong(torch.nn.Conv1d):
    """Stands for a kernel that gives other numbers in bfloat16."""

    def forward(self, x):
        """Twice what it should be."""
        return super().forward(x) * (2 if torch.is_autocast_enabled("cpu") else 1)


def network(kind):
    return torch.nn.Sequential(
        torch.nn.Unflatten(1, (1, -1)), torch.nn.Conv1d(1, 16, 8, 4), torch.nn.BatchNorm1d(16),
        torch.nn.Dropout(0.5), kind(16, 2, 3),
    )  # fmt: skip


def test_a_wrong_layer_is_found_and_nothing_changes():
    torch.manual_seed(0)
    net, mix = network(Wrong), torch.randn(2, 400)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    assert precision.fault(net, mix).endswith(repr(net[4]))
    assert precision.fault(network(torch.nn.Conv1d), mix) is None
    assert net.training
    assert not any(layer._forward_hooks for layer in net)
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name])


def test_wrong_bfloat16_is_not_used():
    net, mix = network(Wrong), torch.randn(2, 400)
    arithmetic, line = precision.trusted("auto", "bf16-mixed", net, mix)
    assert arithmetic == "32-true"
    assert "Wrong(16, 2, kernel_size=(3,)" in line
    assert "trains in float32" in line
    with pytest.raises(UserError, match=r"precision bf16-mixed: .*wrongly.*; auto takes float32"):
        precision.trusted("bf16-mixed", "bf16-mixed", net, mix)
    assert precision.trusted("32-true", "32-true", net, mix) == ("32-true", None)
    right = network(torch.nn.Conv1d)
    assert precision.trusted("auto", "bf16-mixed", right, mix) == ("bf16-mixed", None)


class Missing(torch.nn.Conv1d):
    """Stands for a kernel that there is not in bfloat16."""

    def forward(self, x):
        """As oneDNN's LSTM on a CPU without bfloat16."""
        if torch.is_autocast_enabled("cpu"):
            raise RuntimeError("could not create a primitive descriptor. Run with more words.")
        return super().forward(x)


def test_bfloat16_that_raises_is_not_used():
    net, mix = network(Missing), torch.randn(2, 400)
    arithmetic, line = precision.trusted("auto", "bf16-mixed", net, mix)
    assert arithmetic == "32-true"
    assert "could not create a primitive descriptor" in line
    assert net.training
    assert not any(layer._forward_hooks for layer in net)
    with pytest.raises(UserError, match=r"precision bf16-mixed: .*primitive.*; auto takes float32"):
        precision.trusted("bf16-mixed", "bf16-mixed", net, mix)
