import math

import pytest

from nnx.errors import DataError
from nnx.training import EpochRow, History

ROWS = [EpochRow(1, 0.1 + 0.2, 1 / 3, 2.5, 0.5, 0.01), EpochRow(2, 1e-30, 1.0, None, None, 12.0)]
HEADER = "epoch,loss,accuracy,validation_loss,validation_accuracy,seconds"


def row(epoch, validation_accuracy, validation_loss=1.0):
    return EpochRow(epoch, 0.5, 0.5, validation_loss, validation_accuracy, 0.1)


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
        ("", "expected the columns epoch,loss.* got none"),
        ("a,b\n", "expected the columns epoch,loss.* got a,b"),
        (f"{HEADER}\n1,2,3\n", "line 2: expected 6 numbers"),
        (f"{HEADER}\n1,2,3,4,5,6\n1,x,3,4,5,6\n", "line 3: expected 6 numbers.*'x'"),
        (f"{HEADER}\n1,,3,4,5,6\n", "line 2: expected 6 numbers"),
    ],
)
def test_foreign_csv_is_refused(tmp_path, content, message):
    (tmp_path / "history.csv").write_text(content)
    with pytest.raises(DataError, match=message):
        History.read_csv(tmp_path / "history.csv")


def test_best_is_by_validation_accuracy_then_validation_loss_and_the_first_of_equals():
    history = History()
    candidates = [row(1, 0.5), row(2, 0.4, 0.1), row(3, 0.5, 0.9), row(4, 0.5, 0.9), row(5, 0.6, 9.0)]
    improved = [history.add(candidate, {"epoch": candidate.epoch}) for candidate in candidates]
    assert improved == [True, False, True, False, True]
    assert history.best is not None
    assert history.best.state == {"epoch": 5}


def test_best_without_validation_is_by_training_metrics():
    history = History()
    for epoch, accuracy in enumerate((0.5, 0.7, 0.6), start=1):
        history.add(EpochRow(epoch, 1.0, accuracy, None, None, 0.1), {})
    assert history.best is not None
    assert history.best.row.epoch == 2


def test_column_gives_nan_for_what_is_missing():
    values = History(ROWS).column("validation_loss")
    assert values[0] == 2.5
    assert math.isnan(values[1])
