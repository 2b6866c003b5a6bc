import math

import pytest

from nnx.errors import ArgumentError, DataError
from nnx.training import History

ROWS = [
    {"epoch": 1, "loss": 0.1 + 0.2, "accuracy": 1 / 3, "validation_loss": 2.5},
    {"epoch": 2, "loss": 1e-30, "accuracy": float("inf")},
]
HEADER = "epoch,loss,accuracy,validation_loss"


def row(epoch, validation_accuracy, validation_loss=1.0):
    return {"epoch": epoch, "validation_accuracy": validation_accuracy, "validation_loss": validation_loss}


def test_csv_round_trip_keeps_every_bit(tmp_path):
    History(ROWS).write_csv(tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_text().splitlines()[0] == HEADER
    assert History.read_csv(tmp_path / "history.csv").rows == ROWS


def test_empty_history_round_trip(tmp_path):
    History().write_csv(tmp_path / "history.csv")
    assert History.read_csv(tmp_path / "history.csv") == History()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n", "expected columns epoch, loss and other metrics, got a,b"),
        ("epoch,loss,loss\n", "expected columns epoch, loss and other metrics, got epoch,loss,loss"),
        (f"{HEADER}\n1,2,3\n", "line 2: expected 4 numbers"),
        (f"{HEADER}\n1,2,3,4\n1,x,3,4\n", "line 3: expected 4 numbers.*'1,x,3,4'"),
        (f"{HEADER}\n,2,3,4\n", "line 2: expected 4 numbers"),
        ("\0", "expected columns epoch|expected a history as CSV"),
    ],
)
def test_foreign_csv_is_refused(tmp_path, content, message):
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        History.read_csv(tmp_path / "history.csv")


def test_best_is_the_first_of_equals():
    history = History([row(1, 0.5), row(2, 0.4, 0.1), row(3, 0.5, 0.9), row(4, 0.5, 0.9)])
    assert history.best("validation_accuracy")["epoch"] == 1
    assert history.best(["validation_accuracy", "validation_loss"])["epoch"] == 3
    assert history.best()["epoch"] == 2  # by the validation loss
    assert History().best() is None


def test_what_is_not_a_number_is_never_the_best():
    assert History([{"epoch": 1, "loss": math.nan}, {"epoch": 2, "loss": 5.0}]).best("loss")["epoch"] == 2


def test_what_is_monitored_must_be_there():
    history = History([{"epoch": 1, "loss": 0.5}])
    with pytest.raises(ArgumentError, match=r"metric of this run to monitor, epoch, loss, got accuracy$"):
        history.best("accuracy")
    with pytest.raises(ArgumentError, match="got validation_loss; give fit the validation data"):
        history.best("validation_loss")


def test_column_gives_nan_for_what_is_missing():
    values = History(ROWS).column("validation_loss")
    assert values[0] == 2.5
    assert math.isnan(values[1])
