"""The models that answer: loaded aside, tried, swapped in; the one before stays at hand."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service.deployment import Classifier, Deployment, warm_up
from service.errors import InvalidRequestError, NotReadyError, UnknownModelError
from service.files import read_file
from service.find_model import find_served, list_versions
from service.golden import FILE as GOLDEN
from service.golden import check_golden
from service.memory import trim_heaps
from service.metrics import Metrics
from service.plan import FILE, LIVE, PREVIOUS, ModelPlan, Plans, is_name, locked_plans, read_plans, write_plans
from service.settings import Settings
from textcnn.errors import ArtifactError, TextCNNError

log = logging.getLogger(__name__)

Load = Callable[[Path], Classifier]
POLL_SECONDS = 0.5
MANIFEST = "manifest.json"
NAMES_SHOWN = 20  # in a message
FREE_SECONDS = 1.0  # from the last answer of a version until its thread, and what its requests left, are gone
NOT_LOADED = "The model is still loading; try again shortly. /health/ready says when it answers."


def load_classifier(path: Path, settings: Settings) -> Classifier:
    """`TextClassifier.load`, imported in the thread that loads: it may bring torch, and the service answers before."""
    from textcnn import TextClassifier

    return TextClassifier.load(
        path,
        engine=settings.engine,
        device=settings.device,
        table_precision=settings.table_precision,
        table_budget=int(settings.table_budget),
        threads=settings.threads,
    )


class ModelRegistry:
    """Every loaded version by name, and the plan that says which of them answers. Lives on one event loop.

    Raises ArtifactError where there is no model.
    """

    def __init__(self, settings: Settings, metrics: Metrics, load: Load) -> None:
        self._settings = settings
        self._metrics = metrics
        self._load = load
        self._root = settings.models
        self._loaded: dict[str, dict[str, Deployment]] = {}
        self._plans: Plans = {}
        self._manifests: dict[tuple[str, str], bytes] = {}  # of what was loaded, as it was then
        self._changing = asyncio.Lock()
        self._stamp = self._file_stamp()
        self._closed = False
        # where the operator named a version, that one answers, whatever the file says
        self._paths, self._default, self._fixed = find_served(self._root, settings.model, settings.default_model)

    async def start(self) -> None:
        """Bring up every model, and of serving.json's others those that can be.

        Raises TextCNNError, or whatever else loading raised.
        """
        wanted = read_plans(self._root)
        for name, path in self._paths.items():
            asked = wanted.pop(name, ModelPlan())
            plan = self._on_disk_only(name, asked)
            if LIVE in asked.aliases and LIVE not in plan.aliases:
                log.warning("%s/%s answers, for what was live is gone", name, path.name)
            if name in self._fixed or LIVE not in plan.aliases:
                plan = plan.activated(path.name)
            await self._apply(name, plan)
        for name, plan in wanted.items():
            await self._follow(name, plan)

    async def watch(self) -> None:
        """Follow serving.json, so that all processes serve what one was told to. Never returns."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            stamp = self._file_stamp()
            if stamp == self._stamp:
                continue
            self._stamp = stamp
            async with self._changing:
                try:
                    plans = read_plans(self._root)
                except ArtifactError as error:
                    log.error("%s is not followed: %s", FILE, error)
                    continue
                for name, plan in plans.items():
                    if name not in self._fixed:
                        await self._follow(name, plan)

    def choose(self, asked: str = "") -> Deployment:
        """Who answers: the default model, or as asked: `name`, `name/version` or `name/alias`.

        Raises NotReadyError while it is loading, UnknownModelError, InvalidRequestError where one has to be named.
        """
        name, _, version = asked.partition("/")
        name = name or self._default or self._unnamed()
        versions = self._loaded.get(name)
        if not versions:
            if name in self._paths:
                raise NotReadyError(NOT_LOADED)
            raise UnknownModelError(f"There is no model {asked[:130]!r}; /v1/models lists them.")
        plan = self._plans[name]
        if not version:
            version = _drawn(plan.weights) if plan.weights else plan.aliases[LIVE]
        else:
            version = plan.aliases.get(version, version)
        deployment = versions.get(version)
        if deployment is None:
            raise UnknownModelError(f"There is no model {asked[:130]!r} loaded; /v1/models lists them.")
        return deployment

    def _unnamed(self) -> str:
        self.check_ready()
        names = sorted(self._loaded)
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        raise InvalidRequestError(
            f"Name the model that is to answer: {', '.join(names[:NAMES_SHOWN])}{more}. "
            "(The service was started with several and without --default-model.)"
        )

    def shadow_of(self, deployment: Deployment) -> Deployment | None:
        """The version that is to answer the same texts unseen."""
        shadow = self._plans[deployment.name].shadow
        if shadow is None or shadow == deployment.version:
            return None
        return self._loaded[deployment.name].get(shadow)

    def check_ready(self) -> None:
        """Raises NotReadyError until every model has been loaded and has answered once."""
        if not all(name in self._loaded for name in self._paths):
            raise NotReadyError(NOT_LOADED)

    def all(self) -> list[Deployment]:
        """Every loaded version."""
        return [deployment for versions in self._loaded.values() for deployment in versions.values()]

    def overview(self) -> dict[str, Any]:
        """Versions on disk and loaded, and the plan, of every model. Raises OSError."""
        on_disk = self.on_disk()
        names = sorted({*on_disk, *self._loaded})
        return {
            name: {
                "on_disk": on_disk.get(name, []),
                "loaded": list(self._loaded.get(name, {})),
                **self._plans.get(name, ModelPlan()).model_dump(),
            }
            for name in names
        }

    @property
    def plans(self) -> Plans:
        return dict(self._plans)

    @property
    def default(self) -> str | None:
        """The model that answers what names none; None where every request has to name one."""
        return self._default or None

    def on_disk(self) -> dict[str, list[str]]:
        """Complete versions of each model in the models folder, lowest first."""
        return list_versions(self._root)

    async def activate(self, name: str, version: str) -> ModelPlan:
        """Make a version live. Raises UnknownModelError, or ArtifactError and leaves all as it was."""

        def edit(plan: ModelPlan) -> ModelPlan:
            loaded = version in self._loaded.get(name, {})
            if loaded and _manifest(path := self._path(name, version)) != self._manifests[name, version]:
                raise ArtifactError(
                    f"{path} was written anew after it was loaded, and what was loaded answers; give the new one "
                    "another version, or start the service again"
                )
            return plan.activated(version)

        return await self.change(name, edit)

    async def roll_back(self, name: str) -> ModelPlan:
        """Make what was live before live again; it is loaded, so this takes no time. Raises ArtifactError."""

        def back(plan: ModelPlan) -> ModelPlan:
            if PREVIOUS not in plan.aliases:
                raise ArtifactError(f"model {name} has no version to go back to")
            return plan.activated(plan.aliases[PREVIOUS])

        return await self.change(name, back)

    async def change(self, name: str, edit: Callable[[ModelPlan], ModelPlan]) -> ModelPlan:
        """Apply a changed plan here and write it down for the other processes."""
        async with self._changing, locked_plans(self._root):
            if name not in self.on_disk():
                raise UnknownModelError(f"There is no model {name[:64]!r} on disk.")
            before = self._plans.get(name)
            plans = read_plans(self._root)
            # another process may have been told since; what the operator named is in no file
            known = before if name in self._fixed else plans.get(name, before)
            for version in known.versions if known else ():
                if not is_name(version):
                    raise ArtifactError(f"the version {version!r} cannot be named in a plan; rename its folder")
            plan = edit(self._on_disk_only(name, known or ModelPlan()))
            await self._apply(name, plan)
            try:
                write_plans(self._root, {**plans, name: plan})
            except ArtifactError:  # what the other processes cannot learn of must not be served by this one alone
                if before:
                    await self._apply(name, before)
                else:
                    del self._plans[name]
                    for deployment in self._loaded.pop(name).values():
                        deployment.retire(self._tidy_soon)
                raise
        return plan

    def close(self) -> None:
        """Let go of every version. Memory is the system's soon, when the process ends."""
        self._closed = True
        for deployment in self.all():
            deployment.retire()
        self._loaded.clear()

    async def _follow(self, name: str, plan: ModelPlan) -> None:
        """As `_apply`; what cannot be done is logged, and the other models go on."""
        try:
            await self._apply(name, plan)
        except Exception as error:  # whatever it is: a version that fails must not end the following of the others
            expected = isinstance(error, TextCNNError)
            log.error("%s is not followed for model %s: %s", FILE, name, error, exc_info=not expected)

    def _on_disk_only(self, name: str, plan: ModelPlan) -> ModelPlan:
        """The plan without the versions that are gone, which is logged."""
        there = list(self.on_disk().get(name, []))
        if name in self._paths:
            there.append(self._paths[name].name)
        found = plan.only(there)
        if gone := [version for version in plan.versions if version not in there]:
            log.warning("%s names versions of model %s that are gone: %s", FILE, name, ", ".join(gone))
        return found

    async def _apply(self, name: str, plan: ModelPlan) -> None:
        """Load what the plan needs, then switch to it in one step. If anything fails, nothing has changed."""
        if LIVE not in plan.aliases:
            raise ArtifactError(f"the plan of model {name} has no alias {LIVE!r}")
        if plan.weights and not any(plan.weights.values()):
            raise ArtifactError(f"the weights of model {name} are all 0")
        have = self._loaded.get(name, {})
        fresh: dict[str, Deployment] = {}
        try:
            for version in plan.versions:
                if version not in have:
                    fresh[version] = await self._bring_up(name, version)
        except BaseException:  # being cancelled too
            for deployment in fresh.values():
                deployment.retire()
            self._tidy_soon()
            raise
        known = {**have, **fresh}
        self._loaded[name] = {version: known[version] for version in plan.versions}
        self._plans[name] = plan
        for version, deployment in have.items():
            if version not in plan.versions:
                deployment.retire(self._tidy_soon)

    def _tidy_soon(self) -> None:
        asyncio.get_running_loop().call_later(FREE_SECONDS, self._tidy)

    def _tidy(self) -> None:
        """Memory of versions that are let go, and of loading, goes back to the system."""
        if self._closed:  # threads for it there may be no more
            return
        # A deployment and its batcher hold each other, and their tables are too large to wait for the collector.
        gc.collect()
        asyncio.get_running_loop().run_in_executor(None, trim_heaps)

    def _path(self, name: str, version: str) -> Path:
        """Raises ArtifactError for what is no name, but might lead out of the folder."""
        path = self._paths.get(name)
        if path is not None and path.name == version:
            return path
        if not is_name(name) or not is_name(version):
            raise ArtifactError(f"{name}/{version} is no name of a model")
        return self._root / name / version

    async def _bring_up(self, name: str, version: str) -> Deployment:
        path, manifest = self._path(name, version), b""

        def load() -> tuple[Classifier, list[tuple[int, float]]]:
            nonlocal manifest
            manifest = _manifest(path)
            classifier = self._load(path)
            check_golden(classifier, path.parent / GOLDEN)
            return classifier, warm_up(classifier)

        try:
            classifier, timings = await asyncio.to_thread(load)
        except Exception as error:  # a damaged model may fail in any way
            self._metrics.reloads.labels("failed").inc()
            if isinstance(error, TextCNNError):
                raise
            log.exception("a model cannot be loaded", extra={"fields": {"model": name, "version": version}})
            raise ArtifactError(f"{path} cannot be loaded: {type(error).__name__}, which the log has in full") from None
        self._metrics.reloads.labels("ok").inc()
        self._manifests[name, version] = manifest
        deployment = Deployment(
            classifier,
            self._metrics,
            name=name,
            version=version,
            max_batch_texts=self._settings.max_batch_texts,
            max_batch_chars=self._settings.max_batch_chars,
        )
        for cost, seconds in timings:
            deployment.batcher.pace.learn(cost, seconds)
        fields = {"model": deployment.name, "version": deployment.version, "engine": classifier.engine_name}
        log.info("loaded", extra={"fields": fields})
        return deployment

    def _file_stamp(self) -> tuple[int, int] | None:
        try:
            status = (self._root / FILE).stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino


def _manifest(path: Path) -> bytes:
    """What tells a model from another in its place: it has the hashes of all its files."""
    try:
        return read_file(path / MANIFEST)
    except OSError:  # which whoever loads it says
        return b""


def _drawn(weights: dict[str, int]) -> str:
    return random.choices(list(weights), list(weights.values()))[0]
