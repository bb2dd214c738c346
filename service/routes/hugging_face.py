"""Hugging Face's text classification, as `huggingface_hub.InferenceClient` asks for it.

POST /models/{name}: {"inputs": "...", "parameters": {"top_k": 2}} gives [[{"label", "score"}, ...]], nested as both
official clients read it, though the published schema says flat. A list of inputs gives a list for each. The scores of
all labels are given as they are: a client that wants to abstain, or to give several labels, compares them itself.
"""

from __future__ import annotations

from typing import Any

from service import foreign_schemas as schemas
from service.answer import Answer, json_answer
from service.call import Call
from service.errors import InvalidRequestError
from service.route import Route
from service.routes.foreign import ERRORS, Foreign, documented, errors_as, plain_error, whole


def routes(foreign: Foreign) -> list[Route]:
    @errors_as(plain_error)
    async def classify_hugging_face(call: Call) -> Answer:
        """Labels in the format of Hugging Face's text classification."""
        content = await foreign.read(call)
        names = call.parameters
        deployment = foreign.registry.choose("/".join(names[key] for key in ("name", "version") if key in names))
        top_k = _top_k(content.get("parameters"), "sigmoid" if deployment.head["type"] == "multi_label" else "softmax")
        inputs = content.get("inputs")
        texts = [_text(one) for one in inputs] if type(inputs) is list else [_text(inputs)]
        predictions = await foreign.classify(call, deployment, texts, "inputs", top_k)
        answer = [
            [{"label": score.label, "score": score.probability} for score in prediction.top]
            for prediction in predictions
        ]
        return json_answer(answer)

    return [
        Route(
            method="POST",
            endpoint=classify_hugging_face,
            needs="infer",
            errors=ERRORS,
            **documented(path, schemas.HuggingFaceResponse, body=schemas.HuggingFaceRequest),
        )
        for path in ("/models/{name}", "/models/{name}/{version}")
    ]


def _text(given: Any) -> Any:
    """{"text": "...", "text_pair": "..."} is for a model that reads two texts together."""
    if type(given) is dict and given.keys() == {"text", "text_pair"}:
        return [given["text"], given["text_pair"]]
    return given


def _top_k(parameters: Any, function: str) -> int | None:
    """`function` makes this model's probabilities. Raises InvalidRequestError."""
    if parameters is None:
        return None
    if type(parameters) is not dict:
        raise InvalidRequestError("parameters must be an object.")
    if parameters.get("function_to_apply") not in (None, function):
        raise InvalidRequestError(f"function_to_apply: this model gives probabilities by {function} only.")
    return whole(parameters.get("top_k"), "top_k")
