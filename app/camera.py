"""A live source: its own thread grabs, one slot holds the newest frame, what is lost comes back."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from app.frames import POLL_S, Frame, SourceError, in_colour
from app.opencv import cv2

logger = logging.getLogger(__name__)

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 10.0)  # before each further try; the last one repeats
RATE_WINDOW_S = 2.0  # the rate is measured over this long
SINGLES = 3  # connections of one picture each in a row: no video, but an address of snapshots
STALL_S = 2.0  # without a picture for this long, the user is told
JOIN_S = 1.0  # how long close() waits for the thread
BLACK_LEVEL = 10  # grey level of 255; a lens in the dark still gives more noise than this
BLACK_S = 2.0  # black for this long, the user is told
# What ends a connection: so many frames in a row that cannot be decoded, or that for so long.
MOST_DAMAGED, DAMAGED_S = 10, 3.0


class LiveSource:
    """A camera or a stream, read by a thread that starts at once.

    `connect` returns an opened or closed `cv2.VideoCapture`; it and all that is done with the
    capture run in the thread. If nothing comes at first within `patience_s` seconds, iterating
    raises what `explain` returns. Once there was a frame, a loss is never an error: `status`
    tells it, the thread tries again after growing pauses, and the frame after it raises `epoch`.
    So does a change of size; of a stream it shows only after a reconnection, since OpenCV scales
    all pictures of one connection to the size of the first. `darkness` is the status while all
    pictures are black, `single` tells of it while every connection gives but one. `exit_s` is how
    long the interpreter waits at exit for a thread that still hangs in a driver or a socket.
    """

    live = True
    frame_count: int | None = None

    def __init__(
        self,
        name: str,
        connect: Callable[[], Any],
        explain: Callable[[], SourceError],
        *,
        patience_s: float = 0.0,
        darkness: str = "",
        single: str = "",
        exit_s: float = 5.0,
    ) -> None:
        self.name = name
        self.dropped = 0
        self.epoch = 0
        self._connect = connect
        self._explain = explain
        self._patience_s = patience_s
        self._exit_s = exit_s
        self._stop = threading.Event()
        self._news = threading.Condition()
        # All below belong to the thread; the reader takes them under `_news`.
        self._slot: Frame | None = None
        self._failure: Exception | None = None
        self._times: deque[float] = deque()  # of the grabs within RATE_WINDOW_S
        self._trouble = f"opening {name} ..."
        self._single = single
        self._light = Darkness(darkness or f"the pictures from {name} are black")
        self._grabs = 0
        self._newest_epoch = -1  # the first connection makes it 0
        self._shape: tuple[int, ...] = ()  # of the newest frame
        self._ended: float | None = None  # when close() was called
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        # A daemon thread that returns from OpenCV while Python is going down aborts the process.
        atexit.register(self._finish)
        self._thread.start()

    def __iter__(self) -> Iterator[Frame | None]:
        while not self._stop.is_set():
            yield self._take()

    def _take(self) -> Frame | None:
        with self._news:
            self._news.wait_for(lambda: self._slot or self._failure or self._stop.is_set(), POLL_S)
            if self._failure:
                raise self._failure
            frame, self._slot = self._slot, None
            if frame:
                self.epoch = self._newest_epoch
            return frame

    @property
    def rate(self) -> float | None:
        """Frames a second as the camera delivers them, in the end the last that was measured.

        None where there is too little to tell.
        """
        with self._news:
            return measured_rate(list(self._times), self._ended or time.perf_counter())

    @property
    def status(self) -> str:
        with self._news:
            if self._trouble:
                return self._trouble
            silence = time.perf_counter() - self._times[-1]
            if silence > STALL_S:
                return f"no picture from {self.name} for {silence:.0f} s"
            return self._light.status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the thread, or leaves it behind if it does not come back within a second."""
        self._ended = self._ended or time.perf_counter()
        self._stop.set()
        with self._news:
            self._news.notify_all()
        self._thread.join(JOIN_S)
        if not self._thread.is_alive():
            atexit.unregister(self._finish)

    def _finish(self) -> None:
        self._stop.set()
        self._thread.join(self._exit_s)

    def _run(self) -> None:
        try:
            self._stay_connected()
        except Exception as error:
            with self._news:
                self._failure = error
                self._news.notify_all()

    def _stay_connected(self) -> None:
        patient_until = time.perf_counter() + self._patience_s
        ever, tries, singles = False, 0, 0
        while True:
            frames = self._follow()
            if self._stop.is_set():
                return
            ever, tries = ever or frames > 0, 0 if frames else tries
            singles = singles + 1 if frames == 1 else 0
            if not ever and time.perf_counter() >= patient_until:
                raise self._explain()
            if frames:
                logger.warning("%s lost", self.name)
            pause = PAUSES_S[min(tries, len(PAUSES_S) - 1)]
            tries += 1
            what = "lost" if ever else "does not answer"
            if singles >= SINGLES and self._single:
                what = self._single
            self._say(f"{self.name} {what}, retrying in {pause:g} s")
            self._stop.wait(pause)
            self._say(f"{self.name} {what}, trying again ...")

    def _follow(self) -> int:
        """Connects, and puts frames into the slot until the capture ends or fails; how many."""
        capture: Any = None
        frames = damaged = 0
        try:
            capture = self._connect()
            waits_late, good = waits_in_retrieve(capture), time.perf_counter()
            while not self._stop.is_set() and capture.grab():
                grabbed = time.perf_counter()
                ok, image = capture.retrieve()
                now = time.perf_counter()
                if ok:
                    good = grabbed = now if waits_late else grabbed
                    picture = Frame(in_colour(image), grabbed, self._grabs, grabbed)
                    self._put(picture, first=frames == 0)
                    frames, damaged = frames + 1, 0
                    continue
                damaged += 1
                if damaged >= MOST_DAMAGED or (frames and now - good > DAMAGED_S):
                    break
        except cv2.error as error:
            logger.info("%s: %s", self.name, error)
        finally:
            if capture is not None:
                capture.release()
        return frames

    def _put(self, frame: Frame, first: bool) -> None:
        with self._news:
            self._newest_epoch += first or frame.image.shape != self._shape
            self._shape = frame.image.shape
            self.dropped += self._slot is not None
            self._slot = frame
            self._grabs += 1
            self._times.append(frame.time)
            while frame.time - self._times[0] > RATE_WINDOW_S:
                self._times.popleft()
            self._light.look(frame.image, frame.time)
            self._trouble = ""
            self._news.notify_all()

    def _say(self, trouble: str) -> None:
        with self._news:
            self._trouble = trouble


