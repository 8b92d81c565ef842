"""Teaching within the demo: the disk's thread, the trainer's process, the model it leaves."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from teach_users import clip, watch

from app import teach_process
from app.teach_process import Trainer
from app.teach_requests import Clip, Delete, Keep, Move, Undo
from app.teach_worker import Answer, Examined, Failed, Listed, Refused, Worker
from app.teaching import Teaching
from models.build import build_network
from models.card import ModelCard
from models.checkpoints import save_model
from models.network import OnlineNetwork
from online_tsm.engine import open_engine
from online_tsm.recordings import PERSONAL, Recording, read_recordings, save_recording
from online_tsm.stream import Stream
from online_tsm.watching import Watcher

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60


def wait_for(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Desk:
    """A worker, and all that it answered."""

    def __init__(self, folder: Path) -> None:
        self.worker = Worker(folder, watch)
        self.answers: list[Answer] = []
        wait_for(self.lists)  # of what is there already

    def lists(self) -> list[Listed]:
        self.answers += self.worker.answers()
        return [answer for answer in self.answers if isinstance(answer, Listed)]

    def ask(self, *requests: object) -> list[Answer]:
        """What was answered to these requests, but for the lists."""
        self.answers = []
        for request in requests:
            self.worker.ask(request)  # type: ignore[arg-type]
        wait_for(lambda: len(self.lists()) == len(requests))
        return [answer for answer in self.answers if not isinstance(answer, Listed)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "gestures")
    yield desk
    desk.worker.close()


def test_a_clip_is_saved_before_it_is_judged(desk: Desk, tmp_path: Path) -> None:
    (answer,) = desk.ask(Keep(clip()))
    assert isinstance(answer, Examined)
    assert 0.5 < answer.stroke[0] < answer.stroke[1] < 2.5
    assert answer.energy.max() == 1
    (recording,) = read_recordings(tmp_path / "gestures")
    assert recording.stroke == pytest.approx(answer.stroke, abs=0.001)
    assert [one.path for one in desk.lists()[-1].recordings] == [recording.path]


def test_where_no_model_opens_the_stroke_is_found_by_motion(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker(tmp_path / "gestures", Watcher("no_such_model"))
    worker.ask(Keep(clip()))
    worker.close()
    (answer,) = (one for one in worker.answers() if isinstance(one, Examined))
    assert 0.5 < answer.stroke[0] < answer.stroke[1] < 2.5
    assert "by motion alone" in caplog.text


def test_a_clip_is_on_disk_before_its_replay_is_shown(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """So a kill during the replay loses nothing, however slow the disk is."""
    before: list[Answer] = []

    def save(*arguments: object, **named: object) -> Recording:
        before.extend(worker.answers())
        return save_recording(*arguments, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("app.teach_worker.save_recording", save)
    worker = Worker(tmp_path / "gestures", watch)
    worker.ask(Keep(clip()))
    worker.close()
    assert not any(isinstance(answer, Examined) for answer in before)
    assert [type(answer) for answer in worker.answers()][-2:] == [Examined, Listed]


def test_a_moved_stroke_is_the_recordings(desk: Desk, tmp_path: Path) -> None:
    desk.ask(Keep(clip()), Move((0.4, 2.2)))
    assert read_recordings(tmp_path / "gestures")[0].stroke == (0.4, 2.2)
    assert desk.lists()[-1].recordings[0].stroke == (0.4, 2.2)


def test_a_recording_whose_stroke_cannot_be_moved_stays_in_the_list(desk: Desk) -> None:
    desk.ask(Keep(clip()))
    (before,) = desk.lists()[-1].recordings
    before.sidecar.unlink()
    before.sidecar.mkdir()  # so that it cannot be written
    (answer,) = desk.ask(Move((0.4, 2.2)))
    assert isinstance(answer, Failed)
    assert [one.stroke for one in desk.lists()[-1].recordings] == [before.stroke]


def test_a_clip_that_is_done_again_is_deleted_and_no_other(desk: Desk, tmp_path: Path) -> None:
    desk.ask(Keep(clip("Knock")), Keep(clip("Circle")), Undo(), Undo())
    assert [one.label for one in read_recordings(tmp_path / "gestures")] == ["Knock"]
    assert [one.label for one in desk.lists()[-1].recordings] == ["Knock"]


def test_nothing_is_undone_for_a_refused_clip(desk: Desk, tmp_path: Path) -> None:
    answers = desk.ask(Keep(clip("Knock")), Keep(clip("Circle", moves=False)), Undo())
    assert isinstance(answers[1], Refused)
    assert "No hand movement" in answers[1].words
    assert [one.label for one in read_recordings(tmp_path / "gestures")] == ["Knock"]


def test_background_needs_no_movement(desk: Desk, tmp_path: Path) -> None:
    still = clip("background", moves=False)
    answers = desk.ask(Keep(Clip(still.label, True, still.images * 2, np.arange(62) / 10)))
    assert answers == [Examined(None, None)]
    assert read_recordings(tmp_path / "gestures")[0].background


def test_a_recording_of_the_list_is_deleted(desk: Desk, tmp_path: Path) -> None:
    desk.ask(Keep(clip()), Keep(clip()))
    first = desk.lists()[-1].recordings[0]
    desk.ask(Delete(first))
    assert len(read_recordings(tmp_path / "gestures")) == 1
    assert not first.path.exists()


def test_what_cannot_be_saved_is_told(tmp_path: Path) -> None:
    (tmp_path / "gestures").write_text("a file where the folder should be")
    desk = Desk(tmp_path / "gestures")
    answers = desk.ask(Keep(clip()))
    desk.worker.close()
    assert isinstance(answers[-1], Refused)
    assert "cannot be written" in answers[-1].words


def test_a_damaged_sidecar_is_told_and_hides_no_other_recording(desk: Desk, tmp_path: Path
                                                                ) -> None:
    desk.ask(Keep(clip()), Keep(clip("Zigzag")))
    read_recordings(tmp_path / "gestures")[0].sidecar.write_text("half a fi")
    other = Desk(tmp_path / "gestures")
    assert [one.label for one in other.lists()[-1].recordings] == ["Zigzag"]
    (told,) = [answer for answer in other.answers if isinstance(answer, Failed)]
    assert "does not describe its recording" in told.words
    (kept,) = other.ask(Keep(clip()))
    assert isinstance(kept, Examined)
    other.worker.close()


def test_closing_finishes_what_was_asked_for(tmp_path: Path) -> None:
    worker = Worker(tmp_path / "gestures", watch)
    for _ in range(4):
        worker.ask(Keep(clip()))
    worker.close()
    assert len(read_recordings(tmp_path / "gestures")) == 4


@pytest.mark.parametrize("after", [1, 2])
def test_a_kill_at_any_moment_loses_no_finished_recording(tmp_path: Path, after: int) -> None:
    """The process is killed while it saves one clip after another, right after one is told."""
    code = """if True:
        import time
        from pathlib import Path
        from app.teach_worker import Listed, Worker
        from teach_users import Keep, clip, watch
        worker, kept = Worker(Path("gestures"), watch), 0
        for _ in range(1000):
            worker.ask(Keep(clip()))
        while not time.sleep(0.005):
            for answer in worker.answers():
                if isinstance(answer, Listed) and len(answer.recordings) > kept:
                    kept = len(answer.recordings)
                    print("kept", flush=True)
        """
    path = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, text=True,
                               env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE)
    for _ in range(after):
        assert process.stdout.readline() == "kept\n"
    time.sleep(0.003 * after)  # into the next one
    process.kill()
    process.communicate()
    kept = read_recordings(tmp_path / "gestures")
    assert len(kept) >= after
    assert all(len(recording.frames()) == 31 for recording in kept)


@pytest.fixture
def trainer_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a program in the place of the trainer."""
    def put(program: str) -> None:
        (tmp_path / "fake" / "training").mkdir(parents=True, exist_ok=True)
        (tmp_path / "fake" / "training" / "__init__.py").touch()
        (tmp_path / "fake" / "training" / "teach.py").write_text("import sys, time\n" + program)
        monkeypatch.setattr(teach_process, "ROOT", tmp_path / "fake")
    return put


