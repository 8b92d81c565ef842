"""The gesture language: what is read, and what is said about mistakes."""

import copy

import numpy as np
import pytest
import yaml

from training.synthesis.assets import SynthesisError
from training.synthesis.clip import choose
from training.synthesis.language import (
    GESTURES_FOLDER,
    load_gesture,
    load_gestures,
    resting_poses,
)
from training.synthesis.motion import AT, PALM, POINT, hand_at
from training.synthesis.performing import (
    BENDS,
    PAUSE_S,
    RHYTHMS,
    draw_habit,
    draw_pose,
    perform,
)

WAVE = """\
label: Wave
poses:
  up: {at: [0.7, [0.4, 0.6], 0.65], point: up, palm: near+0.2*in, shape: open}
styles:
  from the wrist:
    phases:
      - raise: {time: 0.4, to: up}
      - stroke: {time: [1.0, 1.4], shake: {cycles: 3, axis: near, degrees: 25}}
      - retract: {time: 0.4}
"""


@pytest.fixture
def wave(tmp_path):
    path = tmp_path / "wave.yaml"

    def write(text=WAVE):
        path.write_text(text)
        return path

    return write


def test_all_27_labels_have_styles_to_train_on_and_one_held_out():
    gestures = load_gestures()
    assert len(gestures) == 27
    for gesture in gestures.values():
        held = [style.held_out for style in gesture.styles]
        assert any(held), f"{gesture.label} has no held-out style"
        assert held.count(False) >= 2, f"{gesture.label} has too few styles"
        assert gestures[gesture.mirror].mirror == gesture.label
    assert [g.label for g in gestures.values() if g.background] == [
        "Doing other things",
        "No gesture",
    ]


def test_auxiliary_and_taught_gestures_are_others_and_mean_the_same_in_the_mirror():
    known, auxiliary, taught = (
        load_gestures(GESTURES_FOLDER.with_name(name))
        for name in ("gestures", "gestures_auxiliary", "gestures_taught"))
    assert len(auxiliary) >= 10
    assert len(known.keys() | auxiliary.keys() | taught.keys()) == (
        len(known) + len(auxiliary) + len(taught))
    assert all(gesture.mirror == gesture.label for gesture in auxiliary.values())
    assert not any(style.held_out for gesture in auxiliary.values() for style in gesture.styles)


def test_left_and_right_name_each_other():
    gestures = load_gestures()
    assert gestures["Swiping Left"].mirror == "Swiping Right"
    assert gestures["Turning Hand Clockwise"].mirror == "Turning Hand Counterclockwise"
    assert gestures["Thumb Up"].mirror == "Thumb Up"


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("to: up", "to: upp", 7, "no pose is named 'upp'"),
        ("shape: open", "shape: opne", 3, "no shape is named 'opne'"),
        ("point: up", "point: sideways", 3, "'sideways' is no direction"),
        ("- retract", "- retreat", 9, "a phase is"),
        ("time: [1.0, 1.4]", "time: [1.4, 1.0]", 8, "a number or a range"),
        ("time: [1.0, 1.4]", "time: -1", 8, "cannot be negative"),
        ("degrees: 25", "degres: 25", 8, "did you mean 'degrees'?"),
        ("label: Wave", "lable: Wave", 1, "did you mean 'label'?"),
        ("shake: {cycles: 3", "speed: brisk, shake: {cycles: 3", 8, "'speed' is 'brisk'"),
        ("[0.7, [0.4, 0.6], 0.65]", "[0.7, 0.65]", 3, "three numbers"),
        ("label: Wave", "label: 3", 1, "'label' must be a text"),
        ("time: [1.0, 1.4]", "time: .nan", 8, "a number or a range"),
        ("    phases:", "    weight: 0\n    phases:", 6, "'weight' must be at least"),
        ("    phases:", "    event: 2\n    phases:", 6, "'event' must be from 0 to 1"),
        ("    phases:", "    held_out: maybe\n    phases:", 6, "true or false"),
        ("- stroke", "- hold", 5, "has no stroke"),
        ("label: Wave", "label: Wave\nlabel: Wove", 2, "a second time; line 1"),
        ("    phases:", "    event: [0.3, 0.7]\n    phases:", 6, "'event' must be one number"),
        ("    phases:", "    weight: [1, 3]\n    phases:", 6, "'weight' must be one number"),
        ("time: 0.4, to: up", "time: 0.4, to: up, wander: [0, 0.1]", 7, "'wander' must be one"),
    ],
)
def test_a_mistake_is_named_with_file_and_line(wave, old, new, line, said):
    assert old in WAVE
    with pytest.raises(SynthesisError) as error:
        load_gesture(wave(WAVE.replace(old, new)))
    assert f"wave.yaml, line {line}:" in str(error.value)
    assert said in str(error.value)


