from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from service.batcher import ClosedError
from service.deployment import Deployment
from service.errors import InvalidRequestError, NotReadyError, UnknownModelError
from service.metrics import Metrics
from service.model_registry import ModelRegistry, load_classifier
from service.plan import ModelPlan
from service.settings import Settings
from textcnn.errors import ArtifactError

from ..patience import PATIENCE

pytestmark = pytest.mark.anyio


@pytest.fixture
def loads(classifier):
    """Loads every version but those called broken, and notes which."""

    class Loads(list):
        def __call__(self, path: Path):
            self.append(f"{path.parent.name}/{path.name}")
            if (path / "broken").exists():
                raise ArtifactError("weights are damaged")
            return classifier

    return Loads()


@pytest.fixture
async def registry(make_model, tmp_path, loads):
    for path in ("models/m/1", "models/m/2", "models/other/1"):
        make_model(path)
    (make_model("models/m/bad") / "broken").touch()
    made = ModelRegistry(Settings(models=tmp_path / "models", model="m/1,other"), Metrics(), loads)
    yield made
    made.close()


def versions(registry):
    return {f"{deployment.name}/{deployment.version}" for deployment in registry.all()}


async def test_a_registry_is_not_ready_before_its_models_are_loaded(registry):
    for asked in ("", "m", "m/1", "other"):
        with pytest.raises(NotReadyError):
            registry.choose(asked)
    with pytest.raises(NotReadyError):
        registry.check_ready()
    await registry.start()
    registry.check_ready()
    assert versions(registry) == {"m/1", "other/1"}
    assert registry.choose() is registry.choose("m") is registry.choose("m/1") is registry.choose("m/live")
    assert registry.choose("other").name == "other"


@pytest.fixture
def serving(make_model, tmp_path, loads):
    """A registry of models a and b, with some settings, once it has started."""
    for path in ("models/a/1", "models/b/1"):
        make_model(path)
    made: list[ModelRegistry] = []

    async def serve(**settings):
        made.append(ModelRegistry(Settings(models=tmp_path / "models", **settings), Metrics(), loads))
        await made[-1].start()
        return made[-1]

    yield serve
    for registry in made:
        registry.close()


async def test_without_a_name_all_models_are_served_and_each_request_names_one(serving):
    registry = await serving()
    assert versions(registry) == {"a/1", "b/1"}
    assert registry.default is None
    for asked in ("", "/1", "/live"):
        with pytest.raises(InvalidRequestError, match=r"Name the model that is to answer: a, b\."):
            registry.choose(asked)
    assert registry.choose("b").name == "b"


@pytest.mark.parametrize(("count", "said"), [(20, r"m19\. \("), (22, r"m19 and 2 more\. \(")])
async def test_of_many_models_some_are_named_to_whoever_names_none(make_model, tmp_path, loads, count, said):
    for number in range(count):
        make_model(f"models/m{number:02}/1")
    registry = ModelRegistry(Settings(models=tmp_path / "models"), Metrics(), loads)
    await registry.start()
    with pytest.raises(InvalidRequestError, match=said):
        registry.choose()
    assert list(registry.overview()) == [f"m{number:02}" for number in range(count)]
    registry.close()


@pytest.mark.parametrize(
    ("settings", "default"),
    [({"model": "b,a"}, "b"), ({"default_model": "b"}, "b"), ({"model": "a,b", "default_model": "b"}, "b"),
     ({"model": "b"}, "b"), ({"model": " a , "}, "a")],
)  # fmt: skip
async def test_the_first_that_is_named_or_the_one_that_is_said_answers_what_names_none(serving, settings, default):
    registry = await serving(**settings)
    assert (registry.default, registry.choose().name) == (default, default)


async def test_a_default_that_is_not_served_is_refused_with_what_is(serving):
    with pytest.raises(ArtifactError, match="--default-model 'c' is none of those served: a, b"):
        await serving(default_model="c")
    with pytest.raises(ArtifactError, match="is none of those served: a"):
        await serving(model="a", default_model="b")


async def test_before_they_are_loaded_a_request_that_names_none_is_told_to_wait(make_model, tmp_path, loads):
    for path in ("models/a/1", "models/b/1"):
        make_model(path)
    with pytest.raises(NotReadyError):
        ModelRegistry(Settings(models=tmp_path / "models"), Metrics(), loads).choose()


