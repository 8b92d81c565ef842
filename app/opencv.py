"""OpenCV as this app wants it: import `cv2` from here wherever pictures come in or go out."""

from __future__ import annotations

import os

# Read by OpenCV when it first needs them, so they must be there before the first capture.
_ENVIRONMENT = {
    "OPENCV_FFMPEG_LOGLEVEL": "-8",  # quiet: FFmpeg's messages would print URLs with passwords
    "OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS": "0",  # else Windows takes up to 60 s to open
}
for _name, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

import cv2  # noqa: E402

if "OPENCV_LOG_LEVEL" not in os.environ:
    # What goes wrong is said by us, in a sentence; OpenCV's own lines only hide it.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = ["cv2"]
