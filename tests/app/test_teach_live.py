"""The loop while something is learned: it waits for nobody, and a taught gesture acts at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from seeding import seed_weights

from app import command, teach_process
from app.loop import Demo, new_stream
from app.settings import Settings
from app.sinks import Sinks
from app.sources import Frame
from app.teach_process import Trainer
from app.teaching import Teaching
from models.build import build_network
from models.card import ModelCard
from models.checkpoints import save_model
from online_tsm.engine import Engine, open_engine
from online_tsm.recordings import PERSONAL

PATIENCE_S = 60
BEHIND = 60  # frames that the loop has to have played before the stand-in trainer ends
TRAINER = """
import shutil, sys, time
from pathlib import Path
print("progress 0.5 half of it", flush=True)
while not Path({go!r}).exists():
    time.sleep(0.01)
shutil.copy({ready!r}, sys.argv[5])
print("saved", sys.argv[5])
"""


@pytest.fixture
def knocking(tiny_card: ModelCard) -> ModelCard:
    """The card that is learned: one gesture more, and events without delay."""
    return tiny_card.replace(labels=[*tiny_card.labels, "Knock"], measured={
        "teaching": {"added": ["Knock"]}}, smoothing={"hold_s": 0.0, "rise": 0.5, "margin": 0.0})


def write(path: Path, card: ModelCard, always: str) -> Path:
    """A model that sees one gesture in everything."""
    network = seed_weights(build_network(card))
    with torch.no_grad():
        network.get_submodule("classifier").bias[card.labels.index(always)] += 1000.0
    save_model(network, card, path)
    return path


def open_it(path: Path) -> Engine:
    return open_engine(path, "torch", "cpu")


@pytest.fixture
def trainer_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program in the place of the trainer."""
    def put(program: str) -> None:
        (tmp_path / "fake" / "training").mkdir(parents=True, exist_ok=True)
        (tmp_path / "fake" / "training" / "__init__.py").touch()
        (tmp_path / "fake" / "training" / "teach.py").write_text(program)
        monkeypatch.setattr(teach_process, "ROOT", tmp_path / "fake")
    return put


class Endless:
    """A source that gives frames, ten for each second of its clock, until it is `enough`."""

    name, live, rate, frame_count, dropped, status, epoch = "frames", False, 10.0, None, 0, "", 0

    def __init__(self, enough: Callable[[int], object]) -> None:
        self._enough = enough
        self.given = 0

    def __iter__(self) -> Iterator[Frame]:
        end = time.monotonic() + PATIENCE_S
        while not self._enough(self.given):
            assert time.monotonic() < end, "waited in vain"
            yield Frame(np.zeros((32, 32, 3), np.uint8), self.given / 10, self.given,
                        time.perf_counter())
            self.given += 1
            time.sleep(0.002)


def settings_of(tmp_path: Path, actions: str, **more: object) -> Settings:
    (tmp_path / "slides.yaml").write_text(actions)
    return Settings(record="off", out=str(tmp_path / "runs"), dry_run=True, display=False,
                    actions=str(tmp_path / "slides.yaml"), teach_dir=str(tmp_path / "gestures"),
                    **more)  # type: ignore[arg-type]


