"""Splits, worked by hand from the paper's rule."""

import pytest

from siamese_mrcnn.data.splits import (
    SplitError,
    class_ids_of,
    seen_and_novel,
    split_classes,
    training_and_validation,
)


def test_split_one_leaves_out_every_fourth_class_from_the_first():
    seen, novel = split_classes(1)
    assert novel == tuple(range(1, 81, 4))
    assert len(novel) == 20 and len(seen) == 60
    assert sorted(seen + novel) == list(range(1, 81))


def test_split_four_holds_the_multiples_of_four():
    assert split_classes(4)[1] == tuple(range(4, 81, 4))


def test_the_four_splits_leave_out_each_class_once():
    novel = [class_id for split in (1, 2, 3, 4) for class_id in split_classes(split)[1]]
    assert sorted(novel) == list(range(1, 81))


@pytest.mark.parametrize("split", ["2", " 2 "])
def test_a_split_may_come_as_text(split):
    assert split_classes(split) == split_classes(2)


def test_all_leaves_out_nothing():
    assert split_classes("all", [1, 2, 3]) == ((1, 2, 3), ())
    assert split_classes("ALL", [1])[1] == ()


def test_other_class_counts_follow_the_same_rule():
    assert split_classes(3, range(1, 9)) == ((1, 2, 4, 5, 6, 8), (3, 7))


@pytest.mark.parametrize("split", [0, 5, "5", "one", None, 1.5, True, ""])
def test_a_split_that_does_not_exist_is_refused_in_a_sentence(split):
    with pytest.raises(SplitError, match=r"There is no split .*1, 2, 3, 4, or \"all\""):
        split_classes(split)


def test_the_last_3000_images_are_for_validation():
    training, validation = training_and_validation(range(6000))
    assert training == list(range(3000))
    assert validation == list(range(3000, 6000))
    assert len(training_and_validation(range(117266))[0]) == 114266


def test_a_short_list_keeps_a_tenth_at_its_end():
    training, validation = training_and_validation(range(5999))
    assert validation == list(range(5400, 5999))
    assert training == list(range(5400))
    assert training_and_validation([7, 5, 3]) == ([7, 5], [3])


def test_one_image_is_too_few():
    with pytest.raises(SplitError, match="at least two annotated images"):
        training_and_validation([1])


class Flowers:
    """What a split asks of a data set."""

    class_ids = range(5)
    class_names = ("BG", "rose", "tulip", "sea lily", "rose")  # two of a name


def test_a_split_of_ones_own_leaves_out_the_named_classes():
    assert seen_and_novel(Flowers, ("tulip",)) == ((1, 3, 4), (2,))
    assert seen_and_novel(Flowers, ["sea lily", "tulip", "tulip"]) == ((1, 4), (2, 3))
    assert seen_and_novel(Flowers, ("rose",)) == ((2, 3), (1, 4))
    assert class_ids_of(["sea lily", "rose"], Flowers) == [3, 1, 4]


def test_a_split_by_number_of_a_data_set():
    assert seen_and_novel(Flowers, "4") == ((1, 2, 3), (4,))
    assert seen_and_novel(Flowers, "all") == ((1, 2, 3, 4), ())


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("tulips",), r"no class 'tulips'\. Did you mean 'tulip'\? It has: rose, tulip, sea lily"),
        (("tulip", "cat"), r"no class 'cat'\. It has:"),
        (("rose", "tulip", "sea lily"), "All 4 classes .* none is left to train on"),
        ((), "at least one novel class"),
    ],
)
def test_an_own_split_that_cannot_be_is_refused_in_a_sentence(names, words):
    with pytest.raises(SplitError, match=words):
        seen_and_novel(Flowers, names)
