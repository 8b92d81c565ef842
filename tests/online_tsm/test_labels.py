"""Questions about a card's labels."""

from __future__ import annotations

import pytest

from models.card import ModelCard, Smoothing
from models.jester import ALPHABETICAL, MIRRORED_PAIRS
from online_tsm.labels import LabelError, opposites, restricted

FEW = ModelCard("test", "mobilenet_v2", ("wave", "point", "fist", "nothing"),
                background=("nothing",), smoothing=Smoothing(disabled=("point",), rise=0.7))


@pytest.mark.parametrize(("allow", "deny", "left_out"), [
    ([], [], ("point",)),
    (["fist"], [], ("wave", "point")),
    (["point"], [], ("wave", "fist")),
    (["all"], [], ()),
    (["all"], ["nothing"], ("nothing",)),
    ([], ["wave"], ("wave", "point")),
    (["fist", "wave"], ["wave"], ("wave", "point")),
])
def test_the_lists_say_what_is_left_out(allow, deny, left_out):
    card = restricted(FEW, allow, deny)
    assert card.smoothing.disabled == left_out
    assert card.smoothing.rise == 0.7  # nothing else changes
    assert card.labels == FEW.labels


def test_an_unknown_name_is_answered_with_the_nearest_label():
    with pytest.raises(LabelError, match=r"deny: 'Fits' is no label.*did you mean 'fist'"):
        restricted(FEW, deny=["Fits"])
    with pytest.raises(LabelError, match=r"allow: 'WAVE'.*did you mean 'wave'"):
        restricted(FEW, allow=["WAVE"])


@pytest.mark.parametrize(("allow", "deny"), [
    ([], FEW.labels), (["nothing"], []), (["wave"], ["wave"]),
    (["all"], ["wave", "point", "fist"])])
def test_lists_that_leave_no_gesture_are_refused(allow, deny):
    with pytest.raises(LabelError, match="no gesture is left"):
        restricted(FEW, allow, deny)


def test_all_stands_alone():
    with pytest.raises(LabelError, match="name it alone"):
        restricted(FEW, ["all", "wave"])


def test_a_card_that_leaves_out_every_gesture_itself_still_opens():
    silent = FEW.replace(smoothing={"disabled": ["wave", "point", "fist"]})
    assert restricted(silent).smoothing.disabled == ("wave", "point", "fist")


def test_a_card_that_leaves_out_every_label_is_refused():
    # Nothing would be left to share the probability out to: all of them would be NaN.
    with pytest.raises(LabelError, match="disabled names every label"):
        restricted(FEW.replace(smoothing={"disabled": list(FEW.labels)}))


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