def test_what_is_learned_acts_at_once_and_the_loop_never_waited(
        tmp_path: Path, trainer_of, tiny_card: ModelCard, knocking: ModelCard,
        capsys: pytest.CaptureFixture[str]) -> None:
    """The trainer ends only after the loop has played frames beside it: a loop that waited for
    it would wait for ever."""
    ready = write(tmp_path / "ready.safetensors", knocking, "Knock")
    trainer_of(TRAINER.format(go=str(tmp_path / "go"), ready=str(ready)))
    (tmp_path / "gestures" / "Knock").mkdir(parents=True)  # as if it were recorded
    settings = settings_of(tmp_path, "Knock: {key: right}\nstop: {print: halt}\n")
    engine = open_it(write(tmp_path / "tiny.safetensors", tiny_card, "nothing"))
    teaching = Teaching(tmp_path / "gestures", "tiny", tiny_card,
                        lambda path: new_stream(settings, open_it(path)))

    def enough(given: int) -> bool:
        said.append(capsys.readouterr().err)
        if given == BEHIND:
            assert teaching.learning is not None
            (tmp_path / "go").touch()
        return any("would press" in words for words in said)

    said: list[str] = []
    with teaching, Sinks(settings, engine.card, headless=False) as sinks:
        assert sinks.waiting == ("the model does not know 'Knock': its action waits until it is "
                                 "taught")
        demo = Demo(settings, engine, sinks, None, teaching, started=time.perf_counter(),
                    stopping=threading.Event())
        teaching._wanted = True  # as after the key l
        demo.play(Endless(enough))
        assert demo.frames > BEHIND
        assert sinks.waiting == ""
    told = "".join(said)
    assert "Knock will press right\n" in told
    assert told.index("Knock will press right") < told.index("Knock: would press right")
    assert "the taught model is in use now, with Knock" in told


@pytest.mark.parametrize(("allow", "deny", "left_out"), [
    (["left"], [], ("right", "stop")), (["left"], ["Knock"], ("right", "stop", "Knock")),
    (["all"], [], ()), ([], [], ())])
def test_what_is_learned_is_allowed_unless_it_is_denied(
        tmp_path: Path, tiny_card: ModelCard, allow: list[str], deny: list[str],
        left_out: tuple[str, ...]) -> None:
    learned = tiny_card.replace(labels=[*tiny_card.labels, "Knock"],
                                smoothing={"added": ["Knock"]})
    settings = Settings(engine="torch", device="cpu", allow=allow, deny=deny,
                        teach_dir=str(tmp_path))
    engine = open_it(write(tmp_path / "tiny.safetensors", tiny_card, "nothing"))
    with command._teaching(settings, engine) as teaching:
        stream = teaching._open_stream(write(tmp_path / "new.safetensors", learned, "Knock"))
    assert stream.card.smoothing.disabled == left_out


class Pane:
    """In the place of a window: nobody presses a key, but `key` once, at the third picture."""

    def __init__(self, key: str) -> None:
        self.closed = False
        self._keys = iter(["", "", key])

    def fitted(self, image: np.ndarray) -> np.ndarray:
        return image

    def show(self, _: np.ndarray, wait_s: float) -> str:
        return next(self._keys, "")

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(("teach", "key", "told"), [
    (True, "", True),  # the video ended in the session
    (True, "q", False), (True, "esc", False),  # it was quit, or left, before
    (False, "", False)])
def test_a_video_that_ends_in_a_session_is_told(tmp_path: Path, make_video, tiny_card: ModelCard,
                                                monkeypatch: pytest.MonkeyPatch, capsys, *,
                                                teach: bool, key: str, told: bool) -> None:
    monkeypatch.setattr(command, "display_available", lambda: "")
    monkeypatch.setattr(command, "Window", lambda *_: Pane(key))
    video, model = make_video([90] * 12), tmp_path / "tiny.safetensors"
    write(model, tiny_card, "nothing")
    command.demo(Settings(source=str(video), fast=True, teach=teach, model=str(model),
                          engine="torch", device="cpu", teach_dir=str(tmp_path / "gestures")),
                 time.perf_counter())
    words = "the video has ended, and the session with it; what was recorded is kept"
    assert (words in capsys.readouterr().err.splitlines()) == told


def test_going_back_withdraws_what_the_model_does_not_know(tmp_path: Path, tiny_card: ModelCard,
                                                           knocking: ModelCard) -> None:
    settings = settings_of(tmp_path, "Knock: {key: right}\nstop: {print: halt}\n", teach=True)
    with Sinks(settings, knocking, headless=False) as sinks:
        assert sinks.waiting == ""
        assert sinks.follow(tiny_card) == "Knock does nothing any more"
        assert "does not know 'Knock'" in sinks.waiting
        assert sinks.follow(knocking) == "Knock will press right"
        assert sinks.follow(knocking) == ""


