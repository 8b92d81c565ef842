"""What goes wrong with a checkpoint."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be used; the message names the file, the reason and what to do."""
