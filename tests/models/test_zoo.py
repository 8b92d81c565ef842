"""Named models: shipped, or downloaded over a real connection to a server on this machine."""

import hashlib
import http.server
import threading
import time

import pytest
import torch
import yaml

from models import download as download_module
from models import jester, zoo
from models.build import build_network
from models.card import ModelCard
from models.checkpoints import DEFAULT_MODEL, CheckpointError, load_model, resolve
from models.download import download

CONTENT = bytes(range(256)) * 1000


class Server(http.server.ThreadingHTTPServer):
    """Serves `content`; `ranges` False ignores Range headers, `cut` ends early, `stall` sleeps."""

    daemon_threads = True
    content, ranges, cut, stall, lie = CONTENT, True, 0, 0.0, 0

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked = []
        self.url = f"http://127.0.0.1:{self.server_port}/model.pth"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if self.path != "/model.pth":
            return self.send_error(404)
        begin = 0
        if server.ranges and self.headers.get("Range"):
            begin = int(self.headers["Range"].removeprefix("bytes=").rstrip("-"))
            if begin >= len(server.content):
                return self.send_error(416)
            self.send_response(206)
            last = len(server.content) - 1
            self.send_header("Content-Range",
                             f"bytes {begin + server.lie}-{last}/{len(server.content)}")
        else:
            self.send_response(200)
        body = server.content[begin:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        time.sleep(server.stall)
        self.wfile.write(body[: server.cut or None])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    serving = Server()
    thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
    thread.start()
    yield serving
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_download_with_progress(server, tmp_path, capsys):
    target = tmp_path / "models" / "model.pth"
    download(server.url, target, hashlib.sha256(CONTENT).hexdigest())
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert "100%" in capsys.readouterr().err


def test_a_broken_connection_is_continued(server, tmp_path):
    target = tmp_path / "model.pth"
    server.cut = 100_000
    with pytest.raises(CheckpointError, match=r"after 100,000 of 256,000 bytes.*again to continue"):
        download(server.url, target)
    assert not target.exists()
    server.cut = 0
    download(server.url, target)
    assert server.asked == [None, "bytes=100000-"]
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("have", [CONTENT[:5000], b"?" * 300_000])
def test_a_part_that_cannot_be_continued_is_loaded_anew(server, tmp_path, have):
    """The server knows no ranges, or the part is longer than the file."""
    server.ranges = len(have) > len(CONTENT)
    (tmp_path / "model.pth.part").write_bytes(have)
    download(server.url, tmp_path / "model.pth")
    assert (tmp_path / "model.pth").read_bytes() == CONTENT


def test_a_server_that_continues_elsewhere(server, tmp_path):
    server.lie = 7
    (tmp_path / "model.pth.part").write_bytes(CONTENT[:5000])
    with pytest.raises(CheckpointError, match="another part of the file"):
        download(server.url, tmp_path / "model.pth")


def test_a_wrong_checksum_keeps_nothing(server, tmp_path):
    with pytest.raises(CheckpointError, match=r"checksum is [0-9a-f]{64}, expected 0000"):
        download(server.url, tmp_path / "model.pth", "0" * 64)
    assert not list(tmp_path.iterdir())


def test_a_failure_names_the_url_the_place_and_the_way_out(server, tmp_path):
    url, target = server.url + "x", tmp_path / "model.pth"
    with pytest.raises(CheckpointError, match="404") as caught:
        download(url, target)
    for part in (url, str(target), "put the file there yourself"):
        assert part in str(caught.value)


def test_no_server_and_a_silent_one(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "TIMEOUT_S", 0.2)
    server.stall = 1.0
    with pytest.raises(CheckpointError, match="timed out"):
        download(server.url, tmp_path / "model.pth")
    with pytest.raises(CheckpointError, match="refused"):
        download("http://127.0.0.1:9/model.pth", tmp_path / "model.pth")


def test_a_folder_that_cannot_be_made(server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="put the file there yourself"):
        download(server.url, tmp_path / "file" / "model.pth")


@pytest.fixture
def listed(server, tmp_path, monkeypatch, seed_weights):
    """A zoo with one more entry, on the server."""
    network = build_network(ModelCard("t", "mobilenet_v2", jester.ALPHABETICAL,
                                      width_multiplier=0.25))
    torch.save(seed_weights(network).state_dict(), tmp_path / "made.pth")
    server.content = (tmp_path / "made.pth").read_bytes()
    entry = {"about": "a test", "licence": "research only", "url": server.url,
             "sha256": hashlib.sha256(server.content).hexdigest(),
             "card": {"name": "from the zoo", "frame_rate": 11.0}}
    monkeypatch.setattr(zoo, "entries", lambda: {"tested": entry})
    monkeypatch.setenv("ONLINE_TSM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models" / "model.pth"


def test_a_name_is_downloaded_once_with_its_card(listed, server, caplog):
    _, card = load_model("tested")
    assert (card.name, card.frame_rate) == ("from the zoo", 11.0)
    assert "research only" in caplog.text
    assert resolve("tested") == listed
    assert len(server.asked) == 1


def test_a_card_the_user_wrote_stays(listed):
    listed.parent.mkdir(parents=True)
    listed.with_suffix(".yaml").write_text("frame_rate: 13\n")
    assert load_model("tested")[1].frame_rate == 13


def test_a_file_put_there_by_hand_serves(listed, server):
    listed.parent.mkdir(parents=True)
    listed.write_bytes(server.content)
    assert load_model("tested")[1].name == "from the zoo"
    assert not server.asked


def test_the_real_list():
    assert resolve(DEFAULT_MODEL).is_file()
    official = zoo.entries()["mobilenet_v2_jester_official"]
    assert official["url"] == ("https://hanlab18.mit.edu/projects/tsm/models/"
                               "mobilenetv2_jester_online.pth.tar")
    assert "research" in official["licence"]
    raw = yaml.safe_load((zoo.HERE / "zoo.yaml").read_text())
    assert all(("file" in entry) != ("url" in entry) and entry["about"] for entry in raw.values())
