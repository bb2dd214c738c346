"""`python -m service` as a user meets it: a real process, a real port."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from service.keys import add_key

from ..patience import PATIENCE, until
from .conftest import free_port, get, post

ROOT = Path(__file__).resolve().parents[2]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_help_shows_every_setting_and_loads_no_web_framework():
    code = (
        "import sys; from service.__main__ import main\ntry: main(['--help'])\nfinally: print('fastapi' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--max-body-bytes" in result.stdout
    assert result.stdout.endswith("False\n")


def test_a_wrong_setting_ends_with_a_message_and_code_2():
    result = run("--port", "70000", TEXTCNN_MAX_TEXTS="many")
    assert result.returncode == 2
    assert "--port / TEXTCNN_PORT" in result.stderr and "--max-texts / TEXTCNN_MAX_TEXTS" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_misspelled_variable_is_named_before_anything_else():
    result = run("--model", "nix", TEXTCNN_KEY="keys.jsonl")
    assert json.loads(result.stderr.splitlines()[0])["message"].endswith("did you mean TEXTCNN_KEYS?")


def test_a_folder_for_the_figures_of_other_programs_is_not_taken_for_ours(tmp_path):
    code = "from service.__main__ import main; main(['--model', 'nix'])\nfrom service.metrics import Metrics; Metrics()"
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "none")}
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert "no complete model 'nix'" in result.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_no_model_ends_with_where_it_looked_before_anything_listens(tmp_path, workers):
    for flags, said in ((["--models", str(tmp_path)], str(tmp_path)), (["--model", "nix"], "no complete model 'nix'")):
        result = run("--port", "0", "--workers", workers, *flags)
        assert result.returncode == 2
        assert said in result.stderr and "listening" not in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_port_in_use_ends_with_advice_and_code_2():
    with socket.create_server(("127.0.0.1", 0)) as other:
        result = run("--port", str(other.getsockname()[1]))
    assert result.returncode == 2
    assert "--port" in result.stderr and "in use" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_model_that_cannot_be_loaded_ends_with_the_reason_and_code_2(start, workers):
    code, log = start("--engine", "broken", "--workers", workers).ended()
    assert code == 2
    assert "no engine is called 'broken'" in log
    assert "Traceback" not in log


def test_it_answers_over_http_and_ends_with_0_on_sigterm(start):
    server = start("--max-body-bytes", "1000").wait_until_ready()
    with httpx.Client(base_url=server.url, timeout=60) as client:
        answer = client.post("/v1/classify", json={"text": "a cherry"})
        assert answer.json()["predictions"][0]["label"] == "cherry"
        assert "server" not in answer.headers
        # refused while it is still being sent, and the connection survives it
        too_long = client.post("/v1/classify", content=b" " * 10_000_000, headers={"content-type": "application/json"})
        assert too_long.status_code == 413
        assert client.get("/health/live").status_code == 200
    code, log = server.stop()
    assert code == 0
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["message"] for line in lines] == [f"listening on {server.url}", "loaded", "ready", "draining"]
    assert (lines[1]["model"], lines[1]["version"]) == ("fake", "3")


def test_ctrl_c_ends_it_without_a_traceback(start):
    code, log = start().wait_until_ready().stop(signal.SIGINT)
    assert code == 130
    assert "Traceback" not in log


@pytest.mark.parametrize("when", ["starting", "serving"])
def test_ctrl_c_in_a_terminal_reaches_every_process_and_none_shows_a_traceback(start, when):
    server = start("--workers", "2")
    if when == "serving":
        server.wait_until_ready()
    until(lambda: len(children(server.process.pid)) == 2, "both processes")
    for pid in [*children(server.process.pid), server.process.pid]:
        os.kill(pid, signal.SIGINT)
    code, log = server.ended()
    assert code == 130
    assert "Traceback" not in log and "in time" not in log


def test_workers_share_the_port_and_end_together(start):
    server = start("--workers", "2").wait_until_ready()
    assert post(server.url + "/v1/classify", json={"text": "banana"}).status_code == 200
    code, log = server.stop()
    assert code == 0
    assert "Traceback" not in log


def test_a_worker_that_is_killed_is_replaced_and_the_others_go_on(start):
    server = start("--workers", "2").wait_until_ready()
    first = set(children(server.process.pid))
    victim = min(first)
    os.kill(victim, signal.SIGKILL)
    until(lambda: len(set(children(server.process.pid)) - {victim}) == len(first), "a replacement")
    for _ in range(20):
        assert post(server.url + "/v1/classify", json={"text": "banana"}).status_code in (200, 503)
    code, log = server.stop()
    assert code == 0
    died = [json.loads(line) for line in log.splitlines() if "a process died" in line]
    assert [line["exit_code"] for line in died] == [-signal.SIGKILL]


def test_a_replacement_that_cannot_start_is_tried_again_and_the_others_go_on(start, launch_folder):
    golden = launch_folder / "models" / "fake" / "golden.jsonl"
    server = start("--workers", "2").wait_until_ready()
    until(lambda: 'loads_total{outcome="ok"} 2.0' in httpx.get(server.url + "/metrics").text, "both processes")
    try:
        golden.write_text('{"text": "a cherry", "label": "banana"}\n')
        os.kill(children(server.process.pid)[0], signal.SIGKILL)
        until(lambda: "golden.jsonl" in server.log, "a replacement that cannot answer")
        for _ in range(20):  # it takes no request before it could answer it
            assert httpx.post(server.url + "/v1/classify", json={"text": "a"}).status_code == 200
    finally:
        golden.unlink()
    until(lambda: 'loads_total{outcome="ok"} 3.0' in httpx.get(server.url + "/metrics").text, "a replacement")
    assert server.stop()[0] == 0


def test_the_metrics_of_all_workers_are_added_up(start):
    server = start("--workers", "2").wait_until_ready()
    until(lambda: 'loads_total{outcome="ok"} 2.0' in httpx.get(server.url + "/metrics").text, "both processes")
    for _ in range(30):
        assert httpx.post(server.url + "/v1/classify", json={"text": "a"}).status_code == 200
    for _ in range(5):
        lines = get(server.url + "/metrics").text.splitlines()
        assert 'textcnn_texts_total{model="fake",version="3"} 30.0' in lines
        assert 'textcnn_confidence_count{model="fake",version="3"} 30.0' in lines


def test_it_does_not_listen_to_others_without_keys_unless_told_to(start):
    for host in ("0.0.0.0", "::"):
        code, log = start("--host", host).ended()
        assert code == 2
        assert "--allow-anonymous" in log and "Traceback" not in log
    start("--host", "0.0.0.0", "--allow-anonymous").wait_until_ready()


def test_sigterm_says_not_ready_first_and_still_answers(start):
    server = start("--drain-seconds", str(PATIENCE)).wait_until_ready()
    server.process.send_signal(signal.SIGTERM)
    until(lambda: server.status("/health/ready") == 503, "a word of the end")
    answer = httpx.post(server.url + "/v1/classify", json={"text": "a"})
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    assert server.stop()[0] == 0  # whoever says it twice does not want to wait


def test_models_are_changed_on_a_port_of_its_own(start):
    port = free_port()
    server = start("--admin-port", str(port)).wait_until_ready()
    assert get(f"http://127.0.0.1:{port}/admin/models").json()["models"]["fake"]["loaded"] == ["3"]
    assert get(f"{server.url}/admin/models").status_code == 404
    assert listening(port) == {"0100007F"}  # 127.0.0.1, as /proc has it
    code, log = server.stop()
    assert code == 0
    assert "exception" not in log and "Traceback" not in log


def test_tls_and_certificates_of_clients(start, tmp_path):
    authority, strangers = trustme.CA(), trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    flags = ["--tls-cert", str(tmp_path / "server.pem"), "--tls-client-ca", str(tmp_path / "ca.pem")]
    server = start(*flags)
    server.url = server.url.replace("http://127.0.0.1", "https://localhost")

    def ask(issuer: trustme.CA | None) -> int:
        context = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        if issuer:
            issuer.issue_cert("client.example").configure_cert(context)
        return server.status("/health/live", verify=context)

    until(lambda: ask(authority) == 200, "an answer")
    assert ask(None) == ask(strangers) == 0


def test_a_renewed_certificate_is_shown_without_a_restart(start, tmp_path):
    first, second = trustme.CA(), trustme.CA()
    file = tmp_path / "server.pem"
    first.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(file)
    server = start("--tls-cert", str(file))
    server.url = server.url.replace("http://127.0.0.1", "https://localhost")

    def trusted_by(authority: trustme.CA) -> bool:
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return server.status("/health/live", verify=context) == 200

    until(lambda: trusted_by(first), "the first certificate")
    file.write_text("half a certificate")
    until(lambda: "stays as it was" in server.log, "a look at the new certificate")
    assert trusted_by(first)
    second.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(file)
    until(lambda: trusted_by(second), "the second certificate")
    assert not trusted_by(first)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_certificate_that_cannot_be_used_ends_with_a_message(start, tmp_path, workers):
    (tmp_path / "empty.pem").write_text("")
    code, log = start("--tls-cert", str(tmp_path / "empty.pem"), "--workers", workers).ended()
    assert code == 2
    assert f"the TLS certificate {tmp_path}/empty.pem cannot be used" in log
    assert "listening on" not in log and "Traceback" not in log


def test_a_key_that_wants_a_pass_phrase_is_refused_and_nobody_is_asked_for_one(tmp_path):
    pair = trustme.CA().issue_cert("localhost")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    key = load_pem_private_key(pair.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (tmp_path / "key.pem").write_bytes(encrypted)
    result = run("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"), "--port", "0")
    assert result.returncode == 2
    assert result.stderr.startswith("python -m service: the TLS certificate")
    assert "with the key" in result.stderr and "the key is encrypted" in result.stderr


@pytest.mark.parametrize("flag", ["--tls-cert", "--tls-key", "--tls-client-ca"])
def test_nobody_waits_for_a_pipe_in_the_place_of_a_certificate(tmp_path, flag):
    os.mkfifo(tmp_path / "pipe")
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    flags = {"--tls-cert": str(tmp_path / "cert.pem"), flag: str(tmp_path / "pipe")}
    result = run(*(part for pair in flags.items() for part in pair), "--port", "0")
    assert result.returncode == 2
    assert f"{tmp_path}/pipe cannot be used" in result.stderr and "it is no regular file" in result.stderr


@pytest.mark.parametrize("flag", ["--tls-key", "--tls-client-ca"])
def test_half_of_tls_is_no_permission_to_do_without(start, tmp_path, flag):
    (tmp_path / "some.pem").write_text("")
    code, log = start(flag, str(tmp_path / "some.pem")).ended()
    assert code == 2
    assert f"not listening without TLS, for {flag} is given" in log


def test_a_replacement_that_finds_no_model_any_more_says_so_and_is_tried_again(start, launch_folder):
    server = start("--workers", "2").wait_until_ready()
    models = launch_folder / "models"
    models.rename(launch_folder / "elsewhere")
    try:
        os.kill(children(server.process.pid)[0], signal.SIGKILL)
        server.until(lambda: "cannot start: no model found" in server.log, "a word of the replacement")
    finally:
        (launch_folder / "elsewhere").rename(models)
    server.until(lambda: len(children(server.process.pid)) == 2, "a replacement")
    code, log = server.stop()
    assert code == 0
    assert "Traceback" not in log


def children(pid: int) -> list[int]:
    """Processes below `pid` that serve; multiprocessing's own helper is not one."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
            command = (path.parent / "cmdline").read_text()
        except OSError:
            continue
        if parent == pid and "spawn_main" in command:
            found.append(int(path.parent.name))
    return found


def test_workers_do_not_outlive_their_supervisor(start):
    server = start("--workers", "2").wait_until_ready()
    workers = children(server.process.pid)
    assert workers
    server.kill()
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), "the end of the workers")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_key_is_revoked_and_another_let_in_without_a_restart(start, tmp_path, workers):
    file = tmp_path / "keys"
    old = add_key(file, "old", ["infer"], 0)
    server = start("--keys", str(file), "--workers", str(workers)).wait_until_ready()

    def statuses(key):
        # each over a connection of its own, so that every process is asked
        return {get(server.url + "/v1/models", headers={"authorization": f"Bearer {key}"}).status_code
                for _ in range(8)}  # fmt: skip

    assert statuses(old) == {200}
    file.unlink()
    new = add_key(file, "new", ["infer"], 0)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: (statuses(old), statuses(new)) == ({401}, {200}), "the new keys")
    assert server.process.poll() is None
    server.stop()


def listening(port: int) -> set[str]:
    """Addresses on which somebody listens on a port."""
    rows = [line.split() for file in ("tcp", "tcp6") for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]]
    ends = [local.split(":") for _, local, _, state, *_ in rows if state == "0A"]
    return {address for address, number in ends if int(number, 16) == port}