@pytest.mark.parametrize("asked", ["nothing", "m/2", "m/none", "m/", "/", "../m", "m/../m/1", "m/1/"])
async def test_what_is_not_loaded_is_unknown(registry, asked):
    await registry.start()
    if asked in ("m/", "/"):
        assert registry.choose(asked).version == "1"
        return
    with pytest.raises(UnknownModelError):
        registry.choose(asked)


async def test_a_version_is_activated_and_rolled_back_without_loading_again(registry, loads, tmp_path):
    await registry.start()
    await registry.activate("m", "2")
    assert registry.choose().version == "2"
    assert versions(registry) == {"m/1", "m/2", "other/1"}
    plan = json.loads((tmp_path / "models" / "serving.json").read_text())["m"]
    assert plan["aliases"] == {"live": "2", "previous": "1"}
    await registry.roll_back("m")
    assert registry.choose().version == "1"
    assert loads.count("m/1") == loads.count("m/2") == 1


async def test_a_version_that_was_written_anew_in_its_place_is_not_said_to_answer(registry, loads, tmp_path):
    await registry.start()
    await registry.activate("m", "2")
    for version in ("1", "2"):
        file = tmp_path / "models" / "m" / version / "manifest.json"
        file.write_text("{}")  # the same again, as whoever copies all models does
        await registry.activate("m", version)
        file.write_text('{"created": "later"}')
        with pytest.raises(ArtifactError, match=f"m/{version} was written anew after it was loaded"):
            await registry.activate("m", version)
        assert registry.choose().version == version
    await registry.roll_back("m")  # to what is loaded, whatever became of the disk
    assert registry.choose().version == "1"
    assert sorted(loads) == ["m/1", "m/2", "other/1"]


async def test_a_broken_version_replaces_nothing(registry, tmp_path):
    await registry.start()
    before = registry.choose()
    for version in ("bad", "none"):
        with pytest.raises(ArtifactError):
            if version == "none":
                (tmp_path / "models" / "m" / "none").mkdir()
                (tmp_path / "models" / "m" / "none" / "broken").touch()
            await registry.activate("m", version)
        assert registry.choose() is before
    assert not (tmp_path / "models" / "serving.json").exists()


@pytest.mark.parametrize("version", ["../../elsewhere/7", "..", "1/../2", ".hidden", ""])
async def test_a_version_is_never_a_path(registry, loads, make_model, version):
    make_model("elsewhere/7")
    make_model("models/m/.hidden")
    await registry.start()
    before = list(loads)
    with pytest.raises(ArtifactError, match="is no name of a model"):
        await registry.activate("m", version)
    assert loads == before and registry.choose().version == "1"


async def test_versions_that_came_up_before_one_that_did_not_are_let_go(registry, monkeypatch):
    await registry.start()
    retired = []
    real = Deployment.retire
    monkeypatch.setattr(Deployment, "retire", lambda self, *rest: (retired.append(self.version), real(self, *rest)))
    with pytest.raises(ArtifactError, match="weights are damaged"):
        await registry.change("m", lambda plan: ModelPlan(aliases={"live": "2", "next": "bad"}))
    assert retired == ["2"]
    assert versions(registry) == {"m/1", "other/1"}


async def test_models_that_are_brought_in_are_counted_by_how_it_went(make_model, tmp_path, loads):
    make_model("models/m/1")
    (make_model("models/m/2") / "broken").touch()
    metrics = Metrics()
    registry = ModelRegistry(Settings(models=tmp_path / "models", model="m/1"), metrics, loads)
    await registry.start()
    with pytest.raises(ArtifactError):
        await registry.activate("m", "2")
    assert [metrics.reloads.labels(how)._value.get() for how in ("ok", "failed")] == [1, 1]
    registry.close()


async def test_a_version_that_fails_in_a_way_that_nobody_expected_replaces_nothing_and_says_what(
    registry, loads, monkeypatch, caplog
):
    await registry.start()
    before = registry.choose()

    def fail(path):
        raise MemoryError("no room")

    monkeypatch.setattr(registry, "_load", fail)
    with pytest.raises(ArtifactError, match="m/2 cannot be loaded: MemoryError, which the log has"):
        await registry.activate("m", "2")
    assert registry.choose() is before
    assert "no room" in caplog.text


