"""Blocks that stay as they are, and batch norms that stand still."""

from __future__ import annotations

import pytest
import torch

from models.build import build_network
from models.card import ModelCard
from models.network import OnlineNetwork
from training.frozen import FrozenFront, StillNorms


def experienced(card: ModelCard, architecture: str) -> OnlineNetwork:
    """A network in eval mode whose batch norms have statistics as if it had learnt something."""
    network = build_network(card.replace(architecture=architecture, width_multiplier=1.0))
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def test_frozen_blocks_stay_and_their_statistics_too(toy_card: ModelCard) -> None:
    network = build_network(toy_card).train()
    front = FrozenFront(network, blocks=2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(front(torch.randn(2, 3, 3, 24, 32)), start=2).square().mean().backward()
    assert network.features[0][0].weight.grad is None
    assert network.features[2].conv[0].weight.grad is not None
    after = network.state_dict()
    assert torch.equal(before["features.0.1.running_mean"], after["features.0.1.running_mean"])
    assert not torch.equal(before["features.2.conv.1.running_mean"],
                           after["features.2.conv.1.running_mean"])


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
def test_still_norms_give_the_networks_own_answers_and_gradients(
        toy_card: ModelCard, architecture: str) -> None:
    network = experienced(toy_card, architecture)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    clips = torch.randn(2, 4, 3, 32, 32)
    still, gradients = StillNorms(network), []
    for model, training in ((network, False), (still, True)):
        network.train(training)
        network.zero_grad()
        model(clips).square().mean().backward()
        gradients.append({name: parameter.grad.clone()
                          for name, parameter in network.named_parameters()})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradients[1][name], gradient, rtol=1e-3,
                              atol=1e-3 * float(gradient.abs().max())), name
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert len(list(still.parameters())) == len(list(network.parameters()))


def test_still_norms_learn_in_bf16_too(toy_card: ModelCard) -> None:
    network = experienced(toy_card, "mobilenet_v2")
    still, clips = StillNorms(network), torch.randn(2, 4, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        logits = still(clips).float()
    logits.square().mean().backward()
    exact = network(clips)
    assert float((logits - exact).detach().abs().max()) < 0.05 * float(exact.detach().abs().max())
    assert all(float(parameter.grad.abs().sum()) > 0 for parameter in network.parameters())


@pytest.mark.parametrize("architecture", ["mobilenet_v2", "resnet18"])
def test_a_frozen_front_and_the_rest_are_the_whole(toy_card: ModelCard, architecture: str) -> None:
    network = experienced(toy_card, architecture)
    clips = torch.randn(2, 5, 3, 32, 32)
    with torch.no_grad():
        whole = network(clips)
        for blocks in (1, 5, 8):  # block 3 and later ones of MobileNetV2 shift
            rest = network(FrozenFront(network, blocks)(clips), start=blocks)
            assert torch.allclose(rest, whole, rtol=1e-3, atol=1e-4 * float(whole.abs().max()))
