"""Questions about a card's labels."""

from __future__ import annotations

from models.card import ModelCard
from models.jester import ALPHABETICAL, MIRRORED_PAIRS
from online_tsm.labels import opposites


def test_the_opposites_among_jesters_labels():
    card = ModelCard("test", "mobilenet_v2", ALPHABETICAL, mirrored_pairs=MIRRORED_PAIRS)
    found = {ALPHABETICAL[a]: {ALPHABETICAL[b] for b in others}
             for a, others in opposites(card).items() if others}
    kinds = [  # each class of one side undoes each of the other
        ({"Swiping Left", "Sliding Two Fingers Left"},
         {"Swiping Right", "Sliding Two Fingers Right"}),
        ({"Swiping Up", "Sliding Two Fingers Up"}, {"Swiping Down", "Sliding Two Fingers Down"}),
        ({"Pulling Hand In", "Pulling Two Fingers In"},
         {"Pushing Hand Away", "Pushing Two Fingers Away"}),
        ({"Rolling Hand Forward"}, {"Rolling Hand Backward"}),
        ({"Turning Hand Clockwise"}, {"Turning Hand Counterclockwise"}),
        ({"Zooming In With Full Hand", "Zooming In With Two Fingers"},
         {"Zooming Out With Full Hand", "Zooming Out With Two Fingers"})]
    expected = {a: back for there, back in kinds for a in there}
    expected |= {b: there for there, back in kinds for b in back}
    assert found == expected  # and neither thumb


def test_opposites_in_other_spellings_and_by_the_cards_pairs():
    labels = ("swipe_left", "swipe_right", "thumb_up", "thumb_down", "links", "rechts", "Wave")
    card = ModelCard("test", "mobilenet_v2", labels, mirrored_pairs=(("links", "rechts"),))
    assert [sorted(others) for others in opposites(card).values()] == [
        [1], [0], [], [], [5], [4], []]
