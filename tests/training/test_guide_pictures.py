"""What is rendered for the demo: the guide's pictures and the sample."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from app.guide import guide_path
from models.checkpoints import DEFAULT_MODEL, load_model
from training.answers import clip_answers
from training.data import read_class_folders
from training.synthesis import guide, sample
from training.synthesis.cast import people
from training.synthesis.guide import CLEAREST, Middle, guide_style
from training.synthesis.language import load_gestures, resting_poses
from training.synthesis.performing import draw_pose, perform
from training.synthesize import main


def test_the_middle_of_all_ranges_is_always_the_same_performance():
    gestures = load_gestures()
    gesture = gestures["Swiping Left"]
    style, parts = guide_style(gesture), []
    for _ in range(2):
        rest = draw_pose(resting_poses()[0], Middle())
        parts.append(perform(style, "R", Middle(), 0.5, rest, background=False))
    assert parts[0].event == parts[1].event
    assert np.array_equal(parts[0].segments[-1].points, parts[1].segments[-1].points)
    raised = style.phases[0]
    assert parts[0].segments[0].end - 0.5 == pytest.approx(sum(raised.time) / 2)
    assert parts[0].segments[0].points[-1][:3] == pytest.approx(np.mean(raised.to.at, 1))


def test_the_guide_names_styles_that_there_are():
    gestures = load_gestures()
    for label, name in CLEAREST.items():
        assert guide_style(gestures[label]).name == name
    plain = gestures["Thumb Down"]
    assert guide_style(plain).weight == max(style.weight for style in plain.styles)


def test_a_guide_picture_shows_the_gesture(studio, monkeypatch, tmp_path):
    monkeypatch.setattr(guide, "presenter", lambda: people("train")[0])
    monkeypatch.setattr(guide, "RATE_FPS", 4.0)
    monkeypatch.setattr(guide, "SIZE", (44, 33))
    pictures, (start, end) = guide._pictures(studio, load_gestures()["Thumb Up"])
    assert 0 < start < end < len(pictures) / 4
    assert {picture.shape for picture in pictures} == {(33, 44, 3)}
    shown = pictures[round(end * 4)].astype(int)
    assert np.abs(shown - pictures[0]).mean() > 3
    guide._write(pictures, tmp_path / "g.webp")
    _, read = cv2.imreadanimation(str(tmp_path / "g.webp"))
    assert len(read.frames) == len(pictures)
    assert np.abs(read.frames[round(end * 4)][..., 2::-1].astype(int) - shown).mean() < 8


def test_the_sample_lists_what_happens_and_needs_ffmpeg(monkeypatch, tmp_path):
    rng = np.random.default_rng(12)
    parts, seconds = sample._performances(draw_pose(resting_poses()[0], rng), rng)
    said = yaml.safe_load(sample._event_list(parts, 12))["events"]
    assert [event["label"] for event in said] == list(sample.GESTURES)
    times = [event[key] for event in said for key in ("start", "happened", "end")]
    assert times == sorted(times)
    assert times[-1] < seconds < 25
    bundled = Path(sample.__file__).parents[2] / "app" / "sample.yaml"  # made by an earlier commit
    listed = yaml.safe_load(bundled.read_text())["events"]
    assert [event["label"] for event in listed] == list(sample.GESTURES)
    monkeypatch.setenv("PATH", "")
    assert main(["sample", "--out", str(tmp_path / "s.mp4")]) == 2


def test_the_shipped_model_knows_what_the_guide_shows(tmp_path):
    """People do as they see there; the picture's ends are held still, as in a stream."""
    network, card = load_model(DEFAULT_MODEL)
    for label in card.labels:
        found, moving = cv2.imreadanimation(str(guide_path(label)))
        assert found
        frames = [frame[..., :3] for frame in moving.frames]
        folder = tmp_path / label
        folder.mkdir()
        size = frames[0].shape[1::-1]
        video = cv2.VideoWriter(str(folder / "1.avi"), cv2.VideoWriter.fourcc(*"MJPG"),
                                guide.RATE_FPS, size)
        for frame in [frames[0]] * 8 + frames + [frames[-1]] * 6:
            video.write(frame)
        video.release()
    answers = clip_answers(read_class_folders(tmp_path), network.eval(), card, "peak")
    assert len(answers) == len(card.labels)
    assert [a.label for a in answers if a.ranking[0] != a.label] == []