def waits_in_retrieve(capture: Any) -> bool:
    """Whether `grab()` returns at once, and `retrieve()` waits for the picture: DirectShow."""
    return bool(capture.isOpened() and capture.get(cv2.CAP_PROP_BACKEND) == cv2.CAP_DSHOW)


def measured_rate(times: Sequence[float], now: float) -> float | None:
    """Frames a second from grab times in seconds, of which the last `RATE_WINDOW_S` count.

    None where they span less than a quarter of that.
    """
    recent = [moment for moment in times if now - moment <= RATE_WINDOW_S]
    if len(recent) < 3 or recent[-1] - recent[0] < RATE_WINDOW_S / 4:
        return None
    return (len(recent) - 1) / (recent[-1] - recent[0])


class Darkness:
    """Notices pictures that are black for longer than `BLACK_S`; `status` is then `message`."""

    def __init__(self, message: str) -> None:
        self.status = ""
        self._message = message
        self._since: float | None = None

    def look(self, image: NDArray[np.uint8], moment: float) -> None:
        """Takes a picture, uint8 [H, W, 3], and its time in seconds."""
        if int(image[::16, ::16].max()) > BLACK_LEVEL:
            self._since, self.status = None, ""
        elif self._since is None:
            self._since = moment
        elif moment - self._since > BLACK_S:
            self.status = self._message