async def test_a_model_without_a_version_before_cannot_be_rolled_back(registry):
    await registry.start()
    with pytest.raises(ArtifactError, match="no version to go back to"):
        await registry.roll_back("m")


async def test_a_version_whose_name_fits_in_no_plan_answers_and_is_left_alone(make_model, tmp_path, loads):
    for path in ("models/m/1", "models/m/2 (copy)"):
        make_model(path)
    registry = ModelRegistry(Settings(models=tmp_path / "models"), Metrics(), loads)
    await registry.start()
    assert registry.choose().version == "2 (copy)"
    with pytest.raises(ArtifactError, match="rename its folder"):
        await registry.activate("m", "1")
    assert registry.choose().version == "2 (copy)"
    registry.close()


async def test_weights_share_the_requests_out(registry):
    await registry.start()
    await registry.change("m", lambda plan: plan.model_copy(update={"weights": {"1": 3, "2": 1}}))
    drawn = [registry.choose().version for _ in range(400)]
    assert 240 < drawn.count("1") < 360
    assert registry.choose("m/2").version == "2"
    await registry.change("m", lambda plan: plan.model_copy(update={"weights": {"1": 0, "2": 1}}))
    assert {registry.choose().version for _ in range(100)} == {"2"}


async def test_weights_that_are_all_zero_are_refused(registry):
    await registry.start()
    with pytest.raises(ArtifactError, match="all 0"):
        await registry.change("m", lambda plan: plan.model_copy(update={"weights": {"1": 0}}))
    assert registry.choose().version == "1"


async def test_a_version_that_is_no_longer_named_is_freed_when_nobody_uses_it(registry):
    await registry.start()
    await registry.activate("m", "2")
    old = registry.choose("m/1")
    with old.held():
        await registry.change("m", lambda plan: plan.model_copy(update={"aliases": {"live": "2"}}))
        assert versions(registry) == {"m/2", "other/1"}
        assert await old.batcher.submit([("banana", 1)], [6])
    with pytest.raises(Exception, match="closed"):
        await old.batcher.submit([("banana", 1)], [6])


