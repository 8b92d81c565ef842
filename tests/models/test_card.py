"""The card: round trips, and a sentence for everything it refuses."""

import dataclasses
import datetime

import pytest

from models.card import (
    CardError,
    ModelCard,
    Shift,
    Smoothing,
    card_from_dict,
    card_to_dict,
)

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
    ({"smoothing": {"added": ["c"]}}, "added names 'c'"),
    ({"smoothing": {"temperature": 0}}, "temperature is 0"),
    ({"smoothing": [1]}, "expected keys and values"),
    ({"smoothing": None}, "smoothing: expected keys and values, got None"),
    ({"name": 2024}, "name must be text, got 2024; .* quotes"),
    ({"licence": None}, "licence must be text, got None"),
    ({"provenance": datetime.date(2024, 1, 1)}, "provenance must be text"),
    ({"measured": [0.5]}, r"measured must be keys and values, got \[0\.5\]"),
    ({"measured": {"on": datetime.date(2024, 1, 1)}}, "measured must be made of .* date .* quotes"),
    ({"mean": [float("nan"), 0, 0]}, "mean must be 3 numbers, got .nan"),
    ({"mean": [True, 0, 0]}, "mean must be 3 numbers"),
    ({"mean": [10 ** 400, 0, 0]}, "mean must be 3 numbers"),
    ({"input_size": [20000, 20000]}, "input_size is 20000; it must lie within 0 and 2048"),
    ({"input_size": [84.5, 112]}, r"input_size is 84\.5; it must be a whole number"),
    ({"resize_side": 10 ** 6}, "resize_side is 1000000; it must lie within 0 and 2048"),
    ({"width_multiplier": True}, "width_multiplier is True"),
    ({"width_multiplier": 1000}, "width_multiplier is 1000; it must lie within 0 and 4"),
    ({"frame_rate": "12"}, "frame_rate is '12'"),
    ({"background": "a"}, "background must be a list, got 'a'"),
    ({"mirrored_pairs": 3}, "mirrored_pairs must be a list, got 3"),
    ({"shift": 5}, "shift: expected keys and values, got 5"),
    ({"smoothing": {"thresholds": 5}}, "thresholds must be labels with a number each, got 5"),
    ({"smoothing": {"thresholds": ["a"]}}, r"thresholds must be labels .* got \['a'\]"),
    ({"smoothing": {"thresholds": {1: 0.5}}}, "thresholds names 1, which is no label"),
    ({"smoothing": {"thresholds": {"a": "0.5"}}}, "thresholds is '0.5'"),
    ({"smoothing": {"holds": ["a"]}}, r"holds must be labels .* got \['a'\]"),
    ({"smoothing": {"holds": {"z": 0.5}}}, "holds names 'z'"),
    ({"smoothing": {"holds": {"a": -1}}}, "holds is -1"),
])
def test_what_is_refused(fields, message):
    with pytest.raises(CardError, match=message):
        card_from_dict({**PLAIN, **fields})


def test_whole_numbers_may_be_written_with_a_point():
    card = card_from_dict({**PLAIN, "input_size": [84.0, 112.0], "resize_side": 128.0,
                           "warmup_steps": 3.0, "shift": {"fold_div": 8.0}})
    whole = (*card.input_size, card.resize_side, card.warmup_steps, card.shift.fold_div)
    assert whole == (84, 112, 128, 3, 8)
    assert {type(number) for number in whole} == {int}


WRONG = [None, True, "12", "", 5, -1.5, 84.0, 10 ** 400, 1e300, float("nan"), float("inf"), [], [3],
         ["a"], [1.0, 2.0], [None, {}, []], [["a", "b"], "ab"], {}, {"a": 0.5}, {1: 0.5}, {"a": {}},
         {(1, 2): {3}}, datetime.date(2024, 1, 1), b"a", {"a"}]
FIELDS = {
    **{(f.name,): f for f in dataclasses.fields(ModelCard)},
    **{("shift", f.name): f for f in dataclasses.fields(Shift)},
    **{("smoothing", f.name): f for f in dataclasses.fields(Smoothing)},
}


@pytest.mark.parametrize("where", FIELDS, ids=": ".join)
def test_any_value_of_any_field_gives_a_card_or_a_sentence(where):
    taken = 0
    for value in WRONG:
        fields = {**PLAIN, where[0]: value if len(where) == 1 else {where[1]: value}}
        try:
            card = card_from_dict(fields)
        except CardError:
            continue
        taken += 1
        again = card_to_dict(card)  # one that is taken can be written and read
        assert card_to_dict(card_from_dict(again)) == again
    assert taken <= len(WRONG) / 2


@pytest.mark.parametrize("missing", PLAIN)
def test_what_must_be_there(missing):
    with pytest.raises(CardError, match=f"card: {missing} missing"):
        card_from_dict({key: value for key, value in PLAIN.items() if key != missing})
