"""Graphs that somebody else exported: one that is an online network, and many that are none."""

from __future__ import annotations

from onnx import TensorProto, helper


def foreign(batch: int | str = 1, classes: int = 3, rename: tuple[str, ...] = (),
            size: int | str = 4, kind: int = TensorProto.FLOAT) -> bytes:
    """Logits are the mean of image and state, the next state is the image and half the state."""
    names = dict(zip(("i0", "i1", "o0", "o1"), rename or ("i0", "i1", "o0", "o1"), strict=True))
    shape = [batch, classes, size, size]
    nodes = [
        helper.make_node("Add", [names["i0"], names["i1"]], ["sum"]),
        helper.make_node("ReduceMean", ["sum"], [names["o0"]], axes=[2, 3], keepdims=0),
        helper.make_node("Mul", [names["i1"], "half"], ["less"]),
        helper.make_node("Add", [names["i0"], "less"], [names["o1"]]),
    ]
    half = helper.make_tensor("half", kind, [1], [0.5])
    graph = helper.make_graph(
        nodes, "foreign",
        [helper.make_tensor_value_info(names[n], kind, shape) for n in ("i0", "i1")],
        [helper.make_tensor_value_info(names["o0"], kind, [batch, classes]),
         helper.make_tensor_value_info(names["o1"], kind, shape)], [half])
    return _model(graph)


def clip_model() -> bytes:
    node = helper.make_node("ReduceMean", ["clip"], ["logits"], axes=[2, 3, 4], keepdims=0)
    return _model(helper.make_graph(
        [node], "clip",
        [helper.make_tensor_value_info("clip", TensorProto.FLOAT, [1, 3, 8, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])]))


def image_model() -> bytes:
    node = helper.make_node("ReduceMean", ["image"], ["logits"], axes=[2, 3], keepdims=0)
    return _model(helper.make_graph(
        [node], "image",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])]))


def shrinking_state() -> bytes:
    shapes = {"image": [1, 3, 4, 4], "state": [1, 3, 4, 4], "logits": [1, 3], "next": [1, 3, 1, 1]}
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
              for name, shape in shapes.items()]
    nodes = [helper.make_node("ReduceMean", ["image"], ["logits"], axes=[2, 3], keepdims=0),
             helper.make_node("GlobalAveragePool", ["state"], ["next"])]
    return _model(helper.make_graph(nodes, "shrinking", values[:2], values[2:]))


def with_state(shape: list[int] | None, kind: int = TensorProto.FLOAT,
               logits: tuple[int, ...] = (1, 3)) -> bytes:
    """A graph whose state goes through as it is."""
    axes = {"axes": [2, 3]} if logits else {}
    nodes = [helper.make_node("ReduceMean", ["image"], ["logits"], keepdims=0, **axes),
             helper.make_node("Identity", ["state"], ["next"])]
    return _model(helper.make_graph(
        nodes, "stateful",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4]),
         helper.make_tensor_value_info("state", kind, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, logits),
         helper.make_tensor_value_info("next", kind, shape)]))


def _model(graph) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


SHAPELESS = [  # and what is said of each
    (with_state([]), "state has no shape, or is a single number"),
    (with_state(None), "state has no shape, or is a single number"),
    (with_state([], TensorProto.INT64), "state is .*64.*only float32"),
    (with_state([1, 4], logits=()), "logits has no shape, or is a single number"),
]