def given_back_by(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Set as soon as the registry gives memory back, for which it does not wait."""
    given_back = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr("service.model_registry.FREE_SECONDS", 0.0)
    monkeypatch.setattr("service.model_registry.trim_heaps", lambda: loop.call_soon_threadsafe(given_back.set))
    return given_back


async def test_memory_is_given_back_when_the_last_request_of_a_version_is_over_and_not_before(registry, monkeypatch):
    given_back = given_back_by(monkeypatch)
    await registry.start()
    await registry.activate("m", "2")
    with registry.choose("m/1").held():
        await registry.change("m", lambda plan: plan.model_copy(update={"aliases": {"live": "2"}}))
        await asyncio.sleep(0.05)
        assert not given_back.is_set()
    async with asyncio.timeout(PATIENCE):
        await given_back.wait()


async def test_memory_is_given_back_when_a_version_could_not_be_loaded(registry, monkeypatch):
    given_back = given_back_by(monkeypatch)
    await registry.start()
    with pytest.raises(ArtifactError):
        await registry.activate("m", "bad")
    async with asyncio.timeout(PATIENCE):
        await given_back.wait()


async def test_a_registry_that_is_closed_gives_nothing_back_for_there_may_be_no_threads_any_more(registry, monkeypatch):
    monkeypatch.setattr("service.model_registry.FREE_SECONDS", 0.0)
    collected: list[str] = []
    monkeypatch.setattr("service.model_registry.gc", SimpleNamespace(collect=lambda: collected.append("collected")))
    await registry.start()
    with pytest.raises(ArtifactError):
        await registry.activate("m", "bad")
    registry.close()
    for _ in range(10):
        await asyncio.sleep(0)
    assert collected == []


async def test_another_process_changing_the_file_is_followed(registry, make_model, tmp_path, loads, monkeypatch):
    monkeypatch.setattr("service.model_registry.POLL_SECONDS", 0.01)
    follower = ModelRegistry(Settings(models=tmp_path / "models", model="m"), Metrics(), loads)
    (tmp_path / "models" / "m" / "2" / "manifest.json").unlink()
    (tmp_path / "models" / "m" / "bad" / "manifest.json").unlink()
    follower = ModelRegistry(Settings(models=tmp_path / "models", model="m"), Metrics(), loads)
    await follower.start()
    (tmp_path / "models" / "m" / "2" / "manifest.json").write_text("{}")
    watching = asyncio.ensure_future(follower.watch())
    await registry.start()
    await registry.activate("m", "2")
    async with asyncio.timeout(PATIENCE):
        while follower.choose().version != "2":
            await asyncio.sleep(0.01)
    (tmp_path / "models" / "serving.json").write_text("half a fi")
    await asyncio.sleep(0.1)
    assert follower.choose().version == "2"
    watching.cancel()
    follower.close()


@pytest.fixture
async def processes(make_model, tmp_path, loads):
    """Two registries of the same folder, each as in a process of its own that has not heard of the other yet."""
    for version in ("1", "2", "3"):
        make_model(f"models/m/{version}")
    made = [ModelRegistry(Settings(models=tmp_path / "models", model="m"), Metrics(), loads) for _ in range(2)]
    for registry in made:
        await registry.start()
    yield made
    for registry in made:
        registry.close()


async def test_what_one_process_was_told_is_changed_further_by_another(processes):
    one, other = processes
    await one.activate("m", "1")
    await other.roll_back("m")
    assert other.choose().version == "3"


async def test_changes_told_to_two_processes_at_once_are_both_kept(processes, tmp_path):
    def alias(name, version):
        return lambda plan: plan.model_copy(update={"aliases": {**plan.aliases, name: version}})

    one, other = processes
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(one.change("m", alias("old", "1")), other.change("m", alias("older", "2")))
    plan = json.loads((tmp_path / "models" / "serving.json").read_text())["m"]
    assert plan["aliases"] == {"live": "3", "old": "1", "older": "2"}


async def test_a_restart_serves_what_was_live(registry, tmp_path, loads):
    await registry.start()
    await registry.activate("m", "2")
    again = ModelRegistry(Settings(models=tmp_path / "models", model="m"), Metrics(), loads)
    await again.start()
    assert again.choose().version == "2"
    again.close()
    fixed = ModelRegistry(Settings(models=tmp_path / "models", model="m/1"), Metrics(), loads)
    await fixed.start()
    assert fixed.choose().version == "1"
    fixed.close()


STALE = {
    "ill": {"aliases": {"live": "1"}},
    "m": {"aliases": {"live": "2", "previous": "9"}, "weights": {"9": 1}, "shadow": "9"},
    "other": {"aliases": {"live": "9"}},
}


async def test_what_is_no_longer_on_disk_keeps_nothing_else_from_starting(make_model, tmp_path, loads, caplog):
    for path in ("models/m/1", "models/m/2", "models/other/1", "models/other/2"):
        make_model(path)
    (make_model("models/ill/1") / "broken").touch()
    (tmp_path / "models" / "serving.json").write_text(json.dumps(STALE))
    registry = ModelRegistry(Settings(models=tmp_path / "models", model="m,other"), Metrics(), loads)
    await registry.start()
    registry.check_ready()
    assert (registry.choose("m").version, registry.choose("other").version) == ("2", "2")
    assert "model ill: weights are damaged" in caplog.text and "other/2 answers" in caplog.text
    assert "Traceback" not in caplog.text and "m/2 answers" not in caplog.text
    await registry.activate("m", "1")
    assert registry.choose("m").version == "1"
    registry.close()


async def test_a_stale_model_keeps_no_other_from_being_followed(registry, make_model, tmp_path, loads, monkeypatch):
    monkeypatch.setattr("service.model_registry.POLL_SECONDS", 0.01)
    follower = ModelRegistry(Settings(models=tmp_path / "models", model="m"), Metrics(), loads)
    (tmp_path / "models" / "other" / "1" / "broken").touch()
    (tmp_path / "models" / "serving.json").write_text(json.dumps({"m": {"aliases": {"live": "2"}}}))
    await follower.start()
    watching = asyncio.ensure_future(follower.watch())
    plans = {"other": {"aliases": {"live": "1"}}, "m": {"aliases": {"live": "1"}}}
    (tmp_path / "models" / "serving.json").write_text(json.dumps(plans))
    async with asyncio.timeout(PATIENCE):
        while follower.choose().version != "1":
            await asyncio.sleep(0.01)
    watching.cancel()
    follower.close()


async def test_a_model_that_fails_its_warm_up_is_not_published(classifier, monkeypatch, make_model, tmp_path):
    def fail(texts, *, top_k=1):
        raise RuntimeError("broken")

    make_model("models/m/1")
    monkeypatch.setattr(classifier, "classify", fail)
    registry = ModelRegistry(Settings(models=tmp_path / "models"), Metrics(), lambda path: classifier)
    with pytest.raises(ArtifactError, match=": RuntimeError, which"):
        await registry.start()
    assert registry.all() == []


def test_the_settings_reach_the_loader(monkeypatch):
    calls = []
    monkeypatch.setattr("textcnn.TextClassifier.load", lambda path, **options: calls.append((path, options)))
    settings = Settings(device="cuda", engine="torch", table_precision="int8", table_budget="200MB", threads=2)
    load_classifier(Path("m"), settings)
    options = {
        "device": "cuda", "engine": "torch", "table_precision": "int8", "table_budget": 200_000_000, "threads": 2,
    }  # fmt: skip
    assert calls == [(Path("m"), options)]


async def test_a_change_that_cannot_be_written_down_is_taken_back(registry, monkeypatch):
    await registry.start()

    def refuse(models, plans):
        raise ArtifactError("cannot write serving.json: Read-only file system")

    monkeypatch.setattr("service.model_registry.write_plans", refuse)
    with pytest.raises(ArtifactError, match="Read-only"):
        await registry.activate("m", "2")
    assert registry.choose().version == "1"
    assert versions(registry) == {"m/1", "other/1"}


async def test_of_a_model_that_was_not_served_before_nothing_is_left_of_such_a_change(serving, loads, monkeypatch):
    registry = await serving(model="a")

    def refuse(models, plans):
        raise ArtifactError("cannot write serving.json: Read-only file system")

    monkeypatch.setattr("service.model_registry.write_plans", refuse)
    with pytest.raises(ArtifactError, match="Read-only"):
        await registry.activate("b", "1")
    assert "b/1" in loads
    assert versions(registry) == {"a/1"} and list(registry.plans) == ["a"]
    with pytest.raises(UnknownModelError):
        registry.choose("b")


async def test_a_model_of_which_no_plan_speaks_is_served_without_a_word(serving, caplog):
    await serving()
    assert [record.message for record in caplog.records if record.levelname != "INFO"] == []


async def test_what_nobody_expected_of_a_plan_is_logged_in_full(registry, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(ModelRegistry, "_bring_up", lambda self, name, version: 1 / 0)
    await registry._follow("m", ModelPlan(aliases={"live": "2"}))
    assert "not followed for model m: division by zero" in caplog.text and "Traceback" in caplog.text


async def test_a_plan_without_a_live_version_is_refused(registry):
    await registry.start()
    with pytest.raises(ArtifactError, match="the plan of model m has no alias 'live'"):
        await registry.change("m", lambda plan: ModelPlan(aliases={"next": "2"}))
    assert registry.choose().version == "1"


async def test_what_is_not_on_disk_is_not_changed(registry):
    await registry.start()
    with pytest.raises(UnknownModelError, match="There is no model 'nothing' on disk"):
        await registry.activate("nothing", "1")


async def test_a_shadow_is_another_version_that_is_loaded(registry):
    await registry.start()
    await registry.change("m", lambda plan: plan.model_copy(update={"shadow": "2"}))
    shadow = registry.shadow_of(registry.choose("m/1"))
    assert shadow is registry.choose("m/2")
    assert registry.shadow_of(shadow) is registry.shadow_of(registry.choose("other")) is None


async def test_a_registry_that_is_closed_has_let_go_of_all_versions(registry):
    await registry.start()
    deployment = registry.choose()
    registry.close()
    assert registry.all() == []
    with pytest.raises(ClosedError):
        await deployment.batcher.submit([("banana", 1)], [6])
