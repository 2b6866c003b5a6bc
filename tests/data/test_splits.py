import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnx.backend import device_of, namespace, to_numpy
from nnx.data import DataLoader, Dataset, Subset, as_dataset, k_fold, split, train_validation_split
from nnx.errors import ArgumentError, DataError


def assert_same_place(result, source):
    assert namespace(result) is namespace(source)
    assert device_of(result) == device_of(source)


def test_every_sample_lands_on_one_side(xp):
    x = xp.asarray(np.arange(20).reshape(10, 2))
    y = xp.asarray(np.arange(10), "int32")
    parts = train_validation_split(x, y, fraction=0.3)
    assert [part.shape for part in parts] == [(7, 2), (7,), (3, 2), (3,)]
    for part, source in zip(parts, (x, y, x, y), strict=True):
        assert_same_place(part, source)
        assert part.dtype == source.dtype
    x_train, y_train, x_validation, y_validation = map(to_numpy, parts)
    assert sorted([*y_train, *y_validation]) == list(range(10))
    np.testing.assert_array_equal(x_train[:, 0], 2 * y_train)
    np.testing.assert_array_equal(x_validation[:, 0], 2 * y_validation)


def test_order_is_the_same_on_every_backend(xp):
    y = xp.asarray(np.arange(10), "int32")
    assert to_numpy(train_validation_split(y, y)[3]).tolist() == [4, 6]


def test_rng():
    y = np.arange(100)
    first, again, other = (train_validation_split(y, y, rng=rng)[1].tolist() for rng in (1, 1, 2))
    assert first == again != other
    assert train_validation_split(y, y, rng=np.random.default_rng(1))[1].tolist() == first


@pytest.mark.parametrize(("samples", "fraction", "validation"), [(10, 0.25, 2), (10, 0.35, 4), (3, 0.5, 2)])
def test_count(samples, fraction, validation):
    y = np.arange(samples)
    assert len(train_validation_split(y, y, fraction)[3]) == validation


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 20, float("nan")])
def test_bad_fraction(fraction):
    with pytest.raises(ArgumentError, match=f"expected a fraction between 0 and 1, got {fraction}"):
        train_validation_split(np.ones(5), np.ones(5), fraction)


def test_an_empty_side():
    with pytest.raises(DataError, match=r"expected samples on both sides, got 0 of 2 to validate; change"):
        train_validation_split(np.ones(2), np.ones(2), 0.1)


def test_lengths_differ(xp):
    with pytest.raises(DataError, match=r"expected first axes of one length, .*got shapes \(2,\), \(3,\); check"):
        train_validation_split(xp.asarray([1, 2]), xp.asarray([1, 2, 3]))


def rows_of(parts):
    return [part.rows.tolist() for part in parts]


def all_rows(parts):
    return sorted(row for part in parts for row in part.rows.tolist())


def as_shares(counts):
    return [count / sum(counts) for count in counts]


shares = st.lists(st.integers(1, 9), min_size=2, max_size=4).map(as_shares)


@given(count=st.integers(20, 200), fractions=shares, seed=st.integers(0, 5))
def test_parts_have_their_sizes_and_every_sample_once(count, fractions, seed):
    parts = split((np.arange(count),), fractions, rng=seed)
    assert all_rows(parts) == list(range(count))
    for part, fraction in zip(parts, fractions, strict=True):
        assert abs(len(part) - count * fraction) < 1
        assert part.rows.tolist() == sorted(part.rows.tolist())
    assert rows_of(split((np.arange(count),), fractions, rng=seed)) == rows_of(parts)
    assert rows_of(split((np.arange(count),), fractions, rng=seed + 1)) != rows_of(parts)


@given(data=st.data(), fractions=shares, seed=st.integers(0, 5))
def test_every_class_has_its_share_of_every_part(data, fractions, seed):
    counts = data.draw(st.lists(st.integers(math.ceil(1 / min(fractions)), 60), min_size=1, max_size=5))
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    parts = split((labels,), fractions, stratify=labels, rng=seed)
    assert all_rows(parts) == list(range(len(labels)))
    for label, count in enumerate(counts):
        for part, fraction in zip(parts, fractions, strict=True):
            assert abs((part[:][0] == label).sum() - count * fraction) < 1


