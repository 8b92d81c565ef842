"""The guided session: keys and real frames in, steps and requests out; no window, no disk."""

from __future__ import annotations

import numpy as np
import pytest
from overlay_scenes import make_card
from teach_users import RATE, User, first_gesture, labels_of, recorded, sample_frames

from app.teach import BACKGROUND_S, COUNTDOWN_S, RECORD_S, Session
from app.teach_list import ACTIVITIES, advice, choices, missing, named
from app.teach_requests import Delete, Keep, Learn, Move, Undo, held
from online_tsm.recordings import LONGEST_LABEL, RecordingError, refusal
from online_tsm.stroke import find_stroke


def reviewed(user: User, label: str = "Swiping Left") -> Keep:
    """A session that replays a new recording of `label`."""
    while user.session.chosen.label != label:
        user.press("down")
    user.seconds = 7.0 - COUNTDOWN_S + 1.5  # it is between 2 and 4.2 s
    user.press("enter")
    request = user.record()
    found = find_stroke(request.clip.images, request.clip.times)
    user.session.examined((found.start, found.end), found.energy)
    return request


@pytest.fixture
def user() -> User:
    return User(Session(make_card()))


def test_a_new_gesture_is_typed_recorded_and_kept(user: User) -> None:
    user.press("enter")
    assert user.session.step == "name"
    user.type("quick circlx")
    user.press("backspace")
    user.type("e")
    user.press("enter")
    assert (user.session.step, user.session.label) == ("countdown", "Quick Circle")
    request = user.record()
    clip = request.clip
    assert (clip.label, clip.background) == ("Quick Circle", False)
    assert clip.times[0] == 0
    assert clip.times[-1] == pytest.approx(RECORD_S, abs=1.5 / RATE)
    assert len(clip.images) == len(clip.times)
    user.session.examined((1.0, 2.0), np.ones(len(clip.times), np.float32))
    user.press("enter")
    assert user.session.step == "choose"
    assert user.session.take_requests() == []  # it is saved already, and nothing was moved


def test_what_is_recorded_is_the_gesture_that_was_shown(user: User) -> None:
    clip = reviewed(user).clip
    assert refusal(clip.images, clip.times) == ""
    start, end = user.session.stroke
    said = first_gesture()
    assert said["start"] - 0.3 < 1.5 + start < 1.5 + end < said["end"] + 0.3
    assert any(clip.images[20] is frame for frame in sample_frames())


def test_the_countdown_gives_time(user: User) -> None:
    user.press("down", "enter")
    user.sit(COUNTDOWN_S - 0.2)
    assert user.session.step == "countdown"
    user.sit(0.4)
    assert user.session.step == "record"


def test_background_is_longer_and_names_its_activities(user: User) -> None:
    user.press("down")
    assert user.session.chosen.kind == "background"
    tasks = []
    for number in range(3):
        user.session.listed(recorded("background", number, background=True))
        user.press("enter")
        tasks.append(user.session.task.lower())
        request = user.record()
        assert request.clip.background
        assert request.clip.times[-1] == pytest.approx(BACKGROUND_S, abs=1.5 / RATE)
        user.session.examined(None, None)
        assert not user.session.key("left")  # there is no stroke to move
        user.press("enter")
    assert tasks == [task.lower() for task in ACTIVITIES[:3]]


def test_from_recording_to_recording_it_asks_for_near_and_far(user: User) -> None:
    for count, place in enumerate(("rest your hand", "farther", "nearer", "farther", "nearer")):
        user.session.listed(recorded("Thumb Up", count))
        while user.session.chosen.label != "Thumb Up":
            user.press("down")
        if count:
            assert place in advice(user.session.chosen)
        user.press("enter")
        assert place in user.session.task.lower()
        assert "the gesture once" in user.session.task
        user.press("esc")


def test_arrows_move_the_stroke_and_show_its_frames(user: User) -> None:
    clip = reviewed(user).clip
    start, end = user.session.stroke
    user.press("left", "left", "left")
    assert user.session.stroke == (pytest.approx(start - 3 / RATE, abs=0.001), end)
    shown = user.session.replayed
    assert shown is clip.images[round(user.session.stroke[0] * RATE)]
    user.press("down", "right")
    assert user.session.stroke[1] == pytest.approx(end + 1 / RATE, abs=0.001)
    moved = user.session.stroke
    user.press("enter")
    assert user.session.take_requests() == [Move(moved)]


