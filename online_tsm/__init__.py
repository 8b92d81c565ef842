"""The technique: frames in, predictions and events out. Knows no camera and no window."""
