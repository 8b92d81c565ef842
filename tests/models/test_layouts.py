"""Every foreign layout, built from our own tensors by its documented names, gives our logits."""

import logging

import pytest
import torch

from models import jester
from models.build import build_network
from models.card import ModelCard, Shift
from models.checkpoints import CheckpointError, load_initial_weights, load_model
from models.mobilenet_v2 import STAGES

LABELS = [f"class {i}" for i in range(5)]
BOTH = {"direction": "both", "past_fold": "second"}


def ours(seed_weights, architecture, labels=LABELS, **shift):
    card = ModelCard(name="t", architecture=architecture, labels=tuple(labels),
                     width_multiplier=0.35 if architecture == "mobilenet_v2" else 1.0,
                     shift=Shift(**shift))
    return seed_weights(build_network(card))


def mit_script(network, new_fc=True):
    """Names of main.py's checkpoint: DataParallel, base_model, `.net` around shifted layers."""
    head = "classifier" if hasattr(network, "features") else "fc"
    renamed = {}
    for name, tensor in network.state_dict().items():
        parts = name.split(".")
        if parts[0] == "features" and network.get_submodule(".".join(parts[:2])).__dict__.get(
                "shifted") and parts[3] == "0":
            parts.insert(4, "net")
        if parts[0].startswith("layer"):
            block = network.get_submodule(".".join(parts[:2]))
            if block.shifted and network.shift.placement == "block":
                parts.insert(2, "net")
            elif block.shifted and parts[2] == "conv1":
                parts.insert(3, "net")
        if parts[0] == head and new_fc:
            renamed[f"module.new_fc.{parts[1]}"] = tensor
        else:
            renamed["module.base_model." + ".".join(parts)] = tensor
    return {"epoch": 50, "arch": "x", "state_dict": renamed, "optimizer": {"lr": 0.1},
            "best_prec1": 61.5}


def mit_script_without_dropout(network):
    return mit_script(network, new_fc=False)


def mit_script_compiled(network):
    """As saved from a network that torch.compile had wrapped, inside of DataParallel."""
    said = mit_script(network)
    said["state_dict"] = {name.replace("module.", "module._orig_mod.", 1): tensor
                          for name, tensor in said["state_dict"].items()}
    return said


def mmaction2_resnet(network):
    renamed = {"data_preprocessor.mean": torch.zeros(3)}
    for name, tensor in network.state_dict().items():
        parts = name.split(".")
        if parts[0] == "fc":
            renamed[f"cls_head.fc_cls.{parts[1]}"] = tensor
            continue
        if parts[0].startswith("layer"):
            block = network.get_submodule(".".join(parts[:2]))
            if block.shifted and network.shift.placement == "block":
                parts.insert(2, "net")
            elif block.shifted and parts[2] == "conv1":
                parts.insert(3, "net")
        for i, part in enumerate(parts):
            if part.startswith("conv"):
                parts[i] = f"{part}.conv"
            elif part.startswith("bn"):
                parts[i] = f"conv{part[2]}.bn"
        if "downsample" in parts:
            i = parts.index("downsample") + 1
            parts[i] = ("conv", "bn")[int(parts[i])]
        renamed["backbone." + ".".join(parts)] = tensor
    return {"meta": {"epoch": 3}, "state_dict": renamed}


def mmaction2_mobilenet_v2(network):
    places = [(s, b) for s, stage in enumerate(STAGES, 1) for b in range(stage[2])]
    renamed = {}
    for name, tensor in network.state_dict().items():
        parts = name.split(".")
        if parts[0] == "classifier":
            new = f"cls_head.fc_cls.{parts[1]}"
        elif parts[1] in ("0", "18"):
            new = f"backbone.conv{1 if parts[1] == '0' else 2}.{('conv', 'bn')[int(parts[2])]}." \
                  f"{parts[3]}"
        else:
            stage, block = places[int(parts[1]) - 1]
            layer, kind = divmod(int(parts[3]), 3)
            shifted = network.features[int(parts[1])].shifted and layer == 0
            new = f"backbone.layer{stage}.{block}.conv.{layer}.{'net.' if shifted else ''}" \
                  f"{('conv', 'bn')[kind]}.{parts[4]}"
        renamed[new] = tensor
    return {"meta": {}, "state_dict": renamed}


def torchvision_mobilenet_v2(network):
    renamed = {}
    for name, tensor in network.state_dict().items():
        parts = name.split(".")
        if parts[0] == "classifier":
            parts.insert(1, "1")
        elif parts[2] == "conv":
            table = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"} if parts[1] == "1" else {
                "0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
            parts[3] = table[parts[3]]
        renamed[".".join(parts)] = tensor
    return renamed