def test_the_stroke_stays_inside_the_clip_and_never_vanishes(user: User) -> None:
    clip = reviewed(user).clip
    user.press(*["left"] * 100)
    assert user.session.stroke[0] == 0
    user.press("down", *["right"] * 100)
    assert user.session.stroke[1] == clip.times[-1]
    user.press(*["left"] * 200)
    assert 0.2 <= user.session.stroke[1] - user.session.stroke[0] < 0.3


def test_the_replay_plays_at_the_speed_of_the_recording(user: User) -> None:
    clip = reviewed(user).clip
    user.sit(1.0)
    first = user.session.replayed
    assert first is clip.images[int((1.0 - 1 / RATE) * RATE + 0.5)]
    user.sit(1.0)
    assert user.session.replayed_s == pytest.approx(2.0 - 1 / RATE, abs=0.001)
    user.sit(10.0)
    assert 0 <= user.session.replayed_s <= clip.times[-1]  # over and over


@pytest.mark.parametrize(("key", "step"), [("r", "countdown"), ("esc", "choose")])
def test_what_is_not_kept_is_deleted(user: User, key: str, step: str) -> None:
    reviewed(user)
    user.press(key)
    assert user.session.step == step
    assert user.session.take_requests() == [Undo()]


@pytest.mark.parametrize(("key", "step"), [("enter", "countdown"), ("esc", "choose")])
def test_a_refused_clip_shows_why_and_can_be_redone(user: User, key: str, step: str) -> None:
    user.press("down", "down", "enter")
    label, request = user.session.label, user.record()
    still = [sample_frames()[0]] * len(request.clip.images)
    words = refusal(still, request.clip.times)
    assert "No hand movement" in words
    user.session.refused(words)
    assert (user.session.step, user.session.notice) == ("refused", words)
    user.press(key)
    assert (user.session.step, user.session.label) == (step, label)
    assert user.session.take_requests() == []  # nothing was saved


@pytest.mark.parametrize("step", ["countdown", "record"])
def test_escape_ends_a_recording_and_never_the_demo(user: User, step: str) -> None:
    user.press("down", "enter")
    user.until(step)
    user.press("esc")
    user.sit(10.0)
    assert user.session.step == "choose"
    assert user.session.take_requests() == []


def test_escape_does_nothing_while_a_clip_is_examined(user: User) -> None:
    user.press("down", "enter")
    user.record()
    assert user.session.key("esc")  # taken, or it would end the demo
    assert (user.session.step, user.session.open) == ("examine", True)


def test_letters_belong_to_a_name_and_not_to_the_demo(user: User) -> None:
    user.press("n")
    user.type("qfmrld")
    assert user.session.typed == "qfmrld"
    user.type("x" * 100)
    assert len(user.session.typed) == LONGEST_LABEL
    user.press("up", "left")  # arrows are no letters
    assert len(user.session.typed) == LONGEST_LABEL
    user.press("esc")
    assert not user.session.key("q")  # which ends the demo from here


@pytest.mark.parametrize(("typed", "words"), [
    ("", "A gesture needs a name."), ("  ", "A gesture needs a name."), ("a/b", "is a path"),
    ("..", "is a path"), ("con", "reserved name"), ("what?", "cannot name a folder")])
def test_a_name_that_can_be_none_is_explained(user: User, typed: str, words: str) -> None:
    user.press("n")
    user.type(typed)
    user.press("enter")
    assert user.session.step == "name"
    assert words in user.session.notice


@pytest.mark.parametrize(("typed", "label"), [
    ("double wave", "Double Wave"), ("  swiping   left ", "Swiping Left"), ("knock", "KNOCK"),
    ("Background", "background"), ("no gesture", "background"), ("o'clock", "O'clock")])
def test_a_typed_name_means_a_known_label_or_a_new_one(typed: str, label: str) -> None:
    assert named(typed, ["Swiping Left", "KNOCK"]) == label


def test_a_path_is_no_label() -> None:
    with pytest.raises(RecordingError, match="path"):
        named("../etc", [])


