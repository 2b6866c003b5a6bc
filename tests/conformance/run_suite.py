"""Run the array API test suite on the namespaces in which every array is traced, and on the plain ones beside them.

Usage: ``python tests/conformance/run_suite.py SUITE [--max-examples N] [--pullbacks]``, where SUITE is a checkout of
data-apis/array-api-tests with its submodule. What fails on a plain namespace too does not count; what is listed in
``xfails.txt``, and with --pullbacks in ``xfails_pullbacks.txt``, is expected to fail.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PAIRS = {
    "nnx.testing.traced_numpy": "array_api_compat.numpy",
    "nnx.testing.traced_strict": "array_api_strict",
}
FOLDER = Path(__file__).parent


class Suite:
    """A checkout of the suite, and where its reports go."""

    def __init__(self, checkout: Path, reports: Path, pullbacks: bool) -> None:
        self.checkout = checkout
        self.reports = reports
        self.environment = {"NNX_TRACED_PULLBACKS": "1" if pullbacks else ""}
        self.plain_failures: set[str] = set()  # of all plain namespaces, which all compute with NumPy in the end

    def run(self, module: str, examples: int, tests: list[str], xfails: list[str]) -> dict[str, str]:
        """Return the outcome of every test on a namespace."""
        listed, report = self.reports / "xfails.txt", self.reports / "report.json"
        listed.write_text("\n".join(xfails) + "\n")
        command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "--json-report"]
        options = [f"--json-report-file={report}", "--json-report-omit", "collectors", "log", "streams", "keywords"]
        bounds = [f"--max-examples={examples}", "--disable-deadline", "--derandomize", f"--xfails-file={listed}"]
        environment = {**os.environ, **self.environment, "ARRAY_API_TESTS_MODULE": module}
        result = subprocess.run(
            [*command, *options, *bounds, *tests],
            cwd=self.checkout,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        if result.returncode not in (0, 1):
            sys.exit(result.stdout + result.stderr)
        found = json.loads(report.read_text())["tests"]
        self.messages = {test["nodeid"]: str(test.get("call", test["setup"]).get("longrepr", "")) for test in found}
        return {test["nodeid"]: test["outcome"] for test in found}


def failing(outcomes: dict[str, str]) -> list[str]:
    return [test for test, outcome in outcomes.items() if outcome in ("failed", "error")]


def compare(suite: Suite, traced: str, plain: str, examples: int, listed: list[str]) -> list[str]:
    """Run the suite on both, say how it went, and return the tests that fail where every array is traced alone."""
    everything = ["array_api_tests"]
    baseline = suite.run(plain, 5 * examples, everything, [])
    report(plain, baseline)
    suite.plain_failures.update(failing(baseline))
    outcomes = suite.run(traced, examples, everything, [*listed, *sorted(suite.plain_failures)])
    report(traced, outcomes)
    messages = suite.messages
    # The suite draws other examples for every namespace: what it met by chance here gets a longer look there.
    suspects = failing(outcomes)
    also_plain = set(failing(suite.run(plain, 100 * examples, suspects, []))) if suspects else set()
    suite.plain_failures |= also_plain
    for test in sorted(also_plain):
        print(f"  fails on {plain} too, with more examples: {test}")
    found = [test for test in suspects if test not in also_plain]
    for test in found:
        print(f"  FAILED {test}\n{messages[test]}")
    return found


def report(module: str, outcomes: dict[str, str]) -> None:
    counts = collections.Counter(outcomes.values())
    print(f"{module}: {', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items()))}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--max-examples", type=int, default=20)
    parser.add_argument("--pullbacks", action="store_true", help="run every pullback as well, on ones")
    options = parser.parse_args()
    files = ["xfails.txt", *(["xfails_pullbacks.txt"] if options.pullbacks else [])]
    lines = [line for file in files for line in (FOLDER / file).read_text().splitlines()]
    listed = [line for line in lines if line and not line.startswith("#")]
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(options.suite.resolve(), Path(folder), options.pullbacks)
        found = [
            test
            for traced, plain in PAIRS.items()
            for test in compare(suite, traced, plain, options.max_examples, listed)
        ]
    sys.exit(f"{len(found)} tests fail because every array is traced" if found else 0)


if __name__ == "__main__":
    main()
