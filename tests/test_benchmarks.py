"""The benchmark runs, and finds out a contestant that computes something else."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nnx

ROOT = Path(__file__).parents[1]


@pytest.fixture
def race(monkeypatch):
    """Return the module ``benchmarks.race``, of the checkout; nnx is imported already, from wherever it is."""
    monkeypatch.syspath_prepend(str(ROOT))
    import benchmarks.race

    return benchmarks.race


@pytest.fixture
def workload(race):
    return race.Workload("a walk", lambda: {}, {}, {})


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_quick_run_of_everything(tmp_path):
    ended = run("--quick", "--peers", "", "--json", tmp_path / "found.json", "--plot", tmp_path / "found.png")
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    names = run("--list").stdout.splitlines()
    assert list(found["workloads"]) == names
    assert (tmp_path / "found.png").stat().st_size
    for name, entry in found["workloads"].items():
        assert {"nnx portable", "nnx native"} <= set(entry["seconds"]), name
        for times in entry["seconds"].values():
            assert 0 < times["lower"] <= times["median"] <= times["upper"]


@pytest.mark.skipif(sys.platform != "linux", reason="Linux keeps the peak of a process")
def test_memory_and_footprint(tmp_path):
    ended = run("4-16-3", "--quick", "--peers", "", "--parts", "memory,footprint", "--json", tmp_path / "found.json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "found.json").read_text())
    assert {"nnx native", "by hand"} <= set(found["workloads"]["4-16-3, batch 8, SGD"]["peak_bytes"])
    assert set(found["footprint"]["import_seconds"]) == {"numpy", "nnx"}
    assert found["footprint"]["installed_bytes"]["nnx"] < 4e6


def test_growth(tmp_path):
    command = [sys.executable, "-m", "benchmarks.growth", "batch", "--quick", "--budget", "0.1"]
    options = ["--json", tmp_path / "found.json", "--plot", tmp_path / "found.png"]
    ended = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "found.png").stat().st_size
    curve = json.loads((tmp_path / "found.json").read_text())["curves"]["batch"]
    assert all(len(curve["sizes"]) == len(times) for times in curve["seconds"].values())
    assert {"nnx", "nnx replayed"} <= curve["seconds"].keys()
    assert ended.stdout.count("\n") == 3


def test_unknown_peers_are_refused():
    ended = run("--peers", "torch,keras")
    assert ended.returncode == 2
    assert "unknown: keras; there are torch, jax, sklearn, autograd, advect, post" in ended.stderr


def test_contestants_that_agree(race, workload):
    walk = [np.asarray(value) for value in (3.0, 2.0, 1.0)]
    assert race.check_agreement(workload, {"a": walk, "b": [v + 3e-5 for v in walk]}) == {"b": pytest.approx(1e-5)}


def test_a_contestant_that_differs(race, workload):
    walk = [np.asarray(value) for value in (3.0, 2.0, 1.0)]
    message = "a walk: in 5 steps b differs from a by 1.0e-01 of the largest value, and 1e-04 is allowed"
    with pytest.raises(race.DisagreementError, match=message):
        race.check_agreement(workload, {"a": walk, "b": [v + 0.3 for v in walk]})
    with pytest.raises(race.DisagreementError, match="b differs from a by nan"):
        race.check_agreement(workload, {"a": walk, "b": [v * np.nan for v in walk]})


def test_steps_that_change_nothing(race, workload):
    with pytest.raises(race.DisagreementError, match="5 steps of a change the values by 0"):
        race.check_agreement(workload, {"a": [np.ones(())] * 5})


def test_functions_take_turns(race):
    called = []
    functions = {name: lambda name=name: called.append(name) for name in "ab"}
    times = race.interleaved(functions, rounds=9, shortest=0.0)
    assert [len(column) for column in times.values()] == [9, 9]
    assert called[6:] == list("aabbbbaa" * 4 + "aabb")  # of each turn the first call is not timed


def test_targets(race):
    from benchmarks import record, table
    from benchmarks.workload import Target, Workload

    times = {
        "nnx native": [2.0, 2.0, 2.0],
        "nnx replayed": [1.0, 1.0, 1.0],
        "torch": [4.0, 4.0, 2.0],
        "floor": [0.5] * 3,
    }
    result = race.Result("a walk", times)
    targets = tuple(Target(ours, {"torch": 0.4, "jax": 1.0}) for ours in ("eager", "replayed", "best"))
    pairs = [(Workload("a walk", lambda: {}, {}, {}, targets), result)]
    rows = [[cell.strip() for cell in line.split("|")][2:6] for line in table.ratios(pairs).splitlines()[2:]]
    assert rows == [
        ["nnx native", "2,000.0 ms", "0.50 (0.4) **missed**", "not run (1)"],
        *[["nnx replayed", "1,000.0 ms", "0.25 (0.4)", "not run (1)"]] * 2,
    ]
    assert table.missed(pairs) == [
        "a walk: nnx native / torch is 0.50, the target 0.4",
        *["a walk: jax did not run"] * 3,
    ]
    assert [ratio["is_met"] for ratio in record.of_workload(*pairs[0])["ratios"]] == [False, False, *[True, False] * 2]


def test_eager_stands_in_where_nothing_replays(race):
    result = race.Result("a walk", {"nnx portable": [3.0], "nnx native": [2.0], "nnx compiled": [1.0]})
    assert {result.way_of(ours) for ours in ("eager", "replayed", "best")} == {"nnx compiled"}


def test_who_cannot_run_is_left_out(race):
    def not_installed():
        raise ImportError("No module named 'torch'")

    def refuses():
        raise nnx.errors.UsageError("this step reads a value")

    def walk():
        numbers = iter(range(100))
        return lambda: np.asarray(next(numbers))

    makers = {"nnx native": walk, "nnx replayed": lambda: refuses, "torch": not_installed, "jax": walk, "floor": walk}
    workload = race.Workload("a walk", lambda: makers, {}, {})
    result = race.race(workload, peers=["torch"], rounds=7, shortest=0.0)
    assert set(result.times) == {"nnx native", "floor"}
    assert result.left_out == {"nnx replayed": "this step reads a value", "torch": "No module named 'torch'"}