def test_nothing_in_any_place_is_a_traceback(wave):
    whole = yaml.safe_load(WAVE) | {"shapes": {"mine": {"curl": 0.2, "thumb": "side"}}}
    refused = []
    for place in places(whole):
        for value in (3, "x", [1], None, {"a": 1}):
            said = copy.deepcopy(whole)
            inner = said
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            try:
                load_gesture(wave(yaml.safe_dump(said, sort_keys=False)))
            except SynthesisError as error:
                refused.append(str(error))
    assert len(refused) > 60
    assert all("wave.yaml, line " in words for words in refused)


def places(said, above=()):
    """The keys that lead to everything in a document."""
    inner = said.items() if isinstance(said, dict) else enumerate(said)
    for key, value in inner:
        yield (*above, key)
        if isinstance(value, dict | list):
            yield from places(value, (*above, key))


def test_broken_yaml_and_missing_files_are_sentences(wave, tmp_path):
    with pytest.raises(SynthesisError, match="not valid YAML"):
        load_gesture(wave("label: [1\n"))
    for text, said in (("label: 2024-02-30\n", "not valid YAML"), ("# \a", "not valid YAML"),
                       ("label: Gr\udcfc\u00df", "no text in UTF-8")):
        path = tmp_path / "broken.yaml"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        with pytest.raises(SynthesisError, match=rf"broken\.yaml.*{said}"):
            load_gesture(path)
    with pytest.raises(SynthesisError, match="Cannot read"):
        load_gesture(tmp_path / "none.yaml")


def test_mirrored_labels_name_each_other(tmp_path):
    """Else the left hand performs Wave Right in the mirror, and is labelled Wave Right."""
    (tmp_path / "left.yaml").write_text(WAVE.replace("Wave", "Wave Left\nmirror: Wave Right"))
    (tmp_path / "right.yaml").write_text(WAVE.replace("Wave", "Wave Right"))
    with pytest.raises(SynthesisError, match="each must name the other"):
        load_gestures(tmp_path)


def test_a_common_file_of_ones_own_has_the_poses_at_rest(tmp_path):
    (tmp_path / "common.yaml").write_text("shapes: {open: {curl: 0}}\n")
    with pytest.raises(SynthesisError, match=r"common\.yaml lacks the pose 'lap'"):
        resting_poses(tmp_path)


def test_strokes_of_no_length_are_told_apart(wave):
    twice = "      - stroke: {time: 0, to: up}\n" * 2
    style = load_gesture(wave(WAVE.replace("      - retract", f"{twice}      - retract"))).styles[0]
    rng = np.random.default_rng(1)
    rest = draw_pose(resting_poses()[0], rng)
    performance = perform(style, "R", rng, 0.0, rest, background=False)
    assert [segment.kind for segment in performance.segments].count("stroke") == 3


def test_a_gesture_with_only_held_out_styles_is_for_sets_to_be_judged_on(wave):
    gesture = load_gesture(wave(WAVE.replace("    phases:", "    held_out: true\n    phases:")))
    rng, gestures = np.random.default_rng(0), {gesture.label: gesture}
    assert choose(rng, gesture, gestures, "heldout")[1].held_out
    with pytest.raises(SynthesisError, match="nothing is left to train on"):
        choose(rng, gesture, gestures, "train")


