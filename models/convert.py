"""`python -m models.convert IN OUT.safetensors`: any checkpoint to our own format, card inside."""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from models.card import CardError
from models.checkpoints import CheckpointError, load_model, save_model, warn_of_lost_future


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(prog="python -m models.convert", description=__doc__)
    parser.add_argument("source", metavar="IN", help="a checkpoint, or a name of the zoo")
    parser.add_argument("target", metavar="OUT.safetensors", type=Path,
                        help="the file to write")
    parser.add_argument("--card", type=Path, metavar="FILE",
                        help="YAML card; default: the file beside IN with the same stem")
    parser.add_argument("--labels", type=Path, metavar="FILE",
                        help="text file, one label a line, in the order of the logits")
    parser.add_argument("--trust-checkpoint", action="store_true",
                        help="load pickled objects too; they can run any program")
    parser.add_argument("--force", action="store_true", help="overwrite OUT")
    parser.add_argument("--verbose", action="store_true", help="name every renamed tensor")
    options = parser.parse_args(arguments)
    if options.target.suffix != ".safetensors":
        parser.error(f"OUT must end in .safetensors, got {options.target}")
    if options.target.exists() and not options.force:
        parser.error(f"{options.target} is there already; --force overwrites it")
    logging.basicConfig(level=logging.DEBUG if options.verbose else logging.WARNING,
                        format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        network, card = load_model(
            options.source, overrides={"labels": options.labels} if options.labels else None,
            card_file=options.card, trust=options.trust_checkpoint)
        save_model(network, card, options.target)
        warn_of_lost_future(card, options.target.name)
    except (CheckpointError, CardError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    height, width = card.input_size
    print(f"{options.target}: {card.name}, {card.architecture}, {len(card.labels)} labels, "
          f"{width} x {height} pixels, {card.frame_rate:g} frames a second, "
          f"shift {card.shift.direction}")
    return 0


if __name__ == "__main__":
    command_line.run(main)
