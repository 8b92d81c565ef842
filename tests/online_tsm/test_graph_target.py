"""Where a graph cannot be written, that is said before the work that makes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from online_tsm import export, quantize


@pytest.fixture(autouse=True)
def no_work(monkeypatch):
    for module, name in ((quantize, "read_frames"), (export, "load_model")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("the work has begun"))


@pytest.mark.parametrize("command", [quantize, export])
@pytest.mark.parametrize(("out", "why"), [
    ("out.foo", "the name of a graph ends in .onnx"),
    ("file/deep/out.onnx", "file is no folder; name another one"),
    ("folder.onnx", "it is no ordinary file"),
    (f"{'a' * 300}.onnx", "File name too long"),
    ("circle.onnx", "it is a link to itself"),
])
def test_it_is_said_at_once(command, out, why, tmp_path, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "circle.onnx").symlink_to("circle.onnx")
    assert command.main(["mobilenet_v2_rendered", str(tmp_path / out)]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / Path(out)) in error
    assert why in error
    assert error.count("\n") == 1


def test_a_folder_that_takes_nothing_is_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    assert quantize.main(["mobilenet_v2_rendered", str(tmp_path / "new" / "out.onnx")]) == 2
    assert f"nothing can be written in {tmp_path}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
