"""What several commands' flags share."""

from __future__ import annotations

import argparse


def natural(text: str) -> int:
    """A number of things, or a seed. Raises ArgumentTypeError for what is below 0 or no number."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number") from None
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value
