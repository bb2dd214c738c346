"""TensorFlow Serving's REST: POST /v1/models/{name}:predict and :classify, of the live version or of one."""

from __future__ import annotations

from typing import Any

from service.answer import Answer, json_answer
from service.call import Call
from service.errors import InvalidRequestError
from service.route import Route
from service.routes.foreign import ERRORS, Foreign, errors_as, plain_error


def routes(foreign: Foreign) -> list[Route]:
    @errors_as(plain_error)
    async def predict_tf_serving(call: Call) -> Answer:
        """Probabilities of all labels, in the model's order, in the format of TensorFlow Serving."""
        content = await foreign.read(call)
        deployment = foreign.registry.choose("/".join(call.parameters.values()))
        predictions = await foreign.classify(call, deployment, _texts(content, "instances"), "instances")
        rows = []
        for prediction in predictions:
            by_label = {score.label: score.probability for score in prediction.top}
            rows.append([by_label[label] for label in deployment.labels])
        return json_answer({"predictions": rows})

    @errors_as(plain_error)
    async def classify_tf_serving(call: Call) -> Answer:
        """Labels with their probabilities, in the format of TensorFlow Serving."""
        content = await foreign.read(call)
        deployment = foreign.registry.choose("/".join(call.parameters.values()))
        predictions = await foreign.classify(call, deployment, _texts(content, "examples"), "examples")
        result = [[[score.label, score.probability] for score in prediction.top] for prediction in predictions]
        return json_answer({"result": result})

    return [
        Route(method="POST", path=f"/v1/models/{name}:{verb}", endpoint=endpoint, needs="infer", errors=ERRORS)
        for verb, endpoint in (("predict", predict_tf_serving), ("classify", classify_tf_serving))
        for name in ("{name}", "{name}/versions/{version}")
    ]


def _texts(content: dict[str, Any], field: str) -> list[Any]:
    """A list of strings or of {"text": ...}. Raises InvalidRequestError."""
    if content.keys() - {field, "signature_name"}:
        raise InvalidRequestError(f"Give {field} alone; signature_name is read over.")
    rows = content.get(field)
    if type(rows) is not list:
        raise InvalidRequestError(f"{field} must be a list of strings.")
    texts = []
    for row in rows:
        if type(row) is list and len(row) == 1:
            row = row[0]
        texts.append(row.get("text") if type(row) is dict else row)
    return texts
