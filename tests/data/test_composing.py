import json
from collections import namedtuple
from dataclasses import dataclass

import numpy as np
import pytest

import nnx
from nnx.data import (
    Compose,
    DataLoader,
    Normalize,
    OneHot,
    RandomCrop,
    RandomFlip,
    RandomTransform,
    SampleKey,
    Transform,
)
from nnx.errors import ArgumentError, DataError, ShapeError, UsageError


@dataclass(frozen=True)
class Add(Transform):
    amount: int = 1

    def apply(self, x):
        return x + self.amount


def key_of(*indices, epoch=0):
    return SampleKey(seed=0, epoch=epoch, indices=np.asarray(indices))


Pair = namedtuple("Pair", ["x", "y"])
ZERO = np.zeros(2)


@pytest.mark.parametrize(
    ("parts", "batch", "changed"),
    [
        (0, ZERO, [0]),
        (-1, ZERO, [0]),
        (0, (ZERO, ZERO, ZERO), [0]),
        (-1, (ZERO, ZERO, ZERO), [2]),
        (0, [ZERO, ZERO], [0]),
        ((0, 2), (ZERO, ZERO, ZERO), [0, 2]),
        ("y", {"x": ZERO, "y": ZERO, "z": ZERO}, ["y"]),
        (0, {"x": ZERO, "y": ZERO}, ["x"]),
        ((-1, "x"), {"x": ZERO, "y": ZERO}, ["x", "y"]),
        (-1, Pair(ZERO, ZERO), [1]),
    ],
)
def test_parts_that_are_changed(parts, batch, changed):
    found = Add(parts=parts)(batch)
    assert type(found) is type(batch)
    if isinstance(batch, np.ndarray):
        found, batch = [found], [batch]
    places = batch if isinstance(batch, dict) else range(len(batch))
    for place in places:
        assert found[place].tolist() == ([1, 1] if place in changed else [0, 0])
        assert (found[place] is batch[place]) == (place not in changed)
    assert not ZERO.any()


@pytest.mark.parametrize(
    ("parts", "batch", "names"),
    [(2, (ZERO, ZERO), "0, 1"), ("x", (ZERO,), "0"), ("z", {"x": ZERO, "y": ZERO}, "'x', 'y'"), (1, ZERO, "0")],
)
def test_a_part_that_is_missing(parts, batch, names):
    with pytest.raises(ArgumentError, match=f"expected parts to be among those of the batch, {names}, got {parts!r}; "):
        Add(parts=parts)(batch)


def test_a_batch_of_another_kind():
    with pytest.raises(DataError, match="expected a batch that is an array, or a tuple or dict of arrays, got int"):
        Add()(3)
    with pytest.raises(DataError, match="expected an array as part 0 of the batch, got tuple; change it with"):
        Add()(((ZERO, ZERO), ZERO))


def test_a_random_transform_needs_a_key_for_the_batch():
    with pytest.raises(UsageError, match="expected a key for the draws of RandomFlip, got none; let a DataLoader"):
        RandomFlip()(np.ones((2, 2)))
    with pytest.raises(ShapeError, match=r"expected a batch of 3 samples, as many as the key .* got shape \(2, 2\)"):
        RandomFlip()(np.ones((2, 2)), key_of(1, 2, 3))


@dataclass(frozen=True)
class Draws(RandomTransform):
    count = 2

    def vary(self, x, draws):
        return np.concatenate([x, draws], axis=1)


def test_draws_are_a_function_of_seed_epoch_and_sample():
    empty = np.zeros((3, 0))
    found = Draws()(empty, key_of(5, 2**33 + 3, 7))
    for row, index in enumerate([5, 2**33 + 3, 7]):
        assert (Draws()(empty[:1], key_of(index)) == found[row]).all()
    others = [key_of(5, 6, 7, epoch=1), key_of(5, 6, 7, epoch=2**32), SampleKey(1, 0, np.asarray([5, 6, 7]))]
    for key in others:
        assert not (Draws()(empty, key) == found).any()


