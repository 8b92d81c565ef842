"""Teaching within the demo: the session, its disk, the trainer, and the checkpoint it saves."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Self

from app.scene import Image
from app.teach import Session
from app.teach_process import Trainer
from app.teach_requests import Learn
from app.teach_view import draw_session
from app.teach_worker import Answer, Examined, Failed, Listed, Refused, Worker
from models.card import CardError, ModelCard
from models.errors import CheckpointError
from online_tsm.engine import EngineError
from online_tsm.labels import LabelError
from online_tsm.recordings import PERSONAL, REPORT, Recording
from online_tsm.stream import Stream, StreamError
from online_tsm.watching import Watcher

log = logging.getLogger(__name__)

_UNUSABLE = (CardError, CheckpointError, EngineError, LabelError, StreamError, OSError)


class Teaching:
    """What the loop needs: it gives frames and keys while `active`, and asks `poll` between two.

    `folder` holds the recordings, `model` is what is learned on top of, `card` that of the model
    in use. `open_stream` opens a checkpoint; it is called in a thread. `refusal` says why this
    model cannot be taught, if it cannot.
    """

    def __init__(self, folder: Path, model: str, card: ModelCard,
                 open_stream: Callable[[Path], Stream], refusal: str = "") -> None:
        self.notes: list[str] = []  # sentences for the person, to be taken away
        self._folder = folder
        self._model = model
        self._card = card
        self._open_stream = open_stream
        self._refusal = refusal
        self._session: Session | None = None
        self._worker: Worker | None = None
        self._recordings: tuple[Recording, ...] = ()
        self._pending = 0  # requests that the worker has not answered with a list yet
        self._wanted = False  # whether to learn as soon as everything is on disk
        self._trainer: Trainer | None = None
        self._saved_before: int | None = None
        self._opener = ThreadPoolExecutor(1, "opener")
        self._opening: Future[Stream] | None = None

    @property
    def active(self) -> bool:
        """Whether a session is on, which takes all frames and keys."""
        return self._session is not None

    @property
    def learning(self) -> tuple[str, float] | None:
        """What the trainer does now and its progress (0 to 1), while it is at work."""
        if self._opening is not None:
            return "Learned: opening the new model", 1.0
        if self._trainer is not None:
            return f"Learning: {self._trainer.doing}", self._trainer.progress
        return None

    def start(self) -> None:
        """Opens a session, or notes why there is none."""
        if self._refusal:
            self.notes.append(self._refusal)
            return
        if self._worker is None:
            self._worker, self._pending = Worker(self._folder, Watcher(self._model)), 1
            self.notes.append(f"recordings go to {self._folder}, and stay on this machine")
        self._session = Session(self._card, self._recordings)

    def see(self, image: Image, time: float) -> None:
        """A frame of the camera, BGR uint8 [H, W, 3] and not mirrored, and its time in s."""
        if self._session is not None:
            self._session.frame(image, time)

    def key(self, key: str) -> bool:
        """A key for the session; False where it means nothing to it."""
        return self._session is not None and self._session.key(key)

    def picture(self, image: Image, prepare: Callable[[Image], Image], mirrored: bool) -> Image:
        """What the window shows: the session on the camera's image, or on its replay.

        `prepare` scales either for the window, and mirrors it if `mirrored`.
        """
        session = self._session
        if session is None:
            return prepare(image)
        shown = session.replayed
        words = "{} ({:.0%})".format(*self.learning) if self.learning else ""
        return draw_session(prepare(image if shown is None else shown), session, words,
                            mirrored=mirrored)

    def poll(self) -> Stream | None:
        """Does what is due, and waits for nothing. Returns a stream of the model just learned."""
        if self._worker is not None:
            for answer in self._worker.answers():
                self._take(answer)
        if self._session is not None:
            self._pass_on(self._session)
        if self._wanted and not self._pending:
            self._wanted = False
            self._start_training()
        if self._trainer is not None and self._trainer.ended:
            self._end_training(self._trainer)
        if self._opening is not None and self._opening.done():
            return self._opened(self._opening)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Saves what is being saved; ends the trainer."""
        self._session = None
        if self._trainer is not None:
            self._trainer.close()
            self._trainer = None
            log.warning("the demo ended before the trainer did: nothing new was learned"
                        if self._saved() == self._saved_before else
                        "the trainer had just saved what it learned: the next start uses it")
        if self._worker is not None:
            self._worker.close()
        self._opener.shutdown()

    def _take(self, answer: Answer) -> None:
        session = self._session
        if isinstance(answer, Listed):
            self._recordings = answer.recordings
            self._pending -= 1
        if session is None:
            return
        if isinstance(answer, Listed):
            session.listed(answer.recordings)
        elif isinstance(answer, Examined):
            session.examined(answer.stroke, answer.energy)
        elif isinstance(answer, Refused):
            session.refused(answer.words)
        elif isinstance(answer, Failed):
            session.notice = answer.words

    def _pass_on(self, session: Session) -> None:
        """The session's requests to those who do them; and its end."""
        for request in session.take_requests():
            if isinstance(request, Learn):
                self._learn()
            elif self._worker is not None:
                self._worker.ask(request)
                self._pending += 1
        if not session.open:
            self._session = None

    def _learn(self) -> None:
        if self._trainer is not None or self._opening is not None:
            self.notes.append("learning is under way already")
        else:
            self._wanted = True

    def _saved(self) -> int | None:
        """When the personal checkpoint was saved, None where there is none."""
        try:
            return (self._folder / PERSONAL).stat().st_mtime_ns
        except OSError:
            return None

    def _start_training(self) -> None:
        self._saved_before = self._saved()
        try:
            self._trainer = Trainer(self._folder, self._model, self._folder / PERSONAL,
                                    self._folder / REPORT)
        except OSError as error:
            self._tell(f"the trainer cannot be started: {error.strerror or error}")

    def _end_training(self, trainer: Trainer) -> None:
        self._trainer = None
        if trainer.saved is None:
            self._tell(f"nothing was learned: {trainer.failed}")
        else:
            self._opening = self._opener.submit(self._open_stream, trainer.saved)

    def _opened(self, opening: Future[Stream]) -> Stream | None:
        self._opening = None
        try:
            stream = opening.result()
        except _UNUSABLE as error:
            self._tell(f"what was learned cannot be opened: {error}")
            return None
        said = stream.card.measured.get("teaching", {})
        self._card = stream.card
        if self._session is not None:
            self._session.taught(stream.card)
        new = "".join(f", with {label}" for label in said.get("added", []))
        self.notes.append(f"how well it was learned: {self._folder / REPORT}")
        self._tell(". ".join([f"the taught model is in use now{new}", *said.get("advice", [])]))
        return stream

    def _tell(self, words: str) -> None:
        self.notes.append(words)
        if self._session is not None and self._session.step == "choose":
            self._session.notice = words
