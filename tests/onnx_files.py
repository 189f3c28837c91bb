"""Small ONNX networks in files, for tests of what runs trained ones.

    write(path, ["Identity x y", "Add x m y"], {"x": (1, 4), "m": (1, 4)}, ["y", "n"])

Every node is an operation, its inputs and its output; the inputs of the network have float32 of the
shapes given, None for any size.
"""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

OPSET, IR = 13, 8


def write(path: Path, nodes: list[str], inputs: dict, outputs: list[str], constants=None) -> Path:
    """Write a network of ``nodes``; ``constants`` are further inputs of nodes, name -> number."""
    made = []
    for node in nodes:
        kind, *names, out = node.split()
        made.append(helper.make_node(kind, names, [out]))
    values = [helper.make_tensor(name, TensorProto.FLOAT, [], [value])
              for name, value in (constants or {}).items()]  # fmt: skip
    graph = helper.make_graph(
        made, "test",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in inputs.items()],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
        values,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path