def test_known_draws():
    """They may never change: a run that is resumed with a later nnx would go on with other images."""
    assert key_of(0, 1, epoch=3).uniform(2).tolist() == [
        [0.9138187838252634, 0.6413968987762928],
        [0.6795822624117136, 0.14806011668406427],
    ]


def test_transforms_of_one_composition_draw_different_numbers():
    key = key_of(*range(4))
    found = Compose([Draws(), Draws(), lambda batch: batch, Compose([Draws()])])(np.zeros((4, 0)), key)
    assert len(set(found.ravel().tolist())) == found.size == 24
    again = Compose([Draws(), Draws(), lambda batch: batch, Compose([Draws()])])(np.zeros((4, 0)), key)
    assert (again == found).all()


def test_parts_of_a_sample_are_changed_alike(xp):
    host = np.random.default_rng(0).normal(size=(20, 6, 6))
    batch = {
        "image": xp.asarray(host),
        "label": xp.asarray(np.arange(20), "int32"),
        "mask": xp.asarray(host > 0, "uint8"),
    }
    both = ("image", "mask")
    for transform in (RandomFlip(parts=both), RandomCrop(4, parts=both), nnx.data.RandomErasing(parts=both)):
        found = transform(batch, key_of(*range(20)))
        image, mask = nnx.to_numpy(found["image"]), nnx.to_numpy(found["mask"])
        assert ((image > 0) == mask).all()
        assert image.shape != host.shape or (image != host.astype("float32")).any()


def test_functions_in_a_composition():
    def shifted(batch, key):
        return batch + key.indices

    found = Compose([lambda x: 2 * x, shifted, np.negative])(np.ones(2), key_of(3, 4))
    assert found.tolist() == [-5, -6]


def test_what_cannot_be_called():
    with pytest.raises(ArgumentError, match="expected transforms that can be called, got 3"):
        Compose([Add(), 3])


def test_configuration():
    transform = Compose(
        [
            RandomCrop((8, 6), padding=(1, 2), mode="edge", parts=["x", "mask"]),
            RandomFlip(axis=2, probability=0.25),
            nnx.data.RandomRotation((-10, 20), fill=0.5),
            nnx.data.RandomErasing(area=(0.1, 0.2), ratio=[0.5, 2.0]),
            Normalize(mean=(0.5, 0.25), std=1.5),
            nnx.data.CutMix(0.5, classes=4, parts=("x", "y")),
            nnx.data.Mixup(1.0),
            OneHot(3),
        ]
    )
    again = nnx.from_config(json.loads(json.dumps(transform.config())))
    assert again == transform
    assert hash(again) == hash(transform)
    assert repr(again) == repr(transform)


def test_own_transforms_have_configurations_too():
    transform = Compose([Add(3, parts=-1)])
    assert nnx.from_config(transform.config(), allow=(Add,)) == transform
    with pytest.raises(ArgumentError, match=r"test_composing.Add"):
        nnx.from_config(transform.config())


def test_repr_has_what_was_given():
    assert repr(RandomFlip()) == "RandomFlip()"
    assert repr(Compose([RandomCrop(8, 2), OneHot(3, parts="y")])) == (
        "Compose(transforms=(RandomCrop(size=8, padding=2), OneHot(classes=3, parts='y')))"
    )


def test_a_loader_gives_the_same_with_any_workers_and_after_a_resume():
    x, y = np.random.default_rng(0).random((30, 6, 6)), np.arange(30) % 3
    transform = Compose(
        [RandomCrop(6, padding=1), nnx.data.RandomRotation(20), RandomFlip(), nnx.data.Mixup(0.5, classes=3)]
    )

    def loader(workers=0):
        return DataLoader((x, y), 8, seed=4, transform=transform, workers=workers)

    def batches(source, count):
        return [[part.tolist() for part in batch] for _, batch in zip(range(count), source, strict=False)]

    whole = loader()
    epochs = [batches(whole, 4), batches(whole, 4)]
    assert epochs[0] != epochs[1]
    threaded = loader(workers=2)
    assert [batches(threaded, 4), batches(threaded, 4)] == epochs
    resumed = loader(workers=1)
    resumed.load_state_dict({"version": 1, "epoch": 1, "batch": 2})
    assert batches(resumed, 2) == epochs[1][2:]
