"""The two orders of Jester's labels, and what a mirror does to them."""

from models import jester

# From mmaction2's index (the data set's own label file) to the official demo's, written down here
# from a source of its own: two networks trained on one order must not be read in the other.
CSV_TO_ALPHABETICAL = [16, 17, 15, 18, 5, 3, 11, 12, 10, 13, 6, 4, 8, 7, 21, 22, 23, 25, 24, 26, 20,
                       19, 9, 14, 1, 2, 0]


def test_both_orders():
    assert len(jester.CSV_ORDER) == len(set(jester.CSV_ORDER)) == 27
    assert [jester.ALPHABETICAL.index(name) for name in jester.CSV_ORDER] == CSV_TO_ALPHABETICAL
    assert jester.CSV_ORDER[0] == "Swiping Left"
    assert jester.ALPHABETICAL[:4] == (
        "Doing other things", "Drumming Fingers", "No gesture", "Pulling Hand In")


def test_a_mirror_swaps_what_names_a_side_or_a_turn():
    swapped = {name for pair in jester.MIRRORED_PAIRS for name in pair}
    sided = {name for name in jester.CSV_ORDER
             if any(word in name for word in ("Left", "Right", "lockwise"))}
    assert swapped == sided
    for one, other in jester.MIRRORED_PAIRS:
        assert one.split()[0] == other.split()[0]


def test_background_labels_are_labels():
    assert set(jester.BACKGROUND) < set(jester.CSV_ORDER)