def train(folder: Path) -> Trainer:
    return Trainer(folder, "some_model", folder / PERSONAL, folder / "report")


def test_the_trainers_progress_is_read_while_it_works(tmp_path: Path, trainer_of) -> None:
    trainer_of("print('progress 0.43 views of clips', flush=True)\ntime.sleep(60)")
    trainer = train(tmp_path)
    wait_for(lambda: trainer.progress)
    assert (trainer.progress, trainer.doing, trainer.ended) == (0.43, "views of clips", False)
    began = time.monotonic()
    trainer.close()
    assert time.monotonic() - began < 5
    assert (trainer.ended, trainer.saved) == (True, None)


def test_the_trainer_is_told_what_to_learn_from_and_where_to_save(tmp_path: Path,
                                                                  trainer_of) -> None:
    trainer_of("print('saved', *sys.argv[1:])")
    trainer = train(tmp_path)
    wait_for(lambda: trainer.ended)
    assert str(trainer.saved) == (f"{tmp_path} --model some_model --out {tmp_path / PERSONAL} "
                                  f"--report {tmp_path / 'report'}")


@pytest.mark.parametrize(("program", "words"), [
    ("print('error: Knock has one recording', file=sys.stderr); sys.exit(2)",
     "Knock has one recording"),
    ("print('error: a.avi is dark\\nerror: b.avi is short', file=sys.stderr); sys.exit(2)",
     "a.avi is dark; b.avi is short"),
    ("import no_such_package", "No module named 'no_such_package'"),
    ("print('saved x'); sys.exit(1)", "ended with code 1"),
    ("print('progress 0.5'); sys.exit(0)", "ended with code 0"),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "ended with code -9")])
