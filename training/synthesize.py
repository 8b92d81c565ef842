"""Rendered people from gesture files: `python -m training.synthesize COMMAND`.

fetch                     download the free assets (about 100 MB, once)
check                     read all gesture files and say what is wrong with them
preview FILE.yaml         a contact sheet and an animated picture of one gesture
people                    close-ups of the whole cast
render --out DIR ...      a set of clips in shard files; run it again to go on
guide                     one short moving picture a gesture, for the demo's help
sample                    the bundled sample video with its list of events (needs ffmpeg)
"""

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import logging
import sys
from pathlib import Path

import numpy as np

from training.events_file import DataError
from training.flags import natural
from training.synthesis.assets import SynthesisError, cache_folder, fetch_all
from training.synthesis.bake import ensure_baked
from training.synthesis.cast import SPLITS, people
from training.synthesis.language import (
    GESTURES_FOLDER,
    common_of,
    load_gesture,
    load_gestures,
    resting_poses,
)
from training.targets import check_folder

PREVIEW_SIZE, PREVIEW_FPS = (240, 180), 10.0
PREVIEW_PERSON = 4
SAMPLE_SEED = 12  # of the bundled one


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status (2 for a mistake of the user)."""
    parser = _parser()
    flags = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        out = getattr(flags, "out", None)
        if out is not None:
            check_folder(out.parent if flags.run is _sample else out)
        flags.run(flags, cache_folder(flags.cache))
    except (SynthesisError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.synthesize",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cache", type=Path, help="folder of assets and baked people")
    parser.add_argument("--device", type=natural, default=0, help="EGL device number")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    commands.add_parser("fetch").set_defaults(run=lambda _, cache: fetch_all(cache))
    check = commands.add_parser("check")
    check.add_argument("--gestures", type=Path, default=GESTURES_FOLDER)
    check.set_defaults(run=_check)

    preview = commands.add_parser("preview")
    preview.add_argument("file", type=Path)
    preview.add_argument("--out", type=Path, help="folder for the pictures (default: runs/preview)")
    preview.add_argument("--person", type=natural, default=PREVIEW_PERSON)
    preview.add_argument("--seed", type=natural, default=0)
    preview.set_defaults(run=_preview)

    cast = commands.add_parser("people")
    cast.add_argument("--out", type=Path, default=Path("runs/people"))
    cast.set_defaults(run=_people)

    render = commands.add_parser("render")
    render.add_argument("--out", type=Path, required=True)
    render.add_argument("--clips", type=natural, required=True)
    render.add_argument("--seed", type=natural, default=0)
    render.add_argument("--split", choices=SPLITS, default=SPLITS[0])
    render.add_argument("--workers", type=natural, default=1)
    render.add_argument("--gestures", type=Path, default=GESTURES_FOLDER)
    render.add_argument("--draft", action="store_true",
                        help="8 frames a second, less smooth blur: twice as many clips an hour")
    render.set_defaults(run=_render)

    guide = commands.add_parser("guide")
    guide.add_argument("--out", type=Path, help="folder (default: the one the demo shows)")
    guide.add_argument("--sheet", type=Path, default=Path("runs/gestures.jpg"))
    guide.add_argument("--gestures", type=Path, default=GESTURES_FOLDER)
    guide.set_defaults(run=_guide)

    sample = commands.add_parser("sample")
    sample.add_argument("--out", type=Path, default=Path("runs/sample.mp4"))
    sample.add_argument("--seed", type=natural, default=SAMPLE_SEED)
    sample.set_defaults(run=_sample)
    return parser


def _check(flags: argparse.Namespace, cache: Path) -> None:
    gestures = load_gestures(flags.gestures)
    resting_poses(flags.gestures)
    for gesture in gestures.values():
        held = sum(style.held_out for style in gesture.styles)
        print(f"{gesture.label}: {len(gesture.styles)} styles, {held} held out")


def _preview(flags: argparse.Namespace, cache: Path) -> None:
    from training.synthesis import sheets
    from training.synthesis.clip import Studio

    gesture = load_gesture(flags.file, common_of(flags.file.parent))
    cast = people("train")
    if flags.person >= len(cast):
        raise SynthesisError(f"--person {flags.person}: the cast has people 0 to {len(cast) - 1}.")
    person = cast[flags.person]
    ensure_baked(cache, (person,))
    studio = Studio(cache, resting_poses(flags.file.parent), flags.device, PREVIEW_SIZE)
    rng = np.random.default_rng(flags.seed)
    clips = [
        studio.clip(person, [(gesture, style, "R")], int(rng.integers(1 << 62)), PREVIEW_FPS)
        for style in gesture.styles
    ]
    out = flags.out or Path("runs/preview")
    sheet, moving = out / f"{flags.file.stem}.jpg", out / f"{flags.file.stem}.gif"
    sheets.save(sheets.contact_sheet(clips), sheet)
    sheets.animation(clips, moving)
    print(f"{sheet}\n{moving}")


def _people(flags: argparse.Namespace, cache: Path) -> None:
    from training.synthesis import sheets

    for split in SPLITS:
        ensure_baked(cache, people(split))
        path = flags.out / f"{split}.jpg"
        sheets.save(sheets.close_ups(cache, split, device=flags.device), path)
        print(path)


def _render(flags: argparse.Namespace, cache: Path) -> None:
    from training.synthesis.farm import Order, render_set

    if flags.clips == 0 or flags.workers == 0:
        raise SynthesisError("--clips and --workers must be at least 1.")
    order = Order(
        str(flags.out),
        flags.clips,
        flags.seed,
        flags.split,
        str(flags.gestures),
        str(cache),
        flags.device,
        flags.draft,
    )
    made = render_set(order, flags.workers)
    print(f"{flags.out}: {made} new shards")


def _guide(flags: argparse.Namespace, cache: Path) -> None:
    from training.synthesis import sheets
    from training.synthesis.guide import GUIDE_FOLDER, make_guide

    out = flags.out or GUIDE_FOLDER
    sheet = make_guide(load_gestures(flags.gestures), cache, flags.device, out)
    sheets.save(sheet, flags.sheet, quality=78)
    print(f"{out}\n{flags.sheet}")


def _sample(flags: argparse.Namespace, cache: Path) -> None:
    from training.synthesis.sample import make_sample

    print(f"{flags.out}\n{make_sample(cache, flags.device, flags.seed, flags.out)}")


if __name__ == "__main__":
    command_line.run(main)