def test_independent_ways_are_of_known_gestures_and_none_is_trained_on():
    known = load_gestures()
    independent = load_gestures(GESTURES_FOLDER.with_name("gestures_independent"))
    assert independent.keys() == known.keys()
    for label, gesture in independent.items():
        assert (gesture.mirror, gesture.background) == (
            known[label].mirror, known[label].background)
        assert len(gesture.styles) >= 3
        assert all(style.held_out for style in gesture.styles)
        trained = [style.phases for style in known[label].styles]
        assert not any(style.phases in trained for style in gesture.styles)


def test_a_performance_keeps_its_order_and_its_event_lies_in_the_stroke(wave):
    style = load_gesture(wave()).styles[0]
    rng = np.random.default_rng(1)
    rest = draw_pose(resting_poses()[0], rng)
    performance = perform(style, "R", rng, 0.5, rest, background=False)
    assert [s.kind for s in performance.segments] == ["raise", "stroke", "retract"]
    assert performance.start == 0.5
    stroke = performance.stroke()
    assert stroke is not None
    assert stroke[0] < performance.event < stroke[1]
    hands = hand_at(performance, np.array([0.5, stroke[0], performance.end], np.float32))
    assert np.allclose(hands[0], rest)
    assert abs(hands[1][AT][0] - 0.7) < 0.15
    assert np.allclose(hands[2], rest, atol=1e-3)


def test_a_habit_is_the_same_in_every_pose_and_leaves_a_hand_on_the_face_there():
    rng = np.random.default_rng(5)
    rest = draw_pose(resting_poses()[0], rng)
    habits = [draw_habit(rng) for _ in range(60)]
    assert {habit.rhythm for habit in habits} == {"", *RHYTHMS}
    places = np.array([[0.3, 0.5, 0.7], [-0.4, 0.2, 0.8]], np.float32)
    for habit in habits:
        moved = []
        for place in places:
            pose = rest.copy()
            pose[AT] = place
            struck = habit.pose(pose)
            moved.append(struck[AT] - place)
            for part in (POINT, PALM):
                assert np.allclose(struck[part], habit.turn @ pose[part], atol=1e-6)
                assert np.isclose(np.linalg.norm(struck[part]), np.linalg.norm(pose[part]))
        assert np.allclose(moved, habit.shift, atol=1e-6)
        touching = rest.copy()
        touching[AT] = [0.2, 0.6, 0.4]  # a hand at the nose
        assert np.array_equal(habit.pose(touching), touching)


def test_loose_fingers_still_tell_two_from_a_hand():
    rng = np.random.default_rng(6)
    pose = draw_pose(resting_poses()[0], rng)
    pose[AT] = [0.3, 0.5, 0.8]
    pose[BENDS] = [0, 0, 1, 1] * 2
    bends = np.stack([draw_habit(rng).pose(pose)[BENDS] for _ in range(200)])
    assert (bends[:, [2, 3, 6, 7]] - bends[:, [0, 1, 4, 5]]).min() > 0.2
    assert bends[:, 0].std() > 0.03  # not everybody's finger is as straight
    assert bends.min() > -0.1  # and no joint bends far back
    assert bends.max() <= 1


def test_a_fist_loosens_less_than_a_half_bent_finger():
    rng = np.random.default_rng(8)
    pose = draw_pose(resting_poses()[0], rng)
    pose[AT] = [0.3, 0.5, 0.8]
    pose[BENDS] = [0.8, 0.8, 1, 1] * 2
    habits = [draw_habit(rng) for _ in range(200)]
    loosened = (pose - np.stack([habit.pose(pose) for habit in habits]))[:, BENDS].mean(0)
    assert 0 < loosened[[2, 3, 6, 7]].mean() < 0.7 * loosened[[0, 1, 4, 5]].mean()


def test_a_performance_stays_alike_in_the_ranges_of_its_places(wave):
    """Who raises a hand high lowers it high, too, in a gesture in one place."""
    wide = WAVE.replace("[0.4, 0.6], 0.65]", "[0.0, 1.0], 0.65]").replace(
        "shake: {cycles: 3, axis: near, degrees: 25}", "to: up")
    style = load_gesture(wave(wide)).styles[0]
    rest = draw_pose(resting_poses()[0], np.random.default_rng(1))
    parts = [perform(style, "R", np.random.default_rng(seed), 0.0, rest, background=False)
             for seed in range(60)]
    before, after = (np.array([part.segments[k].points[-1][AT][1] for part in parts])
                     for k in (0, 1))
    assert before.std() > 0.2
    assert (before - after).std() < 0.5 * before.std()


