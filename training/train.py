"""Trains a network: `python -m training.train RECIPE.yaml`, or under torchrun on several devices.

Run the same command again after a kill, and it goes on where it was.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from models.errors import CheckpointError
from training.data import Clip, open_clips
from training.distributed import close_group
from training.events_file import DataError
from training.memory import keep_memory
from training.progress import StateError
from training.recipe import Recipe, RecipeError, SourceOptions, card_of, read_recipe
from training.trainer import Trainer

log = logging.getLogger(__name__)


def clips_of(sources: Sequence[SourceOptions], labels: Sequence[str],
             auxiliary: Sequence[str] = ()) -> list[Clip]:
    """The clips of all sources. Raises DataError, also for a label that is neither one of the
    card's `labels` nor an auxiliary one."""
    clips = [clip for source in sources
             for clip in open_clips(source.kind, Path(source.path),
                                    Path(source.table) if source.table else None)]
    for clip in clips:
        unknown = [label for label in clip.labels if label not in (*labels, *auxiliary)]
        if unknown:
            raise DataError(f"{clip.name} is labelled {unknown[0]!r}, which is no label of the "
                            "card (and auxiliary ones may stand in clips under `train` alone); "
                            f"its labels are {', '.join(labels)}")
    return clips


def train(recipe: Recipe, most_steps: int | None = None) -> bool:
    """Runs a recipe; True when nothing is left to do. SIGINT and SIGTERM end it after a step."""
    card = card_of(recipe)
    stopped = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.append(True))
    clips = clips_of(recipe.train, card.labels, recipe.auxiliary)
    held_out = clips_of(recipe.held_out, card.labels)
    both = {clip.person for clip in clips} & {clip.person for clip in held_out} - {""}
    if both:
        log.warning("people who are trained on are held out, too, so what is held out says little: "
                    "%s", ", ".join(sorted(both)))
    trainer = Trainer(recipe, clips, held_out)
    try:
        return trainer.run(stop=lambda: bool(stopped), most_steps=most_steps)
    finally:
        close_group()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m training.train", description=__doc__)
    parser.add_argument("recipe", type=Path, help="a YAML file; see configs/train_rendered.yaml")
    parser.add_argument("--steps", type=int, help="do only so many steps now, then save")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        recipe = read_recipe(args.recipe)
        done = train(recipe, args.steps)
    except (RecipeError, DataError, StateError, CheckpointError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # mostly of what it writes; clips have their own errors
        print(f"error: {error.filename or recipe.out} cannot be read or written: "
              f"{error.strerror or error}; name another folder under `out:`, or mend this one",
              file=sys.stderr)
        return 2
    best = Path(recipe.out, "best.safetensors")
    print(f"{'done' if done else 'stopped'}; the best network so far is {best}" if best.is_file()
          else "stopped before the first validation; run the same command to go on")
    return 0


if __name__ == "__main__":
    keep_memory()
    command_line.run(main)