def test_a_failing_trainer_gives_its_sentence(tmp_path: Path, trainer_of, program: str,
                                              words: str) -> None:
    trainer_of(program)
    trainer = train(tmp_path)
    wait_for(lambda: trainer.ended)
    assert words in trainer.failed
    assert trainer.saved is None


@pytest.fixture
def teaching(tmp_path: Path, tiny_card: ModelCard) -> Iterator[Teaching]:
    def open_stream(path: Path) -> Stream:
        return Stream(open_engine(path, "torch", "cpu"))

    with Teaching(tmp_path / "gestures", "tiny", tiny_card, open_stream) as teaching:
        yield teaching


def learn(teaching: Teaching) -> Stream | None:
    """Records what is needed, lets the trainer learn, and waits for the end of it."""
    teaching.start()
    still = clip("background", moves=False)
    for kept in (clip(), clip(), Clip("background", True, still.images * 2, np.arange(62) / 10)):
        teaching._worker.ask(Keep(kept))
        teaching._pending += 1
    poll(teaching, lambda: not teaching._pending)
    assert teaching.key("l")
    assert teaching.poll() is None
    assert not teaching.active  # the demo goes on while the trainer works
    return poll(teaching, lambda: teaching.learning is None and not teaching._wanted)


def poll(teaching: Teaching, ended: Callable[[], object]) -> Stream | None:
    streams = []

    def once() -> object:
        began = time.perf_counter()
        streams.append(teaching.poll())
        assert time.perf_counter() - began < 2  # it never waits for anybody
        return streams[-1] or ended()

    wait_for(once)
    return streams[-1]


def test_what_was_learned_is_swapped_in(tmp_path: Path, trainer_of, teaching: Teaching,
                                        tiny_card: ModelCard, seed_weights) -> None:
    taught = tiny_card.replace(labels=[*tiny_card.labels, "Knock"], measured={
        "teaching": {"added": ["Knock"], "advice": ["Knock looks like stop; make it faster"]}})
    network: OnlineNetwork = seed_weights(build_network(taught))
    save_model(network, taught, tmp_path / "ready.safetensors")
    trainer_of("import shutil\nprint('progress 0.9 nearly there', flush=True)\n"
               f"shutil.copy({str(tmp_path / 'ready.safetensors')!r}, sys.argv[5])\n"
               "print('saved', sys.argv[5])")
    stream = learn(teaching)
    assert stream is not None
    assert stream.card.labels[-1] == "Knock"
    assert len(stream.step(np.zeros((32, 32, 3), np.uint8), 0.0).probabilities) == 5
    assert "the taught model is in use now, with Knock" in teaching.notes[-1]
    assert "Knock looks like stop" in teaching.notes[-1]
    teaching.start()
    assert teaching._session.choices[2].label == "Knock"


def test_a_failed_lesson_leaves_everything_as_it_was(trainer_of, teaching: Teaching) -> None:
    trainer_of("print('error: Knock and Circle look the same'); sys.exit(2)")
    assert learn(teaching) is None
    assert teaching.notes[-1] == "nothing was learned: Knock and Circle look the same"
    assert teaching.learning is None
    trainer_of("print('saved /nowhere/at/all.safetensors')")
    assert learn(teaching) is None
    assert "cannot be opened" in teaching.notes[-1]


def test_a_full_disk_while_the_model_is_opened_does_not_end_the_demo(
        tmp_path: Path, trainer_of, tiny_card: ModelCard) -> None:
    def open_stream(_: Path) -> Stream:
        raise OSError("No space left on device")

    trainer_of("print('saved', sys.argv[5])")
    with Teaching(tmp_path, "tiny", tiny_card, open_stream) as teaching:
        teaching._wanted = True
        assert poll(teaching, lambda: not teaching._wanted and teaching.learning is None) is None
        assert "cannot be opened: No space left on device" in teaching.notes[-1]


def test_the_trainer_ends_with_the_demo(trainer_of, teaching: Teaching,
                                        caplog: pytest.LogCaptureFixture) -> None:
    trainer_of("print('progress 0.1 slowly', flush=True)\ntime.sleep(600)")
    with pytest.raises(AssertionError, match="waited in vain"):
        learn_briefly(teaching)
    process = teaching._trainer._process
    teaching.close()
    assert process.poll() is not None
    assert "nothing new was learned" in caplog.messages[-1]


def test_the_end_of_the_demo_tells_what_the_trainer_had_saved(
        trainer_of, teaching: Teaching, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer_of("open(sys.argv[5], 'w').close()\nprint('progress 1 done', flush=True)\n"
               "time.sleep(600)")
    with pytest.raises(AssertionError, match="waited in vain"):
        learn_briefly(teaching)
    teaching.close()
    assert "just saved what it learned: the next start uses it" in caplog.messages[-1]


def learn_briefly(teaching: Teaching) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[__name__], "PATIENCE_S", 3)
        learn(teaching)
