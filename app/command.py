"""What the demo's command line does: a list, or a run wired together from its settings."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.actions import ActionsError
from app.loop import Demo
from app.outputs import OutputError
from app.settings import Settings, SettingsError
from app.sinks import Sinks
from app.sources import SourceError, SourceOptions, list_cameras, open_source
from app.window import Window, display_available
from models import zoo
from models.card import CardError, ModelCard
from models.card_files import read_labels
from models.checkpoints import DEFAULT_MODEL, read_card
from models.errors import CheckpointError
from online_tsm.engine import EngineError, open_engine
from online_tsm.labels import LabelError
from online_tsm.latency import LatencyError, LatencyReport
from online_tsm.preprocess import FrameError
from online_tsm.stream import StreamError

USER_ERRORS = (ActionsError, CardError, CheckpointError, EngineError, FrameError, LabelError,
               LatencyError, OutputError, SettingsError, SourceError, StreamError)
SAMPLE = Path(__file__).with_name("sample.mp4")
FIRST_CAMERA = "0"


def run(flags: argparse.Namespace, started: float) -> int:
    """Prints the list that was asked for, or runs the demo. Returns the exit code.

    `started` is `time.perf_counter()` when the program began. Raises one of USER_ERRORS.
    """
    settings: Settings = flags.settings
    if flags.list_cameras:
        for camera in list_cameras():
            print(f"{camera.index}\t{camera.name}")
    elif flags.list_labels:
        print("\n".join(_card(settings).labels))
    elif flags.list_models:
        for name, entry in zoo.entries().items():
            print(f"{name}\t{entry['about']} ({entry['licence']})")
    else:
        demo(settings, started)
    return 0


def demo(settings: Settings, started: float) -> None:
    """One run: engine, window or run folder, source, loop, report."""
    engine = open_engine(settings.model or DEFAULT_MODEL, settings.engine, settings.device,
                         settings.threads, precision=settings.precision,
                         **_model_options(settings))
    if engine.note:
        say(engine.note)
    reason = display_available() if settings.display else ""
    headless = not settings.display or bool(reason)
    if reason:
        say(f"{reason}; running without a window")
    with contextlib.ExitStack() as stack:
        sinks = stack.enter_context(Sinks(settings, engine.card, headless))
        window = None if headless else Window("Gestures", settings.fullscreen)
        if window is not None:
            stack.callback(window.close)
        loop = Demo(settings, engine, sinks, window, started)
        stack.enter_context(_ended_by_signals(loop))
        _play(settings, loop)
    if sinks.problem:
        say(f"warning: {sinks.problem}")
    if loop.frames:
        _report(loop.report(), settings, sinks if headless else None)


def say(words: str) -> None:
    """Words go to stderr; stdout is for data."""
    print(words, file=sys.stderr, flush=True)


def _play(settings: Settings, loop: Demo) -> None:
    """Plays the source that was asked for; else the first camera; else the bundled sample."""
    camera = settings.camera
    options = SourceOptions(camera.width, camera.height, camera.rate, camera.backend,
                            settings.fast)
    try:
        with open_source(settings.source or FIRST_CAMERA, options) as source:
            loop.play(source)
    except SourceError as error:
        if settings.source is not None or loop.frames:
            raise
        say(f"no camera: {error}; playing the bundled sample instead")
        with open_source(str(SAMPLE), options) as source:
            loop.play(source)


def _report(report: LatencyReport, settings: Settings, run: Sinks | None) -> None:
    """The latency report on stderr, in the file asked for, and in the folder of a headless run."""
    say("\n" + report.text())
    if settings.latency:
        _write_report(report, Path(settings.latency))
    if run is not None:
        for suffix in (".txt", ".json", ".png"):
            _write_report(report, run.folder.file(f"latency{suffix}"))
        say(f"results in {run.folder.path}")


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
    return read_card(settings.model or DEFAULT_MODEL, **_model_options(settings))


@contextlib.contextmanager
def _ended_by_signals(loop: Demo) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the loop in order; a second one ends the program at once."""
    def stop(number: int, _: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        loop.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
