"""Which engine runs a model: the first of ENGINES that can, and why the faster ones could not."""

from __future__ import annotations

import logging

from textcnn.artifact import Artifact
from textcnn.errors import ArtifactError, EngineError
from textcnn.inference.engine import Engine, EngineOfModels, EngineOptions
from textcnn.inference.wide import beside_ngrams
from textcnn.registry import ENGINES

log = logging.getLogger(__name__)
FASTEST_FIRST = ("ngram_table", "qrnn_table", "segment_table", "torch")


def select_engine(artifact: Artifact, *, engine: str = "auto", options: EngineOptions | None = None) -> Engine:
    """Build the engine named, or the fastest that can run the model; logs the reason for each one passed over.

    Raises EngineError if the named one cannot, or none can; ArtifactError for weights that do not fit.
    """
    artifact.check_answers()
    options = options or EngineOptions()
    reasons = []
    for name in FASTEST_FIRST if engine == "auto" else (engine,):
        try:
            chosen: type[EngineOfModels] = ENGINES.get(name)
        except ImportError as error:
            reasons.append(f"{name}: {error.name or error} is not installed")
            continue
        try:
            reason = chosen.why_not(artifact, options)
            if reason is None:
                for passed in reasons:
                    log.info("engine %s passed over", passed)
                log.info("engine %s runs %s/%s", name, artifact.name, artifact.version)
                built = chosen.from_artifact(artifact, options)
                if artifact.wide is None:
                    return built
                spells = artifact.config.model.embedding.spelled
                return beside_ngrams(built, artifact.wide, threads=options.threads, spells=spells)
        except (KeyError, TypeError, ValueError) as error:  # settings of a part that nobody has checked yet
            raise ArtifactError(
                f"the configuration of model {artifact.name}/{artifact.version} is not one that textcnn writes "
                f"({type(error).__name__}: {error}); copy or train the model again"
            ) from None
        reasons.append(f"{name}: {reason}")
    raise EngineError(f"no engine can run model {artifact.name}/{artifact.version}: {'; '.join(reasons)}")