def assert_same_logits(network, loaded):
    clip = torch.randn(1, 3, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(clip), network(clip))
    assert not loaded.training


FOREIGN = [
    ("mobilenet_v2", "blockres", mit_script),
    ("mobilenet_v2", "blockres", mit_script_without_dropout),
    ("mobilenet_v2", "blockres", mit_script_compiled),
    ("mobilenet_v2", "blockres", mmaction2_mobilenet_v2),
    ("resnet18", "blockres", mit_script),
    ("resnet18", "block", mit_script),
    ("resnet50", "blockres", mit_script),
    ("resnet50", "blockres", mmaction2_resnet),
    ("resnet18", "block", mmaction2_resnet),
    ("resnet101", "blockres", mmaction2_resnet),
]


@pytest.mark.parametrize("case", FOREIGN)
def test_layouts_trained_both_ways(case, seed_weights, tmp_path, caplog):
    architecture, placement, foreign = case
    network = ours(seed_weights, architecture, **BOTH, placement=placement)
    path = tmp_path / "foreign.pth.tar"
    torch.save(foreign(network), path)
    (tmp_path / "foreign.yaml").write_text(f"labels: {LABELS}\nframe_rate: 12\n")
    with caplog.at_level(logging.DEBUG):
        loaded, card = load_model(path)
    assert_same_logits(network, loaded)
    assert card.shift == Shift(**BOTH, placement=placement)
    assert card.architecture == architecture
    assert card.width_multiplier == (0.35 if architecture == "mobilenet_v2" else 1.0)
    assert not [r for r in caplog.records if r.levelno >= logging.WARNING]
    examples, every_one = ([r.message for r in caplog.records if r.levelno == level
                            and " -> " in r.message] for level in (logging.INFO, logging.DEBUG))
    assert len(every_one) > 100
    assert 0 < len(examples) <= 5
    assert {example.split(" (")[0] for example in examples} <= set(every_one)


def test_the_online_demo_layout(seed_weights, tmp_path, caplog):
    network = ours(seed_weights, "mobilenet_v2", labels=jester.ALPHABETICAL)
    torch.save(network.state_dict(), tmp_path / "demo.pth.tar")
    loaded, card = load_model(tmp_path / "demo.pth.tar")
    assert_same_logits(network, loaded)
    assert (card.name, card.labels) == ("demo", jester.ALPHABETICAL)
    assert (card.frame_rate, card.colour, card.shift) == (15.0, "rgb", Shift())
    load_model(tmp_path / "demo.pth.tar")
    told = [record.message for record in caplog.records]
    assert len(told) == 1  # what is only assumed is said, once
    assert "demo.pth.tar does not say how it was trained: 224 x 224 pixels, 15 frames" in told[0]


@pytest.mark.parametrize(("foreign", "labels"), [
    (mit_script, jester.ALPHABETICAL), (mmaction2_mobilenet_v2, jester.CSV_ORDER)])
def test_the_order_of_jesters_labels_is_the_layouts(foreign, labels, seed_weights, tmp_path):
    network = ours(seed_weights, "mobilenet_v2", labels=jester.ALPHABETICAL, **BOTH)
    path = tmp_path / "TSM_jester_RGB_mobilenetv2_shift4_blockres_avg_segment8_e25.pth"
    torch.save(foreign(network), path)
    card = load_model(path)[1]
    assert card.labels == labels
    assert card.background == jester.BACKGROUND
    assert card.shift.fold_div == 4  # the only place that tells it is the file's name


def test_a_network_trained_on_single_gesture_images_is_refused(seed_weights, tmp_path):
    network = ours(seed_weights, "mobilenet_v2", labels=jester.ALPHABETICAL)
    torch.save(torchvision_mobilenet_v2(network), tmp_path / "images.pth")
    with pytest.raises(CheckpointError, match="without a temporal shift"):
        load_model(tmp_path / "images.pth", overrides={"labels": list(jester.ALPHABETICAL)})


def test_torchvision_weights_only_initialise(seed_weights, tmp_path):
    imagenet = ours(seed_weights, "mobilenet_v2", labels=[str(i) for i in range(1000)])
    path = tmp_path / "mobilenet_v2.pth"
    torch.save(torchvision_mobilenet_v2(imagenet), path)
    with pytest.raises(CheckpointError, match=r"without a temporal shift.*labels.*v2\.yaml"):
        load_model(path)
    fresh = ours(seed_weights, "mobilenet_v2")
    fresh.classifier.weight.data += 1
    head = fresh.classifier.weight.clone()
    load_initial_weights(fresh, path)
    assert torch.equal(fresh.classifier.weight, head)
    for name, tensor in imagenet.features.state_dict().items():
        assert torch.equal(fresh.features.state_dict()[name], tensor)


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
def test_imagenet_in_our_own_names_is_refused_too(architecture, seed_weights, tmp_path):
    network = ours(seed_weights, architecture, labels=[str(i) for i in range(1000)])
    torch.save(network.state_dict(), tmp_path / "imagenet.pth")
    with pytest.raises(CheckpointError, match="can initialise a training but not recognise"):
        load_model(tmp_path / "imagenet.pth")


