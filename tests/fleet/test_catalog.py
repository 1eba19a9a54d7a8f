"""Known data sets: the catalogue agrees with the files, and a fetched file is whole and right or not there."""

import hashlib
import io
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fedmetaalign.errors import DataError
from fedmetaalign.fleet.catalog import DATASETS, Dataset, fetch, find
from fedmetaalign.fleet.files import sha256
from fedmetaalign.fleet.tables import Columns, read

CONTENT = b"a,fault\n1,0\n2,1\n"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def served(tmp_path):
    """A folder and the address of a loopback server of its files."""
    folder = tmp_path / "served"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def zipped(name, content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def dataset(url, content=CONTENT):
    return Dataset(
        name="small",
        file="small.csv",
        title="Small",
        publisher="nobody",
        url="https://example.org",
        licence="CC0",
        sha256=hashlib.sha256(content).hexdigest(),
        rows=2,
        columns=Columns("fault", ("a",)),
        download=url,
    )


def message(known, folder):
    with pytest.raises(DataError) as caught:
        fetch(known, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestFetch:
    @pytest.mark.parametrize("member", ["small.csv", "data/small.csv"])
    def test_from_a_zip(self, served, tmp_path, member):
        folder, address = served
        (folder / "small.zip").write_bytes(zipped(member, CONTENT))
        path = fetch(dataset(f"{address}/small.zip"), tmp_path / "new" / "data")
        assert path == tmp_path / "new" / "data" / "small.csv"
        assert path.read_bytes() == CONTENT
        assert [p.name for p in path.parent.iterdir()] == ["small.csv"]

    def test_plain_file(self, served, tmp_path):
        folder, address = served
        (folder / "small.csv").write_bytes(CONTENT)
        assert fetch(dataset(f"{address}/small.csv"), tmp_path).read_bytes() == CONTENT

    def test_what_is_there_is_not_fetched_again(self, tmp_path):
        (tmp_path / "small.csv").write_bytes(CONTENT)
        assert fetch(dataset("http://127.0.0.1:1/small.csv"), tmp_path) == tmp_path / "small.csv"

    def test_what_is_there_is_not_overwritten(self, tmp_path):
        (tmp_path / "small.csv").write_bytes(b"mine")
        assert "is not the file that is published as Small" in message(dataset("http://127.0.0.1:1/"), tmp_path)
        assert (tmp_path / "small.csv").read_bytes() == b"mine"

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (zipped("small.csv", CONTENT + b"3,1\n"), "holds another small.csv than expected"),
            (zipped("other.csv", CONTENT), "holds no small.csv"),
            (zipped("small.csv", CONTENT).replace(b"\x08\x00", b"\x63\x00"), "is a damaged .zip"),
            (CONTENT[:-3], "holds another small.csv than expected"),
        ],
    )
    def test_a_wrong_file_is_refused(self, served, tmp_path, content, reason):
        folder, address = served
        (folder / "small.zip").write_bytes(content)
        target = tmp_path / "data"
        assert reason in message(dataset(f"{address}/small.zip"), target)
        assert list(target.iterdir()) == []

    def test_no_such_page(self, served, tmp_path):
        assert "404" in message(dataset(f"{served[1]}/nothing.zip"), tmp_path / "data")

    def test_no_network(self, tmp_path):
        assert "check the network, or get it by hand" in message(
            dataset("http://127.0.0.1:1/x.zip"), tmp_path / "d"
        )

    def test_a_folder_that_cannot_be(self, tmp_path):
        (tmp_path / "file").write_bytes(b"")
        assert "choose another folder" in message(
            dataset("http://127.0.0.1:1/x.zip"), tmp_path / "file" / "data"
        )

    def test_by_hand(self, tmp_path):
        assert message("equipment", tmp_path) == (
            "equipment_anomaly_data.csv cannot be downloaded for you (licence not verified); get it from "
            "https://www.kaggle.com/datasets/dnkumars/industrial-equipment-monitoring-dataset and put it at "
            f"{tmp_path / 'equipment_anomaly_data.csv'}"
        )


class TestCatalogue:
    def test_find(self):
        assert find("ai4i2020") is find("ai4i2020.csv")

    def test_only_ai4i_is_downloaded(self):
        assert [known.name for known in DATASETS if known.downloadable] == ["ai4i2020"]

    @pytest.mark.parametrize(
        ("name", "faults"),
        [
            ("ai4i2020", 339),
            ("electrical-detection", 5496),
            ("electrical-class", 5496),
            ("machine-failure", 393),
            ("equipment", 767),
            ("noise", 298),
        ],
    )
    def test_agrees_with_the_file(self, name, faults, real_data):
        known = find(name)
        assert sha256(real_data / known.file) == known.sha256
        table = read(real_data / known.file, known.columns, name)
        assert len(table) == known.rows
        assert table.y.sum() == faults
