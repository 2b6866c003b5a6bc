import tracemalloc

import numpy as np
import pytest

from nnx.data import read_csv
from nnx.errors import ArgumentError, DataError

IRIS = "length,width,species\n5.1,3.5,setosa\n6.2,2.9,versicolor\n\n4.9, 3.0 ,setosa\n"


def write(folder, content):
    (folder / "t.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "t.csv"


def test_classes_by_word(tmp_path):
    x, y = read_csv(write(tmp_path, IRIS), target="species", classes=["setosa", "versicolor"]).arrays
    np.testing.assert_array_equal(x, np.asarray([[5.1, 3.5], [6.2, 2.9], [4.9, 3.0]], np.float32))
    assert (x.dtype, y.dtype, y.tolist()) == (np.float32, np.int32, [0, 1, 0])
    assert x.flags.writeable


@pytest.mark.parametrize(("target", "columns"), [(2, None), ("2", ["0", 1]), (2, (0, "1"))])
def test_without_a_header(tmp_path, target, columns):
    path = write(tmp_path, "\ufeff1;2;0\r\n3;4;1\r\n")
    x, y = read_csv(path, target=target, columns=columns, classes=2, header=False, delimiter=";").arrays
    assert (x.tolist(), y.tolist()) == ([[1, 2], [3, 4]], [0, 1])


def test_columns_in_their_order_and_a_number_as_target(tmp_path):
    path = write(tmp_path, 'a,"b, c",d\n1,2,3\n"4",5,6e2')
    x, y = read_csv(path, target="d", columns=["b, c", "a"]).arrays
    assert (x.tolist(), y.tolist(), y.dtype) == ([[2, 1], [5, 4]], [3, 600], np.float32)
    (x,) = read_csv(path).arrays
    assert x.shape == (2, 3)


def test_missing_inputs(tmp_path):
    path = write(tmp_path, "a,b\n1,NA\n,2\n ?, nan \n")
    (x,) = read_csv(path, missing=-1).arrays
    assert x.tolist() == [[1, -1], [-1, 2], [-1, -1]]
    assert np.isnan(read_csv(path, missing=np.nan).arrays[0][0, 1])
    with pytest.raises(DataError, match=r"line 2, column 'b': expected a number, got 'NA'; pass missing=\.\.\., or"):
        read_csv(path)
    with pytest.raises(DataError, match="line 2, column 'b': expected a number, got 'NA'"):
        read_csv(path, target="b", missing=0)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "expected at least one line, got an empty file"),
        ("\n\n", {}, "expected at least one line, got an empty file"),
        ("a,b\n", {}, "expected at least one row and one column of inputs, got none"),
        ("a\n1\n", {"target": "a"}, "expected at least one row and one column of inputs, got none"),
        ("a,b\n1,2\n3\n", {}, "line 3: expected 2 fields, as in the first line, got 1"),
        ("a,b\n1,2,3\n", {}, "line 2: expected 2 fields, as in the first line, got 3"),
        ("a,b\n1,two\n", {}, "line 2, column 'b': expected a finite number of float32, got 'two'"),
        ("a,b\n1,inf\n", {}, "line 2, column 'b': expected a finite number of float32, got 'inf'"),
        ("a,b\n1,1e39\n", {}, "line 2, column 'b': expected a finite number of float32, got '1e39'"),
        ("a,b\n1,1_0\n", {}, "line 2, column 'b': expected a finite number of float32, got '1_0'"),
        ("a,a\n1,1\n", {}, "expected columns with names of their own, got 'a' twice; rename one"),
        ("1,2\n3,4\n", {}, "expected the names of columns in the first line, got numbers; pass header=False"),
        ("a,b\n1,1\n", {"target": "c"}, "expected one of the columns a, b, or a number from 0 to 1, got 'c'"),
        ("a,b\n1,1\n", {"columns": [2]}, "expected one of the columns a, b, or a number from 0 to 1, got 2"),
        (IRIS, {"target": 2, "classes": ["setosa"]}, "line 3, .*: expected one of the classes setosa, got 'vers"),
        ("a,b\n1,12\n", {"target": "b", "classes": 12}, r"expected one of the classes 0, 1, \.\.\., 11, got '12'"),
        ("a,b\n1,1.5\n", {"target": "b", "classes": 2}, "expected one of the classes 0, 1, got '1.5'"),
        (b"a,b\n1,\xff\n", {}, "line 2: expected UTF-8, got the byte 0xff; save the file as UTF-8"),
        ('a,b\n1,"2\n', {}, "line 2: expected fields of CSV, got an error: unexpected end of data"),
        ('a,b\n1,"2"3\n', {}, "line 2: expected fields of CSV, got an error: ',' expected after '\"'"),
        ("a,b\n1," + "2" * 2**20, {}, "line 2: expected at most 1048576 bytes, got a longer line"),
        ("a,b\n1," + "2" * 2**18, {}, "line 2: expected fields of CSV, got an error: field larger than field limit"),
        ("a,b\n1,2\n3,4\n", {"max_bytes": 12}, "line 3: expected at most 12 bytes of numbers, got more; pass a larger"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(tmp_path, content, options, message):
    with pytest.raises(DataError, match=r"t\.csv.*" + message):
        read_csv(write(tmp_path, content), **options)


def test_bad_arguments(tmp_path):
    for delimiter in ("", ";;", '"', None):
        with pytest.raises(ArgumentError, match="expected a delimiter of one character, got"):
            read_csv(tmp_path, delimiter=delimiter)
    with pytest.raises(ArgumentError, match="expected the column of the target with classes, got none; name it"):
        read_csv(tmp_path, classes=3)
    with pytest.raises(DataError, match=r"absent: expected a readable CSV file, got No such file or directory; check"):
        read_csv(tmp_path / "absent")


def test_memory_is_that_of_the_numbers(tmp_path):
    path = write(tmp_path, "a,b\n" + "0.123456789012345678901234567890,1\n" * 20_000)
    tracemalloc.start()
    try:
        dataset = read_csv(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(dataset) == 20_000
    assert peak < 3 * 2 * 4 * 20_000