def test_the_largest_remainders_are_rounded_up():
    sizes = [len(part) for part in split((np.arange(10),), (0.36, 0.36, 0.28))]  # 3.6, 3.6, 2.8
    assert sizes == [4, 3, 3]
    assert [len(part) for part in split((np.arange(10),), (0.1, 0.2, 0.7))] == [1, 2, 7]  # without errors of floats
    assert [len(part) for part in split((np.arange(3),), [1 / 3] * 3)] == [1, 1, 1]
    assert [len(part) for part in split((np.arange(30),), (Fraction(1, 3), Fraction(2, 3)))] == [10, 20]


def test_equal_remainders_of_classes_take_turns():
    """17 samples of each of ten classes in five folds: 3.4 each, so that two of five are rounded up."""
    labels = np.repeat(np.arange(10), 17)
    assert [len(validation) for _, validation in k_fold((labels,), 5, stratify=labels)] == [34] * 5


@given(data=st.data(), fractions=shares, seed=st.integers(0, 5))
def test_groups_stay_whole(data, fractions, seed):
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=40, max_size=60))
    groups = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    parts = split((groups,), fractions, groups=0, rng=seed)
    found = [set(part[:][0].tolist()) for part in parts]
    assert sum(map(len, found)) == len(sizes)
    assert all_rows(parts) == list(range(len(groups)))
    for part, fraction in zip(parts, fractions, strict=True):  # the last groups to be placed are the smallest
        assert abs(len(part) - len(groups) * fraction) <= 5


def test_groups_and_classes():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    labels = (rng.random(300) < np.repeat(rng.random(60), 5)).astype(int)  # each group has a mixture of its own
    for train, validation in k_fold({"y": labels, "patient": groups}, 4, stratify="y", groups="patient", rng=1):
        assert not set(train[:]["patient"]) & set(validation[:]["patient"])
        assert abs(len(validation) - 75) <= 5
        assert abs(validation[:]["y"].mean() - labels.mean()) < 0.02


def test_split_has_the_rows_of_train_validation_split(xp):
    x = xp.asarray(np.arange(11), "int32")
    train, validation = split((x, x), (0.8, 0.2), rng=3)
    x_train, _, x_validation, _ = map(to_numpy, train_validation_split(x, x, 0.2, rng=3))
    assert to_numpy(train[:][0]).tolist() == sorted(x_train.tolist())
    assert to_numpy(validation[:][0]).tolist() == sorted(x_validation.tolist())


def test_folds():
    x = np.arange(23)
    pairs = k_fold((x,), 4)
    assert [len(validation) for _, validation in pairs] == [6, 6, 6, 5]
    assert sorted(row for _, validation in pairs for row in validation.rows) == list(range(23))
    for train, validation in pairs:
        assert sorted([*train.rows, *validation.rows]) == list(range(23))


def test_whatever_holds_samples(xp):
    """Arrays with names, an indexable of dicts, and a subset, whose rows are those of the whole."""
    x, y = xp.asarray(np.arange(20).reshape(10, 2)), xp.asarray([0, 1] * 5, "int32")
    for data in ({"x": x, "y": y}, Dataset(x=x, y=y), [{"x": row, "y": row % 2} for row in range(10)]):
        labels = "y" if not isinstance(data, list) else [0, 1] * 5
        train, test = split(data, (0.6, 0.4), stratify=labels, rng=2)
        assert sum(to_numpy(train[:]["y"]).tolist()) == 3
        first, second = split(train, (0.5, 0.5), stratify=labels if labels == "y" else train[:]["y"])
        assert first.source is train.source
        assert sorted([*first.rows, *second.rows]) == train.rows.tolist()
    assert to_numpy(DataLoader(test, 4, shuffle=False, workers=1).dataset[:]["y"]).tolist() == test[:]["y"].tolist()


