from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import CliApp

from service.settings import Settings, default_models_folder, describe_faults, misspelled


def test_a_flag_overrides_the_environment_which_overrides_the_default(monkeypatch):
    monkeypatch.setenv("TEXTCNN_PORT", "9001")
    monkeypatch.setenv("TEXTCNN_MAX_TEXTS", "7")
    settings = CliApp.run(Settings, cli_args=["--port", "9002", "--no-docs"])
    assert (settings.port, settings.max_texts, settings.host, settings.docs) == (9002, 7, "127.0.0.1", False)


def test_an_empty_variable_counts_as_not_given(monkeypatch):
    monkeypatch.setenv("TEXTCNN_PORT", "")
    assert Settings().port == 8000


def test_every_fault_is_reported_with_both_names_of_the_setting():
    with pytest.raises(ValidationError) as caught:
        Settings(port=70000, device="tpu", max_texts=0)
    lines = describe_faults(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "--port / TEXTCNN_PORT",
        "--device / TEXTCNN_DEVICE",
        "--max-texts / TEXTCNN_MAX_TEXTS",
    ]
    assert "(given: 70000)" in lines[0]


def test_models_are_taken_from_here_before_those_that_ship(tmp_path, monkeypatch):
    monkeypatch.setattr("service.settings.CHECKOUT", tmp_path / "checkout")
    monkeypatch.chdir(tmp_path)
    assert default_models_folder() == Path("models")
    (tmp_path / "checkout" / "models").mkdir(parents=True)
    assert default_models_folder() == tmp_path / "checkout" / "models"
    (tmp_path / "models").mkdir()
    assert default_models_folder() == Path("models")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "localhost", "LocalHost", "::1", "[::1]", "0:0::1"])
def test_an_address_that_only_this_machine_reaches_is_local(host):
    settings = Settings(host=host, admin_host=host)
    assert settings.is_local and settings.admin_is_local
    assert settings.host_names == settings.admin_host_names >= {"localhost", "127.0.0.1", "[::1]", settings.host}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "127.example.org", "localhost.example.org", "10.0.0.1"])
def test_a_name_or_an_address_that_others_may_reach_is_not(host):
    settings = Settings(host=host, admin_host=host)
    assert not settings.is_local and not settings.admin_is_local
    assert settings.host_names == settings.admin_host_names == frozenset()


def test_names_of_hosts_are_taken_as_clients_send_them():
    settings = Settings(hosts=" A.example ,bücher.example,, [::1],b.example:8443")
    assert settings.host_names == {"a.example", "xn--bcher-kva.example", "[::1]", "b.example:8443"}
    assert Settings(host="0.0.0.0", hosts=" , ").host_names == frozenset()


@pytest.mark.parametrize("name", ["*", "*.example", "http://a.example", "a b", "a..b", "\udcff", "a" * 64])
def test_what_is_no_name_of_a_host_is_refused_and_does_not_just_match_nothing(name):
    with pytest.raises(ValidationError) as caught:
        Settings(hosts=f"a.example,{name}")
    said = describe_faults(caught.value)
    assert said.startswith(f"--hosts / TEXTCNN_HOSTS: {name!r} is no name of a host")


@pytest.mark.parametrize("setting", ["max_wait_ms", "max_timeout_ms", "max_texts", "workers"])
def test_a_number_that_no_clock_could_count_is_refused(setting):
    assert getattr(Settings(**{setting: 10**12}), setting) == 10**12
    with pytest.raises(ValidationError, match="less than or equal to"):
        Settings(**{setting: 10**400})


@pytest.mark.parametrize(
    ("setting", "taken", "refused"),
    [
        ("port", [0, 65_535], [-1, 65_536]), ("admin_port", [0, 65_535], [-1, 65_536]), ("threads", [0], [-1]),
        ("drain_seconds", [0.01, 3600], [0, -1, 3600.5, float("nan")]), ("header_timeout", [3600], [0, 3600.5]),
    ],
)  # fmt: skip
def test_what_would_make_no_sense_is_refused(setting, taken, refused):
    for value in taken:
        assert getattr(Settings(**{setting: value}), setting) == value
    for value in refused:
        with pytest.raises(ValidationError):
            Settings(**{setting: value})


def test_of_itself_it_is_one_process_for_this_machine_alone_that_keeps_nothing():
    settings = Settings()
    assert settings.is_local and settings.admin_port == 0 and settings.workers == 1
    assert settings.feedback is settings.keys is settings.tls_cert is None
    assert not settings.allow_anonymous
    assert Settings(host="[fe80::1").host == "[fe80::1"
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1


def test_a_variable_that_is_nearly_a_setting_is_named_with_the_one_that_may_be_meant(monkeypatch):
    for name in ("TEXTCNN_KEY", "textcnn_modle", "TEXTCNN_PORT", "textcnn_host", "TEXTCNN_NATIVE", "TEXTCNN_RUNS"):
        monkeypatch.setenv(name, "")
    for name in ("TEXTCNN_PORT_8000_TCP", "TEXTCNN_SERVICE_HOST", "OTHER_MODLES", "TEXTCNN_WORKER_NUMBER"):
        monkeypatch.setenv(name, "tcp://10.0.0.1:8000")
    assert misspelled() == [
        "TEXTCNN_KEY is no setting, and has no effect; did you mean TEXTCNN_KEYS?",
        "textcnn_modle is no setting, and has no effect; did you mean TEXTCNN_MODEL?",
    ]


def test_what_kubernetes_puts_into_the_environment_is_explained(monkeypatch):
    monkeypatch.setenv("TEXTCNN_PORT", "tcp://10.0.0.1:8000")
    with pytest.raises(ValidationError) as caught:
        Settings()
    first, second = describe_faults(caught.value).splitlines()
    assert first.startswith("--port / TEXTCNN_PORT:")
    assert "enableServiceLinks: false" in second and "--port" in second
