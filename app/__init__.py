"""The world around the technique: cameras, files, windows, keys, recordings, actions."""
