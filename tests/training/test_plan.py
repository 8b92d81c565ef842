"""The cast and the plan: who performs what, and that held-out people and styles stay apart."""

from training.synthesis import rooms
from training.synthesis.cast import CLOTHES, HAIR, SKINS, people
from training.synthesis.language import load_gestures
from training.synthesis.plan import CLIPS_A_SHARD, shard_count, shard_jobs, shard_size


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
