"""The arithmetic of a training: what ``trainer.precision: auto`` is, whether bfloat16 is real."""

import time

import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from local.base.errors import UserError

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # of x86, x86 and ARM, as torch calls them
WRONG = 0.05  # relative error of a layer in bfloat16; rounding alone makes 0.003
SIDE, ROUNDS = 512, 3  # of the products that tell how slow an emulation is


def choose(asked: str, accelerator: str) -> tuple[str, str | None]:
    """What to compute in.

    Args:
        asked: the setting ``trainer.precision``.
        accelerator: the setting ``trainer.accelerator``.

    Returns:
        Lightning's name of the precision, ``bf16-mixed`` for ``auto`` only where the hardware has
        it; and None, or the line that says why what was asked for is slow.

    Raises:
        UserError: float16 on a CPU, instead of which Lightning would take bfloat16.
    """
    device = device_of(accelerator)
    if asked == "16-mixed" and device == "cpu":
        raise UserError("trainer.precision 16-mixed needs a GPU; auto takes what suits this CPU")
    real = has_bfloat16(device)
    if asked == "auto":
        return ("bf16-mixed" if real else "32-true"), None
    if asked != "bf16-mixed" or real or device != "cpu":
        return asked, None
    return asked, (f"this CPU has no bfloat16 and emulates it: a training step of a linear layer"
                   f" took {slowdown():.1f} times as long as in float32; --trainer.precision auto"
                   " takes bf16-mixed only where the hardware has it")  # fmt: skip


def trusted(asked: str, arithmetic: str, network: nn.Module, mix: torch.Tensor):
    """``choose`` once the network is there: float32 for ``auto`` where bfloat16 fails.

    torch 2.11 on CPUs with AMX gives other numbers for a convolution of stride 4 with 16 or 24
    channels, but the gradients of the right ones: a network learns to live with it, and separates
    nothing in float32 and on other machines. On CPUs without bfloat16 it has no LSTM for inputs in
    float32 under autocast, and raises.

    Args:
        asked: the setting ``trainer.precision``.
        arithmetic: what ``choose`` made of it.
        network: on the CPU, where it is tried; it does not change.
        mix: (batch, time), some mixtures.

    Returns:
        as ``choose``.

    Raises:
        UserError: bfloat16 was asked for, and a layer is wrong or missing in it.
    """
    said = fault(network, mix) if arithmetic == "bf16-mixed" else None
    if said is None:
        return arithmetic, None
    line = f"this CPU in bfloat16 with torch {torch.__version__}: {said}"
    if asked == "auto":
        return "32-true", f"{line}; it trains in float32"
    raise UserError(f"trainer.precision {asked}: {line}; auto takes float32 here")


@torch.no_grad()
def fault(network: nn.Module, mix: torch.Tensor) -> str | None:
    """What is wrong with a network in bfloat16: it raises, or a layer gives other numbers."""
    wrong = []

    def compare(layer, inputs, output):
        if inputs[0].is_complex():
            return  # autocast leaves it as it is
        x = inputs[0].float()
        with torch.autocast("cpu", enabled=False):
            expected = layer.forward(x)  # not the layer itself, which would come back here
        if (output - expected).norm() > WRONG * expected.norm():
            wrong.append(layer)

    kinds = (_ConvNd, nn.Linear)
    hooks = [layer.register_forward_hook(compare) for layer in network.modules()
             if isinstance(layer, kinds)]  # fmt: skip
    training = network.training
    network.eval()  # what batch normalisation has seen stays
    try:
        with torch.autocast("cpu", torch.bfloat16):
            network(mix)
    except RuntimeError as error:
        return str(error).partition("\n")[0].rstrip(".")
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return f"it computes a layer wrongly, {wrong[0]}" if wrong else None


def device_of(accelerator: str) -> str:
    """The type of device that Lightning takes for an accelerator."""
    if accelerator in ("auto", "gpu"):
        if torch.cuda.is_available():
            return "cuda"
        if torch.backends.mps.is_available():
            return "mps"
    return "mps" if accelerator == "mps" else "cpu"


def has_bfloat16(device: str) -> bool:
    """Whether a type of device multiplies in bfloat16, rather than emulating it."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device == "cpu" and any(map(torch.cpu.get_capabilities().get, BFLOAT16))


def slowdown() -> float:
    """How many times as long as in float32 a step of a linear layer takes on this CPU, now."""
    x, weight = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE, requires_grad=True)

    def seconds(mixed: bool) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            functional.linear(x, weight).sum().backward()
        return time.perf_counter() - start

    both = [(seconds(True), seconds(False)) for _ in range(1 + ROUNDS)][1:]  # the first is slow
    return min(mixed for mixed, _ in both) / min(plain for _, plain in both)