def test_labels_that_are_text():
    labels = np.asarray(["cat", "dog"] * 6)
    train, _ = split((np.arange(12),), (0.5, 0.5), stratify=labels.tolist())
    assert labels[train.rows].tolist().count("dog") == 3
    with pytest.raises(DataError, match=r"expected samples of each class in every part, got 1 of class 'owl', which"):
        split((np.arange(13),), (0.5, 0.5), stratify=[*labels, "owl"])


@pytest.mark.parametrize(
    "fractions", [(), (1.0,), (0.5, 0.4), (0.5, 0.6), (1.2, -0.2), (0.0, 1.0), ("a", "b"), (float("nan"), 0.5)]
)
def test_bad_fractions(fractions):
    with pytest.raises(ArgumentError, match=r"expected two or more fractions between 0 and 1 whose sum is 1, got \("):
        split((np.arange(10),), fractions)


def test_what_cannot_be_split():
    x = np.arange(6)
    with pytest.raises(DataError, match=r"expected samples in every part, got \(6, 0\) of 6 samples; change"):
        split((x,), (0.99, 0.01))
    with pytest.raises(DataError, match=r"got 1 of class 3, which make \(0, 1\); use fewer parts or larger ones"):
        split((x,), (0.5, 0.5), stratify=[1, 1, 1, 1, 1, 3])
    with pytest.raises(DataError, match=r"got \(6, 0\) of 6 samples in whole groups; change the fractions"):
        split((x,), (0.5, 0.5), groups=[1] * 6)
    with pytest.raises(DataError, match=r"got 3 of class 0, which make \(3, 0\) in whole groups; use fewer"):
        split((x,), (0.5, 0.5), groups=[1, 1, 1, 2, 2, 2], stratify=[0, 0, 0, 1, 1, 1])
    with pytest.raises(DataError, match=r"expected groups to have one label for each of 6 samples, got shape \(5,\)"):
        split((x,), (0.5, 0.5), groups=[1] * 5)
    for labels in ("y", 1, -2):
        with pytest.raises(ArgumentError, match=f"expected stratify to be labels, or the pos.*, got {labels!r} for"):
            split((x,), (0.5, 0.5), stratify=labels)
    with pytest.raises(ArgumentError, match="expected folds to be an integer of at least 2, got 1"):
        k_fold((x,), 1)


class TestSubset:
    def test_is_the_rows_of_what_it_is_of(self, xp):
        x = xp.asarray(np.arange(10) ** 2)
        subset = Subset((x,), [7, 0, -1, 7])
        assert len(subset) == 4
        assert to_numpy(subset[:][0]).tolist() == [49, 0, 81, 49]
        assert float(to_numpy(subset[2][0])) == 81
        assert to_numpy(subset[[1, -1]][0]).tolist() == [0, 49]
        for workers in (0, 2):
            batches = [to_numpy(batch).tolist() for (batch,) in DataLoader(subset, 3, shuffle=False, workers=workers)]
            assert batches == [[49, 0, 81], [49]]
        assert repr(subset) == f"Subset(4 of {subset.source!r})"

    def test_of_a_subset_is_one_of_the_whole(self):
        below = Subset((np.arange(10),), [8, 6, 4])
        assert Subset(below, [2, 0]).rows.tolist() == [4, 8]
        assert Subset(below, [2, 0]).source is below.source

    def test_of_nothing(self):
        assert len(Subset((np.arange(3),), [])) == 0

    def test_names_the_sample_of_the_whole_that_is_broken(self):
        class Broken:
            def __len__(self):
                return 9

            def __getitem__(self, row):
                raise DataError(f"row {row} is cut")

        with pytest.raises(DataError, match="sample 7: row 7 is cut"):
            Subset(as_dataset(Broken()), [2, 7])[[1]]

    def test_bad_rows(self):
        with pytest.raises(DataError, match="expected rows from -3 to 2 of 3 samples, got 3"):
            Subset((np.arange(3),), [0, 3])
        with pytest.raises(ArgumentError, match=r"expected an int, a slice or integers of shape \(rows,\) as index"):
            Subset((np.arange(3),), [0.5])
