"""How well teaching works on rendered users: `python -m training.evaluate_teaching --users DIR`.

    python -m training.evaluate_teaching render --users DIR --people 1 5 9
    python -m training.evaluate_teaching score --users DIR --model M --out REPORT
    python -m training.evaluate_teaching strokes --users DIR --model M

A user is a held-out person who teaches in one room and is judged in another. `render` draws them
(it needs training/requirements.txt); `score` teaches with 1, 3, 5 and 10 recordings of each of
five new gestures, and of the known gestures that the model gets wrong in the teaching room.
`strokes` compares the strokes that are found with the true ones.
"""

from __future__ import annotations

if __name__ == "__main__":
    from models import command_line
    command_line.start()

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from models.card import ModelCard
from models.checkpoints import DEFAULT_MODEL, load_model, read_card, resolve
from models.network import OnlineNetwork
from online_tsm.watching import Watcher
from training.data import read_shards
from training.events_file import DataError
from training.flags import natural
from training.replay import Replay
from training.stroke_overlap import lines_of, overlaps
from training.synthesis.assets import SynthesisError, cache_folder
from training.teach import USER_ERRORS, WORKERS, find_replay
from training.teach_data import Lesson, Watch, lesson_from
from training.teach_judge import background_events, cases_of, judge
from training.teach_learn import Head
from training.teach_run import head_at, learn, widened_card
from training.teach_views import Body, Memory, Played, play
from training.teaching_scores import Clips, Score, write_scores

AMOUNTS = (1, 3, 5, 10)  # recordings of a gesture


def score_user(folder: Path, network: OnlineNetwork, card: ModelCard, replay: Replay | None, *,
               watch: Watch, amounts: Sequence[int] = AMOUNTS, seed: int = 0) -> list[Score]:
    """One user's scores, a row for each number of recordings that there are of any gesture; one
    with fewer is taught with all of its own. Raises DataError."""
    teach, test = _lessons(folder / "teach", card, watch), _lessons(folder / "test", card)
    wide = widened_card(card, teach)
    body, old = Body(network, card), head_at(network, card)
    played = [play(lesson, card, body) for lesson in test]
    before = _answers(test, played, old, card)
    known = [not lesson.background and lesson.label in card.labels for lesson in test]
    wrong = _wrong([lesson for lesson in teach if not lesson.background
                    and lesson.label in card.labels], old, card, body)
    memory: Memory = {}
    scores = []
    for amount in amounts:
        if max(lesson.turn for lesson in teach if not lesson.background) + 1 < amount:
            continue
        chosen = [lesson for lesson in teach if lesson.background
                  or (lesson.turn < amount and (lesson.label not in card.labels
                                                or lesson.label in wrong))]
        taught = learn(network, card, chosen, replay, seed=seed, judging=False, workers=WORKERS,
                       memory=memory)
        head = head_at(taught.network, card)
        after = _answers(test, played, head, wide)
        own = [is_known and lesson.label in wrong
               for is_known, lesson in zip(known, test, strict=True)]
        new = [not lesson.background and not is_known
               for is_known, lesson in zip(known, test, strict=True)]
        scores.append(Score(
            folder.name, amount, tuple(sorted(wrong)), _right(after, test, new),
            _right(before, test, known), _right(after, test, known),
            _right(before, test, own), _right(after, test, own),
            _found(test, played, old, card, known=card.labels),
            _found(test, played, head, wide, known=card.labels),
            _false(test, played, old, card), _false(test, played, head, wide)))
    return scores


def _lessons(folder: Path, card: ModelCard, watch: Watch | None = None) -> list[Lesson]:
    """A room's clips as lessons; with `watch` the stroke is looked for, as in a user's
    recordings."""
    clips = read_shards(folder)
    if not clips:
        raise DataError(f"{folder} holds no rendered clips; make them with the command `render`")
    lessons: list[Lesson] = []
    turns: dict[str, int] = {}
    for clip in clips:
        event = clip.events[0]
        background = event.label in card.background
        label = card.background[0] if background else event.label
        stroke = None
        if not background and watch is None and event.stroke:
            stroke = event.stroke[0], event.held or event.stroke[1]
        made = lesson_from(clip, label, turns.get(label, 0), card, background=background,
                           stroke=stroke, watch=watch)
        turns[label] = turns.get(label, 0) + len(made)
        lessons += made
    return lessons


def _wrong(lessons: Sequence[Lesson], head: Head, card: ModelCard, body: Body) -> set[str]:
    """The labels of which the model gets a recording wrong: what a user would teach."""
    played = [play(lesson, card, body) for lesson in lessons]
    answers = _answers(lessons, played, head, card)
    return {lesson.label for lesson, answer in zip(lessons, answers, strict=True)
            if answer != lesson.label}


def _answers(lessons: Sequence[Lesson], played: Sequence[Played], head: Head, card: ModelCard
             ) -> list[str]:
    return [judge(lesson, one, head, card).answer
            for lesson, one in zip(lessons, played, strict=True)]


def _right(answers: Sequence[str], lessons: Sequence[Lesson], chosen: Sequence[bool]) -> Clips:
    return tuple(answer == lesson.label for answer, lesson, one
                 in zip(answers, lessons, chosen, strict=True) if one)


