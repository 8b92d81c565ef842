"""A new head learns the new, keeps the old while it is replayed, and is the same for a seed."""

from __future__ import annotations

import dataclasses

import torch

from training.teach_learn import Head, Rows, fit_head, frame_loss, widened

OLD, NEW, SIZE = 4, 2, 600
BACKGROUND = (0, 1)
CENTRES = torch.randn(OLD + NEW, SIZE, generator=torch.Generator().manual_seed(3)) * 0.3


def rows(places: list[int], each: int, seed: int, scatter: float = 0.8) -> Rows:
    """`each` frames about the centre of each place."""
    generator = torch.Generator().manual_seed(seed)
    asked = torch.tensor(places).repeat_interleave(each)
    noise = torch.randn(len(asked), SIZE, generator=generator) * scatter
    return Rows(CENTRES[asked] + noise, asked, torch.ones(len(asked)))


def old_head() -> Head:
    """Knows its four classes well."""
    weight = CENTRES[:OLD] * 0.1
    return Head(weight, -(weight * CENTRES[:OLD]).sum(1) / 2)


def accuracy(head: Head, judged: Rows) -> float:
    return float((head(judged.features).argmax(1) == judged.places).float().mean())


def taught(replay: Rows | None, seed: int = 0) -> Head:
    return fit_head(old_head(), OLD + NEW, rows([0, 4, 5], 40, 1), replay,
                    background=BACKGROUND, seed=seed)


def test_new_classes_are_learnt_and_old_ones_kept() -> None:
    head = taught(rows([0, 1, 2, 3], 60, 2))
    assert accuracy(head, rows([4, 5], 50, 7)) > 0.95
    assert accuracy(head, rows([2, 3], 50, 8)) > 0.95


def test_without_replay_more_of_the_old_is_lost() -> None:
    crowded = rows([0, 4, 5], 40, 1)
    crowded = dataclasses.replace(crowded, features=crowded.features + 2 * CENTRES[2])
    with_it, without = (fit_head(old_head(), OLD + NEW, crowded, replay, background=BACKGROUND,
                                 seed=0) for replay in (rows([0, 1, 2, 3], 60, 2), None))
    judged = rows([2, 3], 50, 8)
    assert accuracy(with_it, judged) > accuracy(without, judged) + 0.1


def test_the_same_seed_gives_the_same_head() -> None:
    replay = rows([0, 1, 2, 3], 60, 2)
    assert torch.equal(taught(replay, 5).weight, taught(replay, 5).weight)
    assert not torch.equal(taught(replay, 5).weight, taught(replay, 6).weight)


def test_new_rows_start_silent() -> None:
    head = widened(old_head(), OLD + NEW)
    judged = rows([0, 1, 2, 3], 20, 4)
    assert torch.equal(head(judged.features)[:, :OLD], old_head()(judged.features))
    assert accuracy(head, judged) == accuracy(old_head(), judged)


def test_any_background_label_is_right_for_a_frame_of_background() -> None:
    quiet, logits = torch.tensor(BACKGROUND), torch.tensor([[0.0, 9.0, 0.0], [9.0, 0.0, 0.0]])
    assert float(frame_loss(logits, torch.tensor([0, 0]), quiet)) < 0.01
    assert float(frame_loss(logits, torch.tensor([2, 2]), quiet)) > 1


def test_a_class_with_many_frames_does_not_push_out_one_with_few() -> None:
    own = Rows(*(torch.cat([getattr(part, field.name) for part in (
        rows([4], 600, 1), rows([5], 12, 2), rows([0], 300, 3))])
        for field in dataclasses.fields(Rows)))
    head = fit_head(old_head(), OLD + NEW, own, rows([0, 1, 2, 3], 60, 2),
                    background=BACKGROUND, seed=0)
    assert accuracy(head, rows([5], 100, 9)) > 0.8
