"""All clips that cannot be used are named in one go, each with its reason."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from toy_recordings import film, write_model, write_user

from models.card import ModelCard
from online_tsm.recordings import save_recording
from training import teach, teach_data


def plain(folder: Path, images: list[np.ndarray], times: np.ndarray) -> Path:
    """A clip from elsewhere, which no sidecar describes."""
    made = save_recording(folder.parent, folder.name, images, times, stroke=None)
    made.sidecar.unlink()
    return made.path


def test_every_bad_clip_is_named_with_its_reason(tmp_path: Path, toy_card: ModelCard,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_user(tmp_path / "u", count=4)
    first, broken, unreadable, _ = sorted((folder / "grow").glob("*.avi"))
    broken.write_bytes(b"RIFF not a video")
    unreadable.with_suffix(".yaml").write_text("label: [\n  never: closed\n")
    copy = Path(shutil.copy(first, first.with_name("z.avi")))
    bad = {str(broken): "cannot be played",
           str(unreadable.with_suffix(".yaml")): "does not describe its recording",
           str(copy): f"is the same clip as {first}",
           str(plain(folder / "jump", *film("background", 0))): "No hand movement",
           str(plain(folder / "jump", *film("jump", 0, 21.0))): "shows the gesture once"}
    images, times = film("jump", 0)
    darker = [np.clip(image.astype(int) + 1, 0, 255).astype(np.uint8) for image in images]
    again = save_recording(folder, "jump", darker, times, stroke=None).path
    bad[f"jump/{again.name}"] = "shows the same performance as jump/"
    model = write_model(tmp_path / "toy.safetensors", toy_card)
    assert teach.main([str(folder), "--model", str(model), "--without-replay"]) == 2
    lines = capsys.readouterr().err.splitlines()
    for name, why in bad.items():
        (line,) = (one for one in lines if one.startswith(f"error: {name} "))
        assert why in line
    assert len(lines) == len(bad)


def test_much_background_is_one_line_and_is_not_read(tmp_path: Path, toy_card: ModelCard,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_user(tmp_path, count=2)
    first = min((folder / "grow").glob("*.avi"))
    first.write_bytes(b"RIFF not a video")
    monkeypatch.setattr(teach_data, "MOST_BACKGROUND_S", 10.0)
    read = []
    thinned = teach_data._thinned
    monkeypatch.setattr(teach_data, "_thinned", lambda recording, card: (
        read.append(recording.label), thinned(recording, card))[1])
    with pytest.raises(teach_data.TeachError) as raised:
        teach_data.read_lessons(folder, toy_card)
    background, clip = str(raised.value).splitlines()
    assert "half a minute is enough" in background
    assert clip.startswith(str(first))
    assert set(read) == {"grow", "jump"}
