"""From a card to the network it describes."""

from __future__ import annotations

from models.card import CardError, ModelCard
from models.mobilenet_v2 import MobileNetV2
from models.network import OnlineNetwork
from models.resnet import ResNet


def build_network(card: ModelCard) -> OnlineNetwork:
    """A network with fresh random weights, in eval mode, on the CPU. Raises CardError."""
    network = _network(card)
    try:
        network.folds()
    except ValueError as error:
        raise CardError(f"card: shift: {error}") from error
    return network.eval()


def _network(card: ModelCard) -> OnlineNetwork:
    classes = len(card.labels)
    if card.architecture == "mobilenet_v2":
        return MobileNetV2(classes, card.width_multiplier, card.shift)
    if card.width_multiplier != 1.0:
        raise CardError(f"card: width_multiplier is {card.width_multiplier}, "
                        f"but {card.architecture} has no width multiplier")
    return ResNet(int(card.architecture.removeprefix("resnet")), classes, card.shift)
