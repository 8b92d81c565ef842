"""Evaluation end to end on toy clips: figures, files, thresholds, and errors for users."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_shards import HOLD_END, LABELS, STROKE_S, write_shard

from models.card import ModelCard
from models.checkpoints import read_card, save_model
from models.network import OnlineNetwork
from online_tsm.engine import open_engine
from training import thresholds
from training.answers import clip_answers, interleaved, judged_span, peak
from training.data import read_shards
from training.evaluate import main
from training.events_file import LabelledEvent
from training.scoring import class_counts
from training.streams import Recording, padded_times, record, replay
from training.synthesis.cast import people
from training.thresholds import (
    FEWEST,
    LONG_HOLD_S,
    TRAINING_CAST,
    cases_of,
    crossed,
    fitted,
    held_back,
    unreliable,
    with_thresholds,
)
from training.thresholds import main as thresholds_main


def test_a_folder_of_clips_gives_figures_text_and_pictures(
        model: Path, videos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = videos / "out"
    answers = videos / "other.csv"
    answers.write_text("file,first,second,third\nleft.avi,left,stop,right\n"
                       "right.avi,stop,nothing,right\n")
    assert main(["--model", str(model), "--clips", str(videos / "labels.csv"), "--out", str(out),
                 "--engine", "torch", "--compare", "another", str(answers)]) == 0
    said = json.loads((out / "evaluation.json").read_text())
    assert said["clips: another"]["top-1"]["value"] == 0.5
    assert said["clips: another"]["top-3"]["value"] == 1
    assert {"mean", "last", "spread"} == {  # three ways, told apart
        word for word in ("mean", "last", "spread") for key in said if f"{word}" in key}
    assert "another" in capsys.readouterr().out
    assert (out / "evaluation.txt").read_text().startswith("model toy")
    assert len(list(out.glob("confusion_*.png"))) == 2
    assert (out / "answers.csv").read_text().startswith("file,label,first,second,third\nleft.avi")


def test_of_many_clips_those_that_can_be_turned_are_chosen_from(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shard(tmp_path, ["Thumb Up"] * 3 + ["Swiping Left"])
    assert main(["--shards", str(tmp_path), "--backwards", "--most", "1",
                 "--out", str(tmp_path / "out")]) == 0
    assert "played backwards" in capsys.readouterr().out


def test_a_clip_is_what_it_most_clearly_shows_once(toy_card: ModelCard) -> None:
    times = np.arange(40) / 10
    logits = np.zeros((40, len(LABELS)), np.float32)
    place = {label: number for number, label in enumerate(toy_card.labels)}
    logits[:, place["nothing"]] = 4  # most of the time nothing happens
    still = peak(times, logits, toy_card)
    assert still.argmax() == place["nothing"]
    logits[20:26, place["stop"]] = 9
    assert logits.mean(0).argmax() == place["nothing"]
    assert peak(times, logits, toy_card).argmax() == place["stop"]
    logits[30, place["left"]] = 12  # one frame is no moment
    assert peak(times, logits, toy_card).argmax() == place["stop"]
    logits[2:8, place["right"]] = 20  # before the time that is judged
    assert peak(times, logits, toy_card).argmax() == place["right"]
    assert peak(times, logits, toy_card, first=1.5).argmax() == place["stop"]
    assert peak(times, logits, toy_card, first=9.0).argmax() == place["nothing"]  # the last one



def test_a_long_video_and_shards_give_streaming_figures(model: Path, videos: Path, shards: Path
                                                        ) -> None:
    out = videos / "out"
    assert main(["--model", str(model), "--video", str(videos / "left.avi"), "--events",
                 str(videos / "events.csv"), "--shards", str(shards / "heldout"), "--most", "6",
                 "--out", str(out), "--engine", "torch"]) == 0
    said = json.loads((out / "evaluation.json").read_text())
    streams = [key for key in said if key.startswith(("stream", "rendered streams"))
               and "," not in key.removeprefix("rendered streams, ")]
    assert len(streams) == 3  # the video, seen styles, unseen styles
    for name in ("precision", "recall", "F1", "Levenshtein accuracy", "reaction time, median",
                 "reaction time, p90", "false events a minute of background"):
        assert name in said["stream left.avi"]
    assert said["rendered clips, unseen styles"]["top-1"]["n"] in (2, 3)
    for title, shard in (("seen", "shard-00001:"), ("unseen", "shard-00002:")):
        names = said[f"rendered streams, {title} styles, events"]
        assert names
        assert all(name.startswith(shard) for name in names)


def test_clip_accuracy_is_that_of_the_live_stream(model: Path, shards: Path,
                                                  tiny_network: OnlineNetwork) -> None:
    """The mean over all phases of a clip is the mean of what the stream says to its frames."""
    card = read_card(model).replace(warmup_steps=0, frame_rate=6.0)
    clip = read_shards(shards / "heldout")[0]
    whole = LabelledEvent("left", float(clip.times[0]), float(clip.times[-1]))
    clip = dataclasses.replace(clip, events=(whole,))
    save_model(tiny_network, card, model)
    live = record(clip, open_engine(model, "torch"), padded=False)
    phases = interleaved(clip, whole.start, whole.end, card)  # of 12 frames a second: two
    assert [times[0] for times in phases] == pytest.approx([0, 1 / 12])
    expected = [card.labels[place] for place in np.argsort(-live.logits.mean(0))]
    (answer,) = clip_answers([clip], tiny_network, card, "mean")
    assert list(answer.ranking) == expected
    (answer,) = clip_answers([clip], tiny_network, card, "last")
    assert list(answer.ranking) == [card.labels[p] for p in np.argsort(-live.logits[-1])]
    (answer,) = clip_answers([clip], tiny_network, card, "mean", left_out=expected[:1])
    assert list(answer.ranking[:3]) == expected[1:]


def test_where_the_gesture_is_known_only_its_time_is_judged(shards: Path) -> None:
    (event,) = read_shards(shards / "heldout")[0].events
    assert judged_span(event) == (STROKE_S[0], HOLD_END)
    assert judged_span(LabelledEvent("left", 1, 3, stroke=(1.7, 2.6))) == (1, 3)


def test_a_replay_fires_what_the_stream_fired(model: Path, shards: Path) -> None:
    engine = open_engine(model, "torch")
    fired = 0
    for clip in read_shards(shards / "heldout"):
        recording = record(clip, engine, padded=True)
        assert replay(recording, engine.card) == recording.events
        fired += len(recording.events)
        assert recording.span[1] - recording.span[0] > clip.times[-1] + 3  # idle time around it
        assert np.diff(padded_times(clip)).max() < 0.1
    assert fired  # or this says nothing


def logits_recording(person: str, truth: str, said: str, strength: float, long: float = 1
                     ) -> Recording:
    """3 s of "nothing", `long` s in which the network says something, 3 s of "nothing"."""
    times = np.arange(0, 7, 0.1)
    logits = np.zeros((len(times), 4), np.float32)
    logits[:, 3] = 4
    during = (times >= 3) & (times < 3 + long)
    logits[during, 3] = 0
    logits[during, LABELS.index(said)] = strength
    happened = (LabelledEvent(truth, 2.8, 4.0, stroke=(3, 4)),) if truth else ()
    return Recording(said, person, happened, (), (0.0, 7.0), times,
                     np.zeros(len(times), bool), logits)


def test_one_event_does_not_drive_a_threshold_to_the_edge(toy_card: ModelCard) -> None:
    """Of 12 people one shows nothing and "left" is said nearly as surely as when it is true."""
    true = [logits_recording(f"p{n}", "left", "left", 5) for n in range(12)]
    once = logits_recording("p0", "", "left", 3)
    often = [logits_recording(f"p{n}", "", "left", 3) for n in range(12)]
    one, many = (fitted([*true, *wrong], toy_card).smoothing.thresholds["left"]
                 for wrong in ([once], often))
    assert one < 0.8  # which lets that one through
    assert many >= 0.9
    careful = fitted([*true, once], toy_card, ["left"]).smoothing.thresholds["left"]
    assert careful > one
    others = fitted([*true, once], toy_card, ["stop"]).smoothing.thresholds["left"]
    assert others == one


def test_thresholds_part_true_from_false_and_unreliable_classes_go(toy_card: ModelCard) -> None:
    """"left" is said surely when true and weakly when false; "stop" is said at random."""
    recordings = []
    for number in range(12):
        person = f"p{number % 4}"
        recordings += [logits_recording(person, "left", "left", 5),
                       logits_recording(person, "", "left", 2),
                       logits_recording(person, "right", "right", 3),
                       logits_recording(person, "stop", "stop", 4),
                       logits_recording(person, "", "stop", 4),
                       logits_recording(person, "", "stop", 4)]
    card = fitted(recordings, toy_card)
    sure, weak = (float(torch.tensor([a, 0.0, 0, 0]).softmax(0)[0]) for a in (5, 2))
    assert weak < card.smoothing.thresholds["left"] < sure
    assert card.smoothing.thresholds["right"] < float(
        torch.tensor([3.0, 0, 0, 0]).softmax(0)[0])
    assert unreliable(cases_of(recordings, card), card) == ["stop"]
    untuned = cases_of(recordings, toy_card.replace(smoothing={"rise": 0.6}))
    assert unreliable(untuned, toy_card) == ["left", "stop"]
    assert len(crossed(recordings, toy_card)) == len(recordings)
    assert unreliable(crossed(recordings, toy_card), toy_card) == ["stop"]


def test_a_class_that_is_invented_for_a_moment_must_lead_for_longer(toy_card: ModelCard) -> None:
    """All are invented as often as they are true: "right" less surely, "left" for a moment only,
    "stop" just alike."""
    recordings = []
    for person in ("p0", "p1", "p2") * 4:
        recordings += [logits_recording(person, "right", "right", 5),
                       logits_recording(person, "", "right", 2),
                       logits_recording(person, "left", "left", 5),
                       logits_recording(person, "", "left", 5, long=0.4),
                       logits_recording(person, "stop", "stop", 5),
                       logits_recording(person, "", "stop", 5)]
    bare = toy_card.replace(smoothing={"window_s": 0.0})  # or moments would be drawn out
    card, careful = held_back(recordings, bare)
    assert careful == ["left", "stop"]
    assert card.smoothing.holds == {"left": LONG_HOLD_S, "stop": LONG_HOLD_S}
    assert card.smoothing.disabled == ("stop",)
    assert set(card.smoothing.thresholds) == {"stop"}  # for whoever switches it on
    assert class_counts(crossed(recordings, card, careful))["left"] == (12, 0, 0)


def test_careful_classes_are_judged_by_the_highest_threshold_that_does_as_well(
        toy_card: ModelCard) -> None:
    true = [logits_recording(f"p{n}", "left", "left", 5) for n in range(12)]
    recordings = [*true, logits_recording("p0", "", "left", 3)]
    assert class_counts(crossed(recordings, toy_card))["left"] == (12, 1, 0)
    assert class_counts(crossed(recordings, toy_card, ["stop"]))["left"] == (12, 1, 0)
    assert class_counts(crossed(recordings, toy_card, ["left"]))["left"] == (12, 0, 0)


def test_nobody_is_judged_by_a_threshold_that_they_helped_to_fit(toy_card: ModelCard) -> None:
    """"left" is weak where it is true for one person, and stronger than that where it is false
    for the other one: what either of them fits is wrong for the other."""
    recordings = []
    for _ in range(FEWEST):
        recordings += [logits_recording("weak", "left", "left", 2),
                       logits_recording("strong", "left", "left", 5),
                       logits_recording("strong", "", "left", 3)]
    cases = crossed(recordings, toy_card)
    counts = {person: class_counts([case for case in cases if case.person == person])["left"]
              for person in ("weak", "strong")}
    assert counts == {"weak": (0, 0, FEWEST), "strong": (FEWEST, FEWEST, 0)}


def test_a_threshold_that_holds_the_precision_comes_before_a_better_f1(toy_card: ModelCard
                                                                       ) -> None:
    """All of "left" are found from .7 on, with as many invented; from .95 on a third, and none."""
    recordings = [logits_recording(f"p{n % 4}", "left", "left", 5 if n % 3 else 2)
                  for n in range(12)]
    recordings += [logits_recording(f"p{n % 4}", "", "left", 3) for n in range(5)]
    low, high = (class_counts(cases_of(recordings, with_thresholds(toy_card, {"left": rise})))
                 ["left"] for rise in (0.7, 0.95))
    assert (low, high) == ((12, 5, 0), (8, 0, 4))
    assert 2 * 12 / (24 + 5) > 2 * 8 / (16 + 4)  # the F1 of the low one is better
    assert fitted(recordings, toy_card).smoothing.thresholds["left"] > 0.87


def test_a_class_with_few_events_leans_on_the_others(toy_card: ModelCard) -> None:
    """What parts "right" from what is wrong lies at .85 for 40 of its events, and "left" has 5,
    of which none is weaker than that: so .8 would be wrong for all that is known of the others."""
    others = [recording for n in range(40) for recording in (
        logits_recording(f"p{n % 4}", "right", "right", 5),
        logits_recording(f"p{n % 4}", "", "right", 2))]
    few = [logits_recording(f"p{n % 4}", "left", "left", 5) for n in range(5)]
    alone = fitted(few, toy_card).smoothing.thresholds["left"]
    leaning = fitted([*others, *few], toy_card).smoothing.thresholds
    assert alone < 0.5  # the lowest one will do
    assert leaning["left"] == leaning["right"] > 0.7


def test_the_fitted_card_travels_in_the_file(model: Path, shards: Path, tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "fitted.safetensors"
    assert thresholds_main(["--model", str(model), "--shards", str(shards / "heldout"), "--out",
                            str(out)]) == 0
    card = read_card(out)
    assert "rendered streams" in card.measured
    assert "disabled (precision under 0.8, or never found): " in capsys.readouterr().out
    assert set(card.smoothing.disabled) <= {"left", "right", "stop"}


@pytest.mark.parametrize(("flags", "message"), [
    (["--clips", "none.csv"], "none.csv"), (["--model", "nobody", "--clips", "x.csv"], "nobody"),
    (["--video", "none.mp4", "--events", "none.yaml"], "none")])
def test_errors_are_sentences(model: Path, flags: list[str], message: str,
                              capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(model), "--engine", "torch", *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said


def test_thresholds_of_a_single_person_are_refused_before_the_work(
        model: Path, shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert thresholds_main(["--model", str(model), "--shards", str(shards / "heldout"), "--out",
                            str(tmp_path / "out.safetensors"), "--most", "1"]) == 2
    assert "fewer than two people" in capsys.readouterr().err
    assert not (tmp_path / "out.safetensors").exists()


def test_where_thresholds_cannot_be_written_is_told_before_the_work(
        model: Path, shards: Path, videos: Path, capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "record", lambda *_, **__: pytest.fail("worked before"))
    for out, said in (("labels.csv/x.safetensors", "labels.csv is no folder"),
                      ("x.pth", "its name must end in .safetensors")):
        assert thresholds_main(["--model", str(model), "--shards", str(shards / "heldout"),
                                "--out", str(videos / out)]) == 2
        assert said in capsys.readouterr().err


def test_another_recognisers_answer_must_be_of_one_clip(model: Path, videos: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    """Two folders have a left.avi: the last answer was taken for that of both."""
    answers = videos / "other.csv"
    answers.write_text("file,first,second,third\nleft.avi,left,stop,right\n"
                       "more/left.avi,right,stop,left\nright.avi,right,stop,left\n")
    flags = ["--model", str(model), "--engine", "torch", "--clips", str(videos / "labels.csv"),
             "--out", str(videos / "out")]
    assert main([*flags, "--compare", "another", str(answers)]) == 2
    assert "other.csv has several answers to left.avi" in capsys.readouterr().err
    assert main([*flags, "--most", "0"]) == 2
    assert "--most is 0" in capsys.readouterr().err


def test_thresholds_are_fitted_on_people_held_out_only(model: Path, shards: Path, tmp_path: Path,
                                                       capsys: pytest.CaptureFixture[str]) -> None:
    assert people("train")[0].name.startswith(TRAINING_CAST)
    assert not people("heldout")[0].name.startswith(TRAINING_CAST)
    out = tmp_path / "fitted.safetensors"
    assert thresholds_main(["--model", str(model), "--shards", str(shards / "train"), "--out",
                            str(out)]) == 2
    assert "whom training sees" in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_without_clips_is_an_error(model: Path, tmp_path: Path,
                                            capsys: pytest.CaptureFixture[str]) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["--model", str(model), "--engine", "torch", "--shards", str(empty)]) == 2
    assert "holds no clips" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [
    [], ["--video", "v.mp4"], ["--compare", "a", "b.csv"], ["--backwards", "--clips", "c"]])
def test_flags_that_do_not_belong_together(flags: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(flags)


def test_a_label_that_the_model_lacks_is_named(model: Path, videos: Path,
                                               capsys: pytest.CaptureFixture[str]) -> None:
    table = videos / "labels.csv"
    table.write_text(table.read_text().replace(",right,", ",Thumb Up,"))
    assert main(["--model", str(model), "--clips", str(table), "--engine", "torch"]) == 2
    assert "'Thumb Up'" in capsys.readouterr().err


REAL = Path(__file__).parents[3] / "shared" / "real_clips"


@pytest.mark.skipif(not REAL.is_dir(), reason="the real clips are not here")
def test_the_real_clips_can_be_read() -> None:
    """Development only: never trained on, never fitted on."""
    from training.data import read_table

    clips = read_table(REAL / "labels.csv")
    assert len(clips) == 19
    assert all(len(clip.read([0, len(clip.times) - 1])) == 2 for clip in clips)
