"""Text Embeddings Inference's classifier routes: POST /predict and GET /info.

Its trap: ["a", "b"] is one input, a pair, where Hugging Face means two texts. [["a"], ["b"]] is a batch. A pair is for
a model that reads two texts together.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

from service import foreign_schemas as schemas
from service.answer import Answer, json_answer
from service.call import Call
from service.errors import InvalidRequestError
from service.route import Route
from service.routes.foreign import ERRORS, Foreign, documented, errors_as, flag

TYPES = {422: "Validation", 429: "Overloaded", 500: "Backend", 503: "Unhealthy"}
EMPTY = "`inputs` cannot be empty"
NOT_INPUTS = "`inputs` must be a string, a list of strings that are read together, or a list of such lists"


def _error(status: int, code: str, message: str) -> tuple[int, Any]:
    if message == EMPTY:
        return 400, {"error": f"Input validation error: {message}", "error_type": "Empty"}
    # it has a status of its own for a model that failed
    return 424 if status == 500 else status, {"error": message, "error_type": TYPES.get(status, "Validation")}


def routes(foreign: Foreign) -> list[Route]:
    @errors_as(_error)
    async def predict_tei(call: Call) -> Answer:
        """Labels in the format of Text Embeddings Inference."""
        content = await foreign.read(call)
        deployment = foreign.registry.choose()
        if flag(content, "raw_scores"):
            raise InvalidRequestError("`raw_scores`: this model gives probabilities only")
        if content.get("truncate") is not None and not flag(content, "truncate"):
            raise InvalidRequestError("`truncate`: this model always cuts what is longer than it reads")
        if content.get("truncation_direction") not in (None, "Right", "right"):
            raise InvalidRequestError("`truncation_direction`: this model cuts where it was trained to")
        texts, single = _texts(content.get("inputs"))
        started = perf_counter()
        predictions = await foreign.classify(call, deployment, texts, "inputs")
        answer = [
            [{"score": score.probability, "label": score.label} for score in prediction.top]
            for prediction in predictions
        ]
        headers = {
            "x-compute-type": "cpu",
            "x-compute-characters": str(sum(len("".join(text)) for text in texts)),
            "x-inference-time": str(round((perf_counter() - started) * 1000)),
            "x-total-time": str(round((perf_counter() - call.arrived) * 1000)),
        }
        return json_answer(answer[0] if single else answer, headers=headers)

    @errors_as(_error)
    async def info_tei(call: Call) -> Answer:
        """The model, in the format of Text Embeddings Inference."""
        deployment = foreign.registry.choose()
        labels = deployment.labels
        settings = foreign.settings
        return json_answer(
            {
                "model_id": deployment.name,
                "model_sha": deployment.version,
                "model_dtype": settings.table_precision,
                "served_model_name": deployment.name,
                "model_type": {
                    "classifier": {
                        "id2label": {str(number): label for number, label in enumerate(labels)},
                        "label2id": {label: number for number, label in enumerate(labels)},
                    }
                },
                "max_concurrent_requests": settings.max_texts,
                "max_input_length": deployment.classifier.max_length,
                "max_batch_tokens": settings.max_batch_chars,
                "max_batch_requests": settings.max_batch_texts,
                "max_client_batch_size": settings.max_texts,
                "auto_truncate": True,
                "tokenization_workers": 1,
                "version": "1",
                "sha": None,
                "docker_label": None,
            }
        )

    return [
        Route(
            method="POST", endpoint=predict_tei, needs="infer", errors=(*ERRORS, 424),
            **documented("/predict", schemas.TEIResponse, body=schemas.TEIRequest, error=schemas.TEI),
        ),
        Route(
            method="GET", endpoint=info_tei, needs="infer", errors=ERRORS,
            **documented("/info", schemas.TEIInfo, error=schemas.TEI),
        ),
    ]  # fmt: skip


def _texts(inputs: Any) -> tuple[list[Any], bool]:
    """The texts, and whether it was one input and no batch. Raises InvalidRequestError."""
    if type(inputs) is str:
        return [inputs], True
    if type(inputs) is not list:
        raise InvalidRequestError(NOT_INPUTS)
    if not inputs:
        raise InvalidRequestError(EMPTY)
    if all(type(part) is str for part in inputs):
        return [inputs[0] if len(inputs) == 1 else inputs], True
    if not all(type(part) is list and part for part in inputs):
        raise InvalidRequestError(NOT_INPUTS)
    return [part[0] if len(part) == 1 else part for part in inputs], False
