"""What the demo's command line does: a list, or a run wired together from its settings."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.actions import ActionsError
from app.loop import Demo, new_stream
from app.outputs import STDOUT, OutputError, say
from app.personal import delete, listing, model_to_open, no_teaching, teach_dir
from app.settings import AUTO, Settings, SettingsError
from app.sinks import Sinks
from app.sources import Source, SourceError, SourceOptions, list_cameras, open_source
from app.teaching import Teaching
from app.window import Window, display_available
from models import zoo
from models.card import CardError, ModelCard
from models.card_files import read_labels
from models.checkpoints import DEFAULT_MODEL, read_card
from models.errors import CheckpointError
from online_tsm.engine import Engine, EngineError, open_engine
from online_tsm.file_names import can_be_named
from online_tsm.graphs import obstacle_to
from online_tsm.labels import EVERY_CLASS, LabelError
from online_tsm.latency import LatencyError, LatencyReport
from online_tsm.preprocess import FrameError
from online_tsm.recordings import RecordingError
from online_tsm.stream import Stream, StreamError

USER_ERRORS = (ActionsError, CardError, CheckpointError, EngineError, FrameError, LabelError,
               LatencyError, OutputError, RecordingError, SettingsError, SourceError, StreamError)
SAMPLE = Path(__file__).with_name("sample.mp4")
FIRST_CAMERA = "0"


def run(flags: argparse.Namespace, started: float) -> int:
    """Prints the list that was asked for, or runs the demo. Returns the exit code.

    `started` is `time.perf_counter()` when the program began. Raises one of USER_ERRORS.
    """
    settings: Settings = flags.settings
    if flags.list_cameras:
        cameras = list_cameras()
        for camera in cameras:
            print(f"{camera.index}\t{camera.name}")
        if not cameras:
            say("no camera found")
    elif flags.list_labels:
        print("\n".join(_card(settings).labels))
    elif flags.list_models:
        for name, entry in zoo.entries().items():
            print(f"{name}\t{entry['about']} ({entry['licence']})")
    elif flags.list_recordings:
        lines = listing(teach_dir(settings))
        say(f"{'recordings' if lines else 'no recordings yet'} in {teach_dir(settings)}")
        for line in lines:
            print(line)
    elif flags.delete_recording is not None:
        say(delete(teach_dir(settings), flags.delete_recording))
    else:
        _check_files(settings, flags.config)
        demo(settings, started)
    return 0


def demo(settings: Settings, started: float) -> None:
    """One run: engine, source, outputs, window, loop, report.

    What cannot be written any more in mid-run stops nothing else, and is raised at the end.
    """
    _check_teach_dir(settings)
    reason = display_available() if settings.display else ""
    headless = not settings.display or bool(reason)
    if settings.teach:
        _check_can_teach(settings, reason)
    model, words = model_to_open(settings)
    if words:
        say(words)
    engine = _engine(settings, model)
    if engine.note:
        say(engine.note)
    if reason:
        say(f"{reason}; running without a window")
    stopping = threading.Event()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_set_by_signals(stopping))
        source = stack.enter_context(_open(settings))  # first: a wrong one must not touch outputs
        sinks = stack.enter_context(Sinks(settings, engine.card, headless))
        if sinks.waiting:
            say(sinks.waiting)
        window = None if headless else Window("Gestures", settings.fullscreen)
        teaching = None
        if window is not None:
            teaching = stack.enter_context(_teaching(settings, engine))
            stack.callback(window.close)
        loop = Demo(settings, engine, sinks, window, teaching, started=started, stopping=stopping)
        to_its_end = _play(settings, loop, source)
        if to_its_end and teaching is not None and teaching.active:
            say("the video has ended, and the session with it; what was recorded is kept")
        if window is not None:
            window.close()
        sinks.close()
        failures, report = sinks.failures, loop.report()
        try:
            if report.frames or report.warmup_frames:
                _report(report, settings, sinks if headless else None)
        except (LatencyError, OutputError) as error:
            failures.append(str(error))
        if failures:
            raise OutputError("; ".join(failures))


def _engine(settings: Settings, model: str | Path) -> Engine:
    return open_engine(model, settings.engine, settings.device, settings.threads,
                       precision=settings.precision, **_model_options(settings))


def _teaching(settings: Settings, engine: Engine) -> Teaching:
    """Opens a session at once where the settings ask for it."""
    def open_learned(path: Path) -> Stream:
        learned = _engine(settings, path)
        new = [label for label in learned.card.labels if label not in engine.card.labels]
        return new_stream(_allowing(settings, new), learned)

    teaching = Teaching(teach_dir(settings), settings.model or DEFAULT_MODEL, engine.card,
                        open_learned, no_teaching(settings))
    if settings.teach:
        teaching.start()
    return teaching


def _allowing(settings: Settings, new: Sequence[str]) -> Settings:
    """The settings with `new` labels in an allow list: nobody could name these at the start."""
    if not settings.allow or settings.allow == [EVERY_CLASS]:
        return settings
    taught = [label for label in new if label not in settings.deny]
    return dataclasses.replace(settings, allow=[*settings.allow, *taught])


def _open(settings: Settings) -> Source:
    """The source that was asked for; else the first camera; else the bundled sample."""
    if settings.source is not None:
        return open_source(settings.source, _source_options(settings))
    try:
        return open_source(FIRST_CAMERA, _source_options(settings))
    except SourceError as error:
        return _open_sample(settings, error)


def _open_sample(settings: Settings, reason: SourceError) -> Source:
    if settings.teach:
        raise SettingsError(f"--teach needs a camera that sees you, or a video of you after "
                            f"--source: {reason}")
    say(f"no camera: {reason}; playing the bundled sample instead")
    return open_source(str(SAMPLE), _source_options(settings))


def _play(settings: Settings, loop: Demo, source: Source) -> bool:
    """Plays `source`; or the sample, if that is a camera nobody asked for and gives nothing.
    Returns whether it has ended."""
    try:
        return loop.play(source)
    except SourceError as error:
        if settings.source is not None or loop.frames or not source.live:
            raise
        with _open_sample(settings, error) as sample:
            return loop.play(sample)


def _source_options(settings: Settings) -> SourceOptions:
    camera = settings.camera
    return SourceOptions(camera.width, camera.height, camera.rate, camera.backend, settings.fast)


def _check_files(settings: Settings, config: str | None) -> None:
    """No output may be an input or another output, and the report must have a place to go to."""
    inputs = {"--config": config, "--source": settings.source, "--model": settings.model,
              "--card": settings.card_file, "--labels": settings.labels_file,
              "--actions": settings.actions}
    outputs = {"--events": settings.events, "--predictions": settings.predictions,
               "--latency": settings.latency}
    if settings.record not in (AUTO, "off"):
        outputs["--record"] = settings.record
    # Not by Path's own methods: they raise at a name that is too long and at a link to itself.
    taken = {os.path.realpath(name): flag for flag, name in inputs.items()
             if name is not None and os.path.exists(name)}
    for flag, name in outputs.items():
        if name is None or name == STDOUT:
            continue
        path = os.path.realpath(name)
        if path in taken:
            raise SettingsError(f"{taken[path]} and {flag} are the same file, {name}, which would "
                                "be overwritten; name another one")
        taken[path] = flag
    if settings.latency is None:
        return
    obstacle = ("it is a folder; name a file" if os.path.isdir(settings.latency)
                else obstacle_to(Path(os.path.realpath(settings.latency)).parent))
    if obstacle:
        raise SettingsError(f"--latency {settings.latency} cannot be written: {obstacle}")


def _check_can_teach(settings: Settings, no_window: str) -> None:
    """Raises SettingsError; `no_window` is why there is none."""
    if refusal := no_teaching(settings):
        raise SettingsError(f"--teach: {refusal}")
    if no_window:
        raise SettingsError(f"--teach needs a window: {no_window}")


def _check_teach_dir(settings: Settings) -> None:
    """A folder that was asked for must be one, or be possible: better said now than after the first
    recording, which makes it. One that is not there yet may be mistyped, so that is said, too."""
    if settings.teach_dir is None and not settings.teach:
        return
    folder, new = teach_dir(settings), False
    if not can_be_named(folder):
        raise SettingsError(f"--teach-dir {folder}: its name is not UTF-8; name another one")
    try:
        folder.stat()
    except (FileNotFoundError, NotADirectoryError):
        new = True
    except OSError as error:
        raise SettingsError(f"--teach-dir {folder}: the folder cannot be made: {error.strerror}; "
                            "name another one") from error
    above = next(filter(os.path.lexists, (folder, *folder.parents)), folder.anchor)
    if not os.path.isdir(above):
        raise SettingsError(f"--teach-dir {folder}: {above} is no folder; name another one")
    if (new or settings.teach) and not os.access(above, os.W_OK):
        raise SettingsError(f"--teach-dir {folder}: nothing can be written there; name another one")
    if new and settings.teach_dir is not None:
        say(f"--teach-dir {folder} is not there yet; it is made with the first recording")


def _report(report: LatencyReport, settings: Settings, run: Sinks | None) -> None:
    """The latency report on stderr, in the folder of a headless run, and in the file asked for."""
    say("\n" + report.text())
    if run is not None:
        for suffix in (".txt", ".json", ".png"):
            _write_report(report, run.folder.file(f"latency{suffix}"))
        say(f"results in {run.folder.path}")
    if settings.latency:
        path = Path(settings.latency)
        with contextlib.suppress(OSError):  # writing tells it
            path.parent.mkdir(parents=True, exist_ok=True)
        _write_report(report, path)


def _write_report(report: LatencyReport, path: Path) -> None:
    if path.suffix == ".json":
        report.to_json(path)
    elif path.suffix == ".png":
        report.plot(path)
    else:
        try:
            path.write_text(report.text(), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path}: the latency report cannot be written: {error}") from error


def _model_options(settings: Settings) -> dict[str, Any]:
    overrides = dict(settings.card)
    if settings.labels_file:
        overrides["labels"] = read_labels(Path(settings.labels_file))
    return {"overrides": overrides, "trust": settings.trust_checkpoint,
            "card_file": Path(settings.card_file) if settings.card_file else None}


def _card(settings: Settings) -> ModelCard:
    return read_card(model_to_open(settings)[0], **_model_options(settings))


@contextlib.contextmanager
def _set_by_signals(stopping: threading.Event) -> Iterator[None]:
    """Ctrl-C, SIGTERM and a closed terminal (but not Windows' one) end the run in order, report
    included, and say so; a second one ends it at once."""
    def stop(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()
        with contextlib.suppress(RuntimeError):  # it came in the midst of another line
            say("stopping ...")

    before = {number: signal.signal(number, stop) for number in _ending_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ending_signals() -> list[signal.Signals]:
    """SIGHUP comes as the terminal closes; nohup has it ignored. SIGBREAK is Ctrl-Break of Windows,
    which lets no process outlive its console window."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    found = [signal.Signals[name] for name in names if name in signal.Signals.__members__]
    return [number for number in found
            if number.name != "SIGHUP" or signal.getsignal(number) != signal.SIG_IGN]
