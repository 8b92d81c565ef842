"""The card: round trips, and a sentence for everything it refuses."""

import dataclasses

import pytest

from models.card import CardError, ModelCard, Shift, card_from_dict, card_to_dict

PLAIN = {"name": "x", "architecture": "mobilenet_v2", "labels": ["a", "b"]}


def test_there_and_back(tiny_card):
    assert card_from_dict(card_to_dict(tiny_card)) == tiny_card
    assert card_from_dict(PLAIN) == ModelCard("x", "mobilenet_v2", ("a", "b"))


def test_replace_fills_partial_groups(tiny_card):
    card = tiny_card.replace(shift={"fold_div": 4}, smoothing={"rise": 0.9}, colour="bgr")
    assert card.shift == dataclasses.replace(tiny_card.shift, fold_div=4)
    assert card.smoothing.rise == 0.9
    assert card.smoothing.fall == tiny_card.smoothing.fall
    assert card.colour == "bgr"
    assert tiny_card.replace(shift=Shift(fold_div=2)).shift.fold_div == 2


@pytest.mark.parametrize(("fields", "message"), [
    ({"labels": None}, "labels must be a list"),
    ({"labels": []}, "at least one class"),
    ({"labels": ["a", "a"]}, "names a twice"),
    ({"labels": ["a", 3]}, "list of names"),
    ({"architecture": "resnet152"}, "'resnet152'; known: mobilenet_v2"),
    ({"lables": []}, "'lables'; did you mean 'labels'"),
    ({"background": ["c"]}, "background names 'c'"),
    ({"mirrored_pairs": [["a"]]}, "pairs of two labels"),
    ({"mirrored_pairs": [["a", "z"]]}, "mirrored_pairs names 'z'"),
    ({"frame_rate": 0}, "frame_rate is 0; it must be a number above 0"),
    ({"frame_rate": float("nan")}, "frame_rate is nan"),
    ({"frame_rate": True}, "frame_rate is True"),
    ({"input_size": [224]}, "input_size must be 2 numbers"),
    ({"input_size": [224, 0.5]}, "input_size is 0.5; it must be a whole number"),
    ({"std": [1, 0, 1]}, "std is 0"),
    ({"mean": ["a", 0, 0]}, "mean must be 3 numbers"),
    ({"warmup_steps": -1}, "warmup_steps is -1; it must be a number of at least 0"),
    ({"shift": {"direction": "future"}}, "shift: direction is 'future'; known: past, both"),
    ({"shift": {"fold": 8}}, "shift: unknown key 'fold'; did you mean 'fold_div'"),
    ({"shift": {"fold_div": 0}}, "fold_div is 0"),
    ({"smoothing": {"rise": 1.5}}, r"rise is 1\.5; it must lie within 0 and 1"),
    ({"smoothing": {"thresholds": {"c": 0.5}}}, "thresholds names 'c'"),
    ({"smoothing": {"disabled": ["c"]}}, "disabled names 'c'"),
    ({"smoothing": {"temperature": 0}}, "temperature is 0"),
    ({"smoothing": [1]}, "expected keys and values"),
])
def test_what_is_refused(fields, message):
    with pytest.raises(CardError, match=message):
        card_from_dict({**PLAIN, **fields})


@pytest.mark.parametrize("missing", PLAIN)
def test_what_must_be_there(missing):
    with pytest.raises(CardError, match=f"card: {missing} missing"):
        card_from_dict({key: value for key, value in PLAIN.items() if key != missing})