def _found(lessons: Sequence[Lesson], played: Sequence[Played], head: Head, card: ModelCard, *,
           known: Sequence[str]) -> Clips:
    """Which known gestures, those that the card leaves out aside, fire an event."""
    judged = [judge(lesson, one, head, card) for lesson, one in zip(lessons, played, strict=True)
              if not lesson.background and lesson.label in known
              and lesson.label not in card.smoothing.disabled]
    return tuple(any(event.label == one.lesson.label for event in case.found)
                 for one, case in zip(judged, cases_of(judged, card), strict=True))


def _false(lessons: Sequence[Lesson], played: Sequence[Played], head: Head, card: ModelCard
           ) -> tuple[float, float]:
    """Events on background, and its minutes."""
    judged = [judge(lesson, one, head, card) for lesson, one in zip(lessons, played, strict=True)
              if lesson.background]
    events, minutes = background_events(judged, card)
    return float(len(events)), minutes


def score(args: argparse.Namespace) -> list[str]:
    """Scores every user in a folder. Raises USER_ERRORS and DataError."""
    path = resolve(args.model)
    network, card = load_model(path)
    replay = None if args.without_replay else find_replay(path, network, card)
    folders = _users(args.users)
    if min(args.amounts) < 1:
        raise DataError(f"--amounts has {min(args.amounts)}; nothing is taught without a recording")
    torch.set_num_threads(1)
    watch = Watcher(path)
    scores: list[Score] = []
    lines: list[str] = []
    for folder in tqdm(folders, unit="user"):
        scores += score_user(folder, network, card, replay, watch=watch, amounts=args.amounts,
                             seed=args.seed)
        lines = write_scores(args.out, scores, card.name) if scores else []
    if not lines:
        raise DataError(f"no user in {args.users} has {min(args.amounts)} recordings of a gesture; "
                        "give smaller --amounts")
    return lines


def _users(folder: Path) -> list[Path]:
    folders = sorted(one for one in folder.glob("*") if (one / "teach").is_dir())
    if not folders:
        raise DataError(f"{folder} holds no rendered users; make some with the command `render`")
    return folders


def strokes(args: argparse.Namespace) -> list[str]:
    """How well the strokes of all users' clips are found. Raises USER_ERRORS and DataError."""
    path = resolve(args.model)
    card, watch = read_card(path), Watcher(path)
    clips = [clip for folder in _users(args.users) for room in ("teach", "test")
             for clip in read_shards(folder / room)]
    found = overlaps(tqdm(clips, unit="clip"), card, watch)
    return [f"{len(found)} clips with a gesture", *lines_of(found)]


def render(args: argparse.Namespace) -> list[str]:
    """Renders users; what is there already is left alone. Raises SynthesisError."""
    from training.rendered_users import Amounts, Room, cast_of, render_users
    rooms: dict[Room, Amounts] = {
        "teach": Amounts(args.new, args.known, args.background),
        "test": Amounts(args.tests, args.tests_known, args.background)}
    render_users(args.users, cache_folder(args.cache), cast_of(args.split, args.people), rooms,
                 seed=args.seed, device=args.device, own_ways=args.own_ways, draft=args.draft,
                 told=print)
    return [f"{len(args.people)} users in {args.users}"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training.evaluate_teaching", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    renders = commands.add_parser("render", help="draw users in two rooms")
    renders.add_argument("--people", type=natural, nargs="+", default=[1, 6, 11],
                         help="numbers in the cast")
    renders.add_argument("--split", choices=("heldout", "train"), default="heldout")
    for flag, default, told in (
            ("--new", 10, "recordings of each new gesture"),
            ("--known", 10, "recordings of each known gesture"),
            ("--background", 8, "clips of each background label, in each room"),
            ("--tests", 5, "clips of each new gesture in the test room"),
            ("--tests-known", 3, "clips of each known gesture in the test room"),
            ("--device", 0, "EGL device number")):
        renders.add_argument(flag, type=natural, default=default, help=told)
    renders.add_argument("--own-ways", action="store_true",
                         help="known gestures in styles that no network was trained on")
    renders.add_argument("--draft", action="store_true",
                         help="half as long: 8 frames a second, less idle time, rougher blur")
    renders.add_argument("--cache", type=Path, help="folder of assets and baked people")
    renders.set_defaults(run=render)
    scores = commands.add_parser("score", help="teach and judge")
    scores.add_argument("--model", default=DEFAULT_MODEL, help="name or file")
    scores.add_argument("--out", type=Path, default=Path("runs/teaching"))
    scores.add_argument("--amounts", type=natural, nargs="+", default=list(AMOUNTS),
                        help="numbers of recordings")
    scores.add_argument("--without-replay", action="store_true")
    scores.set_defaults(run=score)
    finds = commands.add_parser("strokes", help="how well strokes are found")
    finds.add_argument("--model", default=DEFAULT_MODEL, help="name or file")
    finds.set_defaults(run=strokes)
    for command in (renders, scores, finds):
        command.add_argument("--users", type=Path, required=True, help="their folder")
    for command in (renders, scores):
        command.add_argument("--seed", type=natural, default=0)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING)
    try:
        lines = args.run(args)
    except (*USER_ERRORS, DataError, SynthesisError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    command_line.run(main)
