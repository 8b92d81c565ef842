"""The 27 classes of Jester (Materzynska et al., 2019), in the two orders that checkpoints use."""

from __future__ import annotations

CSV_ORDER = (  # of the data set's own label file; mmaction2 counts this way
    "Swiping Left",
    "Swiping Right",
    "Swiping Down",
    "Swiping Up",
    "Pushing Hand Away",
    "Pulling Hand In",
    "Sliding Two Fingers Left",
    "Sliding Two Fingers Right",
    "Sliding Two Fingers Down",
    "Sliding Two Fingers Up",
    "Pushing Two Fingers Away",
    "Pulling Two Fingers In",
    "Rolling Hand Forward",
    "Rolling Hand Backward",
    "Turning Hand Clockwise",
    "Turning Hand Counterclockwise",
    "Zooming In With Full Hand",
    "Zooming Out With Full Hand",
    "Zooming In With Two Fingers",
    "Zooming Out With Two Fingers",
    "Thumb Up",
    "Thumb Down",
    "Shaking Hand",
    "Stop Sign",
    "Drumming Fingers",
    "No gesture",
    "Doing other things",
)
ALPHABETICAL = tuple(sorted(CSV_ORDER))  # the official demo and training script count this way

BACKGROUND = ("No gesture", "Doing other things")

MIRRORED_PAIRS = (  # what becomes what when a clip is mirrored left to right
    ("Swiping Left", "Swiping Right"),
    ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
    ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
)

BACKWARD_PAIRS = (  # what becomes what when a clip is played backwards
    ("Swiping Left", "Swiping Right"),
    ("Swiping Up", "Swiping Down"),
    ("Sliding Two Fingers Left", "Sliding Two Fingers Right"),
    ("Sliding Two Fingers Up", "Sliding Two Fingers Down"),
    ("Pushing Hand Away", "Pulling Hand In"),
    ("Pushing Two Fingers Away", "Pulling Two Fingers In"),
    ("Rolling Hand Forward", "Rolling Hand Backward"),
    ("Turning Hand Clockwise", "Turning Hand Counterclockwise"),
    ("Zooming In With Full Hand", "Zooming Out With Full Hand"),
    ("Zooming In With Two Fingers", "Zooming Out With Two Fingers"),
)
