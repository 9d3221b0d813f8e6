"""Files are written completely or not at all, also through links and pipes."""

import os
import threading

import pytest

from inception_keras.files import atomic_write, write_csv, write_json


def test_an_error_keeps_the_old_file(tmp_path):
    path = tmp_path / "table.csv"
    write_csv(path, [{"epoch": 1, "loss": 2.5}])
    with pytest.raises(RuntimeError, match="stop"), atomic_write(path) as part:
        part.write_text("half")
        raise RuntimeError("stop")
    assert path.read_text() == "epoch,loss\n1,2.5\n"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]
    with pytest.raises(OSError, match=r"absent/table.csv cannot be written: No such file or directory\.$"):
        write_json(tmp_path / "absent" / "table.csv", {})


def test_rows_may_lack_columns_and_a_table_may_lack_rows(tmp_path):
    rows = [{"path": "a, b.png", "score": 0.123456789}, {"path": "c.png", "error": "is\nempty"}]
    write_csv(tmp_path / "rows.csv", rows, ["path", "score", "error"])
    assert (tmp_path / "rows.csv").read_text() == 'path,score,error\n"a, b.png",0.123457,\nc.png,,"is\nempty"\n'
    write_csv(tmp_path / "none.csv", [], ["path", "error"])
    assert (tmp_path / "none.csv").read_text() == "path,error\n"


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of Unix")
def test_links_and_pipes_are_written_through(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "far" / "real.json")
    write_json(tmp_path / "link.json", [1])
    write_json(tmp_path / "link.json", [2])
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "far" / "real.json").read_text() == "[\n  2\n]\n"
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_text()))
    reader.start()
    write_csv(tmp_path / "pipe", [{"a": 1}])
    reader.join()
    assert got == ["a\n1\n"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["far", "link.json", "pipe"]