def test_hands_that_meet_do_so_whatever_the_habit(wave):
    both = WAVE.replace("    phases:", "    hands: both\n    phases:")
    rest = draw_pose(resting_poses()[0], np.random.default_rng(1))

    def place(text, seed):
        style = load_gesture(wave(text)).styles[0]
        part = perform(style, "R", np.random.default_rng(seed), 0.0, rest, background=False)
        return part.segments[0].points[-1][AT]

    ones = np.array([place(WAVE, seed) for seed in range(60)])
    twos = np.array([place(both, seed) for seed in range(60)])
    assert ones[:, 0].std() > 0.15
    assert twos[:, 0].std() < 0.05
    assert twos[:, 1].std() > 0.1


def test_a_folder_without_gestures_is_a_sentence(tmp_path):
    with pytest.raises(SynthesisError, match="holds no gesture files"):
        load_gestures(tmp_path)


def test_most_keep_to_the_style_and_some_are_far_from_it():
    habits = [draw_habit(np.random.default_rng(seed)) for seed in range(600)]
    away = np.array([np.linalg.norm(habit.shift) for habit in habits])
    assert 0.6 < np.mean(away < 0.2) < 0.8  # within a few centimetres
    assert 0.1 < np.mean(away > 0.4) < 0.25


def test_some_hold_a_gesture_longer_than_the_style_says_but_nobody_holds_background_longer(wave):
    held = WAVE.replace("      - retract", "      - hold: {time: [0.1, 0.3]}\n      - retract")
    style = load_gesture(wave(held)).styles[0]
    rest = draw_pose(resting_poses()[0], np.random.default_rng(1))

    def longest(*, background):
        rng = np.random.default_rng(3)
        held = [segment.end - segment.start for _ in range(60) for segment in
                perform(style, "R", rng, 0.0, rest, background=background).segments
                if segment.kind == "hold"]
        return np.array(held).max(), np.mean(np.array(held) > 0.31)

    gesture, share = longest(background=False)
    assert 0.5 < gesture < 0.3 + PAUSE_S[1] + 1e-6
    assert 0.1 < share < 0.45
    assert longest(background=True)[0] < 0.31


def test_background_has_no_event(wave):
    style = load_gesture(wave()).styles[0]  # has a stroke, as background may
    rng = np.random.default_rng(0)
    rest = draw_pose(resting_poses()[0], rng)
    assert perform(style, "R", rng, 0.0, rest, background=True).event is None


def test_a_performance_is_the_same_for_the_same_seed(wave):
    style = load_gesture(wave()).styles[0]
    times = np.linspace(0, 2, 20, dtype=np.float32)

    def once():
        rng = np.random.default_rng(7)
        rest = draw_pose(resting_poses()[0], rng)
        return hand_at(perform(style, "L", rng, 0.1, rest, background=False), times)

    assert np.array_equal(once(), once())


def test_strokes_repeat_with_their_way_back(wave):
    text = WAVE.replace("    phases:", "    repeat: [3, 3]\n    phases:").replace(
        "      - retract", "      - return: {time: 0.2, to: up}\n      - retract"
    )
    style = load_gesture(wave(text)).styles[0]
    rng = np.random.default_rng(1)
    performance = perform(
        style, "R", rng, 0.0, draw_pose(resting_poses()[0], rng), background=False
    )
    kinds = [s.kind for s in performance.segments]
    assert kinds == ["raise", "stroke", "return", "stroke", "return", "stroke", "retract"]


def test_the_worked_example_of_the_readme_is_valid(wave):
    readme = (GESTURES_FOLDER / "README.md").read_text()
    gesture = load_gesture(wave(readme.split("```yaml\n")[1].split("```")[0]))
    assert [style.held_out for style in gesture.styles] == [False, True]
