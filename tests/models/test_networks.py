"""Every architecture: streaming equals the clip, the state matters, and it is forgotten in time."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.build import build_network
from models.card import CardError, ModelCard, Shift
from models.mobilenet_v2 import MobileNetV2

ARCHITECTURES = ["mobilenet_v2", "resnet18", "resnet34", "resnet50", "resnet101"]
DEEP = {"resnet101": 1, "resnet50": 1}  # batch sizes that keep the suite quick


def network_of(architecture, seed_weights, **shift):
    width = 0.25 if architecture == "mobilenet_v2" else 1.0
    card = ModelCard(name="test", architecture=architecture, labels=tuple("abcd"),
                     width_multiplier=width, shift=Shift(**shift))
    return seed_weights(build_network(card))


@torch.no_grad()
def stepped(network, clip, state=None):
    state = state or network.open_state(clip.shape[0], *clip.shape[-2:])
    logits = []
    for frame in clip.unbind(1):
        y, state = network.step(frame, state)
        logits.append(y)
    return torch.stack(logits, 1)


@pytest.mark.parametrize("placement", ["blockres", "block"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_streaming_equals_the_clip_and_the_state_matters(architecture, placement, seed_weights):
    network = network_of(architecture, seed_weights, placement=placement)
    clip = torch.randn(DEEP.get(architecture, 2), 3, 3, 33, 32)  # an odd height on purpose
    with torch.no_grad():
        along = network(clip)
    scale = along.abs().max()
    assert along.shape == (len(clip), 3, 4)
    assert (stepped(network, clip) - along).abs().max() < 1e-5 * scale
    alone = stepped(network, clip.flatten(0, 1)[:, None]).reshape(along.shape)
    assert torch.allclose(alone[:, 0], along[:, 0], atol=1e-5 * scale)
    assert (alone[:, 1:] - along[:, 1:]).abs().max() > 0.01 * scale


@pytest.mark.parametrize("past_fold", ["first", "second"])
@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
def test_streaming_equals_the_clip_in_float64(architecture, past_fold, seed_weights):
    network = network_of(architecture, seed_weights, past_fold=past_fold).double()
    clip = torch.randn(3, 5, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        assert (stepped(network, clip) - network(clip)).abs().max() < 1e-10


@pytest.mark.parametrize(("architecture", "blocks"), [("mobilenet_v2", 10), ("resnet18", 8)])
def test_the_past_is_forgotten_after_as_many_frames_as_shifted_blocks(
        architecture, blocks, seed_weights):
    network = network_of(architecture, seed_weights).double()
    assert len(network.open_state(1, 32, 32)) == blocks
    clip = torch.randn(1, blocks + 1, 3, 32, 32, dtype=torch.float64)
    other = clip.clone()
    other[:, 0] += 1
    difference = (stepped(network, clip) - stepped(network, other)).abs().amax(2)[0]
    assert difference[blocks] > 0  # the last frame it can reach
    clip, other = (torch.cat([c, c[:, -1:]], 1) for c in (clip, other))
    assert (stepped(network, clip) - stepped(network, other))[:, blocks + 1].abs().max() == 0


@pytest.mark.parametrize(("architecture", "placement", "blocks"), [
    ("resnet34", "blockres", 16), ("resnet50", "blockres", 16), ("resnet101", "blockres", 18),
    ("resnet101", "block", 33), ("mobilenet_v2", "block", 10)])
def test_shifted_blocks(architecture, placement, blocks):
    with torch.device("meta"):
        card = ModelCard(name="t", architecture=architecture, labels=("a",),
                         shift=Shift(placement=placement))
        assert len(list(build_network(card).shift_points())) == blocks


def test_the_official_sizes():
    network = MobileNetV2(27)
    assert len(network.state_dict()) == 314
    assert sum(p.numel() for p in network.parameters()) == 2_258_459
    shapes = [tuple(s.shape[1:]) for s in network.open_state(1, 224, 224)]
    assert shapes == [(3, 56, 56), (4, 28, 28), (4, 28, 28), (8, 14, 14), (8, 14, 14), (8, 14, 14),
                      (12, 14, 14), (12, 14, 14), (20, 7, 7), (20, 7, 7)]
    assert sum(s.numel() for s in network.open_state(1, 224, 224)) == 27_048
    shifted = [i for i, f in enumerate(network.features) if getattr(f, "shifted", False)]
    assert shifted == [3, 5, 6, 8, 9, 10, 12, 13, 15, 16]


def test_streams_in_one_batch_do_not_meet(tiny_network):
    network = tiny_network.double()
    clip = torch.randn(3, 4, 3, 32, 32, dtype=torch.float64)
    together = stepped(network, clip)
    for i in range(3):
        assert (stepped(network, clip[i : i + 1])[0] - together[i]).abs().max() < 1e-10


def test_a_step_changes_nothing_it_was_given(tiny_network):
    state = tuple(torch.randn_like(s) for s in tiny_network.open_state(1, 32, 32))
    frame = torch.randn(1, 3, 32, 32)
    before = [t.clone() for t in (frame, *state)]
    with torch.no_grad():
        _, new = tiny_network.step(frame, state)
    assert all(torch.equal(a, b) for a, b in zip((frame, *state), before, strict=True))
    assert [n.shape for n in new] == [s.shape for s in state]


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
@torch.no_grad()
def test_a_part_of_the_walk_changes_nothing_it_was_given(architecture, seed_weights):
    """Also where the first of its blocks shifts in place."""
    network = network_of(architecture, seed_weights, placement="block")
    clip = torch.randn(1, 3, 3, 32, 32)
    for start in range(1, 1 + len(list(network.shift_points()))):
        maps = network(clip, stop=start)
        before = maps.clone()
        assert torch.allclose(network(maps, start=start), network(clip), atol=1e-5)
        assert torch.equal(maps, before)


def test_a_both_ways_network_streams_its_past_half(seed_weights):
    """With the future fold left alone, the stream is what a past-only second fold gives."""
    both = network_of("mobilenet_v2", seed_weights, direction="both", past_fold="second")
    past = network_of("mobilenet_v2", seed_weights, direction="past", past_fold="second")
    clip = torch.randn(1, 4, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(stepped(both, clip), past(clip), atol=1e-5)
        assert (both(clip) - past(clip)).abs().max() > 0.01


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
def test_the_block_placement_trains(architecture, seed_weights):
    """In place or not, the gradients are those of the plain shift, run here without tricks."""
    network = network_of(architecture, seed_weights, direction="both", placement="block").double()
    reference = network_of(architecture, seed_weights, direction="both", placement="block").double()
    reference._shift_clip = plain_shift
    clip = torch.randn(2, 3, 3, 32, 32, dtype=torch.float64)
    for net in (network, reference):
        net.train()
        net(clip).square().sum().backward()
    for (name, ours), theirs in zip(network.named_parameters(), reference.parameters(),
                                    strict=True):
        assert torch.allclose(ours.grad, theirs.grad), name


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18", "resnet50"])
def test_what_each_placement_shifts(architecture, seed_weights):
    """"block" shifts what the whole block reads, "blockres" leaves its shortcut alone."""
    for placement in ("block", "blockres"):
        network = network_of(architecture, seed_weights, placement=placement)
        block = network.features[3] if architecture == "mobilenet_v2" else network.layer1[1]
        x = torch.randn(2, block.inputs, 4, 4)
        with torch.no_grad():
            ours = block(x, lambda x: x.roll(1, 1))
            whole = block(x.roll(1, 1), lambda x: x)
            without = block(x, lambda x: x)
        assert torch.equal(ours, whole) == (placement == "block")
        assert not torch.equal(ours, without)


@pytest.mark.parametrize(("architecture", "count"), [
    ("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032),
    ("resnet101", 44_549_160)])
def test_a_resnet_has_the_published_number_of_parameters(architecture, count):
    with torch.device("meta"):
        network = build_network(ModelCard("t", architecture, tuple(map(str, range(1000)))))
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("architecture", ["resnet18", "resnet50"])
def test_a_resnet_is_the_papers(architecture, seed_weights):
    """Once more from the paper and the names alone, over a clip of two frames."""
    network = network_of(architecture, seed_weights).double()
    weights = network.state_dict()

    def conv_bn(x, conv, norm, stride=1):
        weight = weights[f"{conv}.weight"]
        x = functional.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        mean, var, scale, bias = (weights[f"{norm}.{n}"][:, None, None] for n in (
            "running_mean", "running_var", "weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * scale + bias

    clip = torch.randn(1, 2, 3, 40, 40, dtype=torch.float64)
    x = functional.max_pool2d(conv_bn(clip[0], "conv1", "bn1", 2).relu(), 3, 2, 1)
    for name in dict.fromkeys(".".join(n.split(".")[:2]) for n in weights if n[:5] == "layer"):
        stride = 2 if name in ("layer2.0", "layer3.0", "layer4.0") else 1
        y, fold = x.clone(), x.shape[1] // 8
        y[0, :fold], y[1, :fold] = 0, x[0, :fold]
        three = f"{name}.conv3.weight" in weights
        y = conv_bn(y, f"{name}.conv1", f"{name}.bn1", 1 if three else stride).relu()
        y = conv_bn(y, f"{name}.conv2", f"{name}.bn2", stride if three else 1)
        if three:
            y = conv_bn(y.relu(), f"{name}.conv3", f"{name}.bn3")
        if f"{name}.downsample.0.weight" in weights:
            x = conv_bn(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        x = (x + y).relu()
    expected = x.mean((2, 3)) @ weights["fc.weight"].T + weights["fc.bias"]
    with torch.no_grad():
        assert (network(clip)[0] - expected).abs().max() < 1e-10


def test_a_fold_too_fine_for_the_channels_is_refused():
    with pytest.raises(CardError, match="24 channels have no first fold of 1/32"):
        build_network(ModelCard("t", "mobilenet_v2", ("a",), shift=Shift(fold_div=32)))


def plain_shift(clip, shift):
    """First fold from the past, second from the future, zeros outside: one frame at a time."""
    fold, zero = clip.shape[2] // shift.fold_div, torch.zeros_like(clip[:, 0])
    frames = [zero, *clip.unbind(1), zero]
    return torch.stack([
        torch.cat([a[:, :fold], c[:, fold : 2 * fold], b[:, 2 * fold :]], 1)
        for a, b, c in zip(frames, frames[1:], frames[2:], strict=False)], 1)


def test_a_resnet_has_no_width_multiplier():
    with pytest.raises(CardError, match=r"0\.5.*resnet18"):
        build_network(ModelCard(name="t", architecture="resnet18", labels=("a",),
                                width_multiplier=0.5))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "error::torch.jit.TracerWarning")
def test_the_step_exports_to_onnx(tiny_network, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    frame, state = torch.randn(1, 3, 32, 32), tiny_network.open_state(1, 32, 32)

    class Step(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = tiny_network

        def forward(self, frame, *state):
            logits, new = self.network.step(frame, state)
            return logits, *new

    names = [f"s{i}" for i in range(len(state))]
    torch.onnx.export(Step().eval(), (frame, *state), str(tmp_path / "step.onnx"), dynamo=False,
                      opset_version=17, input_names=["frame", *names],
                      output_names=["logits", *(f"new_{n}" for n in names)])
    session = onnxruntime.InferenceSession(str(tmp_path / "step.onnx"),
                                           providers=["CPUExecutionProvider"])
    arrays = [s.numpy() for s in state]
    for _ in range(4):
        frame = torch.randn(1, 3, 32, 32)
        logits, *arrays = session.run(
            None, {"frame": frame.numpy(), **dict(zip(names, arrays, strict=True))})
        with torch.no_grad():
            expected, state = tiny_network.step(frame, state)
        assert abs(logits - expected.numpy()).max() < 5e-4
