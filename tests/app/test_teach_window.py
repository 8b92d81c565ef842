"""A whole lesson in a real window: a video plays the user, keys are pressed, a model is swapped in.

The trainer is a stand-in that takes its time and saves a model made beforehand; the real one is
tested in tests/training. The waits are shortened; what is asked of a clip is loosened, for a busy
machine shows few frames a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from seeding import seed_weights
from teach_users import RATE, sample_frames
from test_demo_window import ROOT, Running

import run_demo
from models.build import build_network
from models.card import ModelCard
from models.checkpoints import save_model
from online_tsm.engine import open_engine
from online_tsm.recordings import read_recordings

PROGRAM = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from app import teach, teach_process
from online_tsm import recordings
teach.COUNTDOWN_S, teach.RECORD_S, teach.BACKGROUND_S = 0.4, 2.5, 1.5
recordings.SHORTEST_BACKGROUND_S, recordings.LOWEST_RATE, recordings.LONGEST_PAUSE_S = 1.0, 1, 9
teach_process.ROOT = Path("fake")
def told(name):
    method = getattr(teach.Session, name)
    def call(self, word):
        answer = method(self, word)
        with open("told.txt", "a") as file:
            print(name, word, file=file)
        return answer
    setattr(teach.Session, name, call)
told("key")
told("_go")
import run_demo
sys.exit(run_demo.main())
"""
TRAINER = """
import shutil, sys, time
for step in range(20):
    print("progress", step / 20, "looking at the recordings", flush=True)
    time.sleep(0.1)
shutil.copy({ready!r}, sys.argv[5])
print("saved", sys.argv[5])
"""
PATIENCE_S = 90