def test_bare_resnet_tensors_load_once_their_shift_is_said(seed_weights, tmp_path):
    network = ours(seed_weights, "resnet18", fold_div=4)
    torch.save({"model": network.state_dict()}, tmp_path / "own.pth")
    (tmp_path / "own.yaml").write_text(f"labels: {LABELS}\nshift: {{fold_div: 4}}\n")
    assert_same_logits(network, load_model(tmp_path / "own.pth")[0])


def broken(change, architecture="resnet18"):
    def build(seed_weights):
        checkpoint = mit_script(ours(seed_weights, architecture, **BOTH))
        state = checkpoint["state_dict"]
        change(state)
        return checkpoint
    return build


def rename(old, new):
    def change(state):
        for name in [n for n in state if old in n]:
            state[name.replace(old, new)] = state.pop(name)
    return change


def to(name, convert):
    def change(state):
        state[name] = convert(state[name])
    return change


@pytest.mark.parametrize(("change", "message"), [
    (lambda s: s.pop("module.base_model.layer2.0.bn1.bias"), r"missing: layer2\.0\.bn1\.bias"),
    (lambda s: s.update({"module.base_model.extra.weight": torch.zeros(1)}),
     r"unexpected: extra\.weight"),
    (lambda s: s.update({"module.base_model.conv1.weight": torch.zeros(64, 10, 7, 7)}),
     r"conv1\.weight \(64, 10, 7, 7\) instead of \(64, 3, 7, 7\)"),
    (lambda s: s.pop("module.new_fc.weight"), r"no tensor fc\.weight"),
    (rename("conv1.net.", "conv1."), "without a temporal shift"),
    (rename("layer1.0.conv1.net.", "layer1.0.conv1."), "7 blocks shift by their names.*shifts 8"),
    (rename("layer2.0.", "layer2.0.block."), "non-local"),
    (rename("layer2.0.", "layer2.net.0."), "temporal pooling"),
    (rename("layer3.1.", "layer3.2."), r"missing: layer3\.1\.conv1"),
    (rename("layer4.1.", "layer4.1.again."), "unexpected: layer4"),
    (rename("module.base_model.", "encoder."), "belong to no network known here"),
    (to("module.new_fc.weight", lambda t: t.to(torch.int8)), r"plain .*fc\.weight \(torch\.int8"),
    (to("module.new_fc.bias", lambda t: t.to_sparse()), r"plain .*fc\.bias .*torch\.sparse_coo"),
    (to("module.new_fc.bias", lambda t: t.to("meta")), r"plain .*fc\.bias .*meta"),
])
def test_what_does_not_fit_is_named(change, message, seed_weights, tmp_path):
    path = tmp_path / "broken.pth"
    torch.save(broken(change)(seed_weights), path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path, overrides={"labels": LABELS})
    assert "broken.pth" in str(caught.value)


def test_a_resnet_of_another_depth_is_named(seed_weights, tmp_path):
    state = ours(seed_weights, "resnet18", **BOTH).state_dict()
    torch.save({n: t for n, t in state.items() if not n.startswith("layer3.1")}, tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=r"\(2, 2, 1, 2\) blocks.*18, 34, 50, 101"):
        load_model(tmp_path / "x.pth", overrides={"labels": LABELS})


def test_counters_of_old_torch_versions_may_be_missing(seed_weights, tmp_path):
    network = ours(seed_weights, "mobilenet_v2", labels=jester.ALPHABETICAL)
    state = {n: t for n, t in network.state_dict().items() if "num_batches" not in n}
    torch.save(state, tmp_path / "old.pth")
    assert_same_logits(network, load_model(tmp_path / "old.pth")[0])


def test_the_head_is_taken_where_the_labels_are_the_same(seed_weights, tmp_path, tiny_card):
    from models.checkpoints import save_model
    trained, path = build_network(tiny_card), tmp_path / "trained.safetensors"
    save_model(trained, tiny_card, path)
    for labels, same in ((tiny_card.labels, True), (tiny_card.labels[::-1], False), ((), False)):
        fresh = build_network(tiny_card)
        fresh.classifier.weight.data += 1
        load_initial_weights(fresh, path, labels)
        assert torch.equal(fresh.classifier.weight, trained.classifier.weight) is same
        assert torch.equal(fresh.features[0][0].weight, trained.features[0][0].weight)