def test_the_list_says_what_is_there_and_what_is_missing() -> None:
    card = make_card()
    found = choices(card.labels, card.background, [
        *recorded("Double Wave", 2), *recorded("Thumb Up", 5),
        *recorded("No gesture", 1, background=True), *recorded("background", 2, background=True)])
    assert [(c.title, c.count) for c in found[:4]] == [
        ("A new gesture …", 0), ("Background", 3), ("Double Wave", 2), ("Thumb Up", 5)]
    labels = [choice.label for choice in found]
    assert sorted(labels[4:]) == sorted(set(card.labels) - {"Thumb Up", *card.background})
    assert len({advice(choice) for choice in found}) == 5  # new, background, 0, few, enough


@pytest.mark.parametrize(("recordings", "words"), [
    ([], "nothing to learn yet"),
    (recorded("background", 3, background=True), "nothing to learn yet"),
    ([*recorded("Knock", 1), *recorded("background", 3, background=True)], "Knock has one"),
    (recorded("Knock", 5), "Learning needs background"),
    ([*recorded("Knock", 2), *recorded("background", 1, background=True)], "")])
def test_learning_waits_for_what_is_missing(recordings, words) -> None:
    assert words in missing(recordings)
    session = Session(make_card(), recordings)
    assert session.key("l")
    assert words in session.notice
    assert session.open == bool(words)
    assert session.take_requests() == ([] if words else [Learn()])


def test_the_newest_recording_is_deleted_once_the_person_has_said_so() -> None:
    user = User(Session(make_card(), recorded("Knock", 3)))
    user.press("down", "down")
    assert user.session.chosen.label == "Knock"
    user.press("d", "esc")
    assert user.session.take_requests() == []
    user.press("d", "enter")
    (request,) = user.session.take_requests()
    assert isinstance(request, Delete)
    assert request.recording.path.name == "2.avi"  # the newest
    user.press("up", "d")
    assert user.session.step == "choose"  # there is no background to delete


def test_a_new_gesture_is_in_the_list_before_it_is_on_disk(user: User) -> None:
    user.press("n")
    user.type("zigzag")
    user.press("enter")
    user.record()
    user.session.examined((1.0, 2.0), np.ones(75, np.float32))
    user.session.listed(recorded("Knock"))  # of something else that was done meanwhile
    user.press("enter")
    assert (user.session.chosen.label, user.session.chosen.count) == ("Zigzag", 0)
    user.session.listed([*recorded("Knock"), *recorded("Zigzag")])
    assert (user.session.chosen.label, user.session.chosen.count) == ("Zigzag", 1)
    assert list(labels_of(user.session)).count("Zigzag") == 1
    user.press("enter")
    assert (user.session.label, user.session.number) == ("Zigzag", 2)


def test_a_shipped_gesture_moves_up_with_its_first_recording(user: User) -> None:
    user.press("up", "enter", "esc")  # the last of the list
    last = user.session.label
    assert user.session.chosen.label == last
    assert list(labels_of(user.session))[-1] == last
    user.session.listed(recorded(last))
    assert list(labels_of(user.session))[2] == user.session.chosen.label == last


def test_the_cursor_stays_on_its_gesture_when_the_list_changes(user: User) -> None:
    user.press("up")
    last = user.session.chosen.label
    user.session.listed(recorded("Aaa", 1))
    assert user.session.chosen.label == last
    assert "Aaa" in labels_of(user.session)


def test_another_source_begins_another_clock(user: User) -> None:
    user.press("down", "enter")
    user.sit(1.0)
    user.clock = 3.0  # a file after a camera: its times begin anew
    user.sit(1.0)
    assert user.session.step == "countdown"
    user.until("record")
    assert user.clock == pytest.approx(3.0 + COUNTDOWN_S, abs=2 / RATE)


@pytest.mark.parametrize(("shape", "kept"), [
    ((480, 640), (480, 640)), ((720, 1280), (360, 640)), ((1080, 1920), (540, 960)),
    ((721, 1281), (360, 640)), ((2160, 3840), (540, 960)), ((240, 320), (240, 320))])
def test_large_frames_are_held_smaller(shape, kept) -> None:
    assert held(np.zeros((*shape, 3), np.uint8)).shape == (*kept, 3)