class Lesson(Running):
    """The demo with a session, and what it tells of its keys and steps."""

    def __init__(self, folder: Path, display: str, *flags: object) -> None:
        (folder / "demo.py").write_text(PROGRAM.format(root=str(ROOT)))
        super().__init__(folder, display, *flags, program=folder / "demo.py")

    def told(self, word: str) -> list[str]:
        path = self.folder / "told.txt"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.partition(" ")[2] for line in lines if line.startswith(f"{word} ")]

    def find_window(self) -> None:
        self.window = self.xdotool("search", "--sync", "--name", "^Gestures$").split()[-1]
        end = time.monotonic() + PATIENCE_S
        while self.screenshot("first.png").max() == 0:
            assert time.monotonic() < end
            self.xdotool("windowunmap", self.window)
            self.xdotool("windowmap", self.window)
            time.sleep(0.5)

    def keys(self, *keys: str) -> None:
        """Presses them, each once the one before was taken."""
        for key in keys:
            taken = [word for word in self.told("key") if word]
            self.press(key)
            self.wait_for(lambda taken=taken: len([w for w in self.told("key") if w]) > len(taken))

    def until(self, step: str) -> None:
        """Until the session comes to this step; what is refused meanwhile is recorded again."""
        def there() -> bool:
            now = (self.told("_go") or ["choose"])[-1]
            if now == "refused" and step != "refused":
                self.press("Return")
                time.sleep(0.3)
            return now == step
        self.wait_for(there)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, what is learned on it, the graphs of both, and a video of the user."""
    folder = tmp_path_factory.mktemp("stage")
    card = ModelCard(name="tiny", architecture="mobilenet_v2", labels=("left", "stop", "nothing"),
                     background=("nothing",), input_size=(32, 32), resize="whole-frame",
                     width_multiplier=0.25, frame_rate=10.0, warmup_steps=2)
    taught = card.replace(labels=[*card.labels, "Knock"],
                          measured={"teaching": {"added": ["Knock"]}})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLINE_TSM_CACHE", str(folder / "cache"))
        for name, its in (("tiny", card), ("ready", taught)):
            path = folder / f"{name}.safetensors"
            save_model(seed_weights(build_network(its)), its, path)
            open_engine(path, "onnxruntime", "cpu")  # the demo shall import no torch for it
    writer = cv2.VideoWriter(str(folder / "user.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0,
                             (320, 240))
    frames = [cv2.resize(sample_frames()[int((1.8 + i / 10) * RATE)], (320, 240))
              for i in range(25)]
    for _ in range(60):
        for frame in frames:
            writer.write(frame)
    writer.release()
    return folder


@pytest.fixture
def begin(tmp_path: Path, stage: Path, monkeypatch: pytest.MonkeyPatch
          ) -> Iterator[Callable[..., Lesson]]:
    """Starts a lesson, and ends it after the test."""
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(stage / "cache"))
    (tmp_path / "fake" / "training").mkdir(parents=True)
    (tmp_path / "fake" / "training" / "__init__.py").touch()
    (tmp_path / "fake" / "training" / "teach.py").write_text(
        TRAINER.format(ready=str(stage / "ready.safetensors")))
    lessons: list[Lesson] = []

    def start(display: str, *flags: object) -> Lesson:
        lessons.append(Lesson(tmp_path, display, "--model", stage / "tiny.safetensors", "--source",
                              stage / "user.avi", "--teach", "--teach-dir", "gestures", *flags))
        return lessons[-1]

    yield start
    for lesson in lessons:
        lesson.process.kill()
        lesson.process.communicate()


def test_a_gesture_is_taught_and_recognised_in_one_run(begin: Callable[..., Lesson], screen: str,
                                                       tmp_path: Path) -> None:
    (tmp_path / "slides.yaml").write_text("Knock: {key: right}\n")
    lesson = begin(screen, "--actions", "slides.yaml", "--dry-run")
    lesson.find_window()
    assert lesson.predictions() == []  # the network rests, and sets off nothing
    lesson.keys("n", *"knock", "Return")
    lesson.until("review")
    lesson.keys("Down", "Left", "Return")
    lesson.keys("Return")
    lesson.until("review")
    lesson.keys("Return", "Up", "Return")
    lesson.until("review")
    lesson.keys("Return")
    lesson.until("choose")
    kept = read_recordings(tmp_path / "gestures")
    assert [one.label for one in kept] == ["Knock", "Knock", "background"]
    lesson.keys("l")
    lesson.wait_for(lambda: 4 in {len(p["probabilities"]) for p in lesson.predictions()})
    sizes = [len(p["probabilities"]) for p in lesson.predictions()]
    assert sizes == sorted(sizes)
    assert sizes.count(3) >= 5  # the demo went on while the trainer worked
    lesson.press("t")  # a second session, and out of it again
    lesson.wait_for(lambda: not _goes_on(lesson))
    lesson.keys("Escape")
    lesson.wait_frames(2)
    lesson.press("q")
    _, err = lesson.finish()
    assert f"recordings go to {tmp_path / 'gestures'}" in err
    assert "the model does not know 'Knock': its action waits until it is taught" in err
    assert "Knock will press right" in err
    assert "the taught model is in use now, with Knock" in err
    assert "Traceback" not in err


def _goes_on(lesson: Lesson) -> bool:
    before = len(lesson.predictions())
    time.sleep(0.7)
    return len(lesson.predictions()) > before


def test_killed_in_mid_replay_the_recording_is_there(begin: Callable[..., Lesson], screen: str,
                                                     tmp_path: Path) -> None:
    lesson = begin(screen)
    lesson.find_window()
    lesson.keys("n", "k", "Return")
    lesson.until("review")
    lesson.process.kill()
    lesson.process.communicate()
    (recording,) = read_recordings(tmp_path / "gestures")
    assert recording.label == "K"
    assert len(recording.frames()) == len(recording.times)


@pytest.mark.skipif(sys.platform != "linux", reason="screens are known without asking elsewhere")
def test_teach_without_a_screen_is_a_sentence(monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert run_demo.main(["--teach"]) == 2
    assert "error: --teach needs a window: no display" in capsys.readouterr().err


def test_what_cannot_be_taught_is_said_before_the_model_is_opened(
        capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo.main(["--teach", "--model", "nowhere.pth", "--labels", "l.txt"]) == 2
    assert "error: --teach: only a model that holds its labels itself" in capsys.readouterr().err