def test_the_actions_file_is_read_anew_with_the_model(tmp_path: Path, tiny_card: ModelCard,
                                                      knocking: ModelCard) -> None:
    settings = settings_of(tmp_path, "stop: {print: halt}\n")
    with Sinks(settings, tiny_card, headless=False) as sinks:
        Path(settings.actions or "").write_text("stop: {print: halt}\nKnock: {key: right}\n")
        assert sinks.follow(knocking) == "Knock will press right"
        Path(settings.actions or "").write_text("Knok: {key: right}\n")
        assert "the actions stay as they were: " in sinks.follow(knocking)
        assert "did you mean 'Knock'?" in sinks.follow(knocking)
        assert sinks.waiting == ""  # both actions are there still


@pytest.mark.parametrize("teach", [False, True])
def test_a_name_that_nothing_knows_may_only_wait_for_a_session(tmp_path: Path, teach: bool,
                                                               tiny_card: ModelCard) -> None:
    settings = settings_of(tmp_path, "Knock: {key: right}\n", teach=teach)
    if teach:
        with Sinks(settings, tiny_card, headless=False) as sinks:
            assert "does not know 'Knock'" in sinks.waiting
        return
    with pytest.raises(ValueError, match="there is no gesture 'Knock'"):
        Sinks(settings, tiny_card, headless=False)


def test_with_the_taught_model_left_out_its_actions_wait(tmp_path: Path, tiny_card: ModelCard,
                                                         knocking: ModelCard) -> None:
    (tmp_path / "gestures").mkdir()
    write(tmp_path / "gestures" / PERSONAL, knocking, "Knock")
    settings = settings_of(tmp_path, "Knock: {key: right}\n", personal=False)
    with Sinks(settings, tiny_card, headless=False) as sinks:
        assert "does not know 'Knock'" in sinks.waiting


def test_an_action_of_a_gesture_that_is_left_out_is_told(tmp_path: Path, tiny_card: ModelCard
                                                         ) -> None:
    actions = "left: {key: left}\nstop: {key: space}\n"
    card = tiny_card.replace(smoothing={"disabled": ["stop"]})
    with Sinks(settings_of(tmp_path, actions), card, headless=False) as sinks:
        assert sinks.waiting == "'stop' is left out: its action waits for an --allow that names it"
    with Sinks(settings_of(tmp_path, actions, allow=["all"], deny=["left"]), card,
               headless=False) as sinks:
        assert sinks.waiting == "'left' is left out: its action waits while --deny names it"


def ended(folder: Path) -> Trainer:
    trainer = Trainer(folder, "m", folder / PERSONAL, folder / "report")
    end = time.monotonic() + PATIENCE_S
    while not trainer.ended:
        assert time.monotonic() < end
        time.sleep(0.02)
    return trainer


@pytest.mark.skipif(not hasattr(os, "getpriority"), reason="Windows has classes of priority")
def test_the_trainer_is_a_process_of_low_priority_and_few_threads(
        tmp_path: Path, trainer_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    trainer_of("import os, time\ntime.sleep(0.5)  # as imports take: the parent lowers it by then\n"
               "print('error:', os.nice(0), os.getppid(), os.environ['OMP_NUM_THREADS'])")
    before = os.nice(0)
    trainer = ended(tmp_path)
    assert trainer.failed == f"{min(before + teach_process.NICENESS, 19)} {os.getpid()} 1"


def test_a_folder_of_any_name_comes_through_the_trainers_pipe(
        tmp_path: Path, trainer_of, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp1252")  # as on Windows
    trainer_of("import sys\nprint('saved', sys.argv[5])")
    folder = tmp_path / "Jürgen"
    folder.mkdir()
    assert ended(folder).saved == folder / PERSONAL
