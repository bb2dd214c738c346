"""The Open Inference Protocol v2, as KServe, Triton and MLServer speak it; with Triton's binary tensors.

One input, BYTES [n] or [n, 1]; outputs `label` (BYTES [n]) and `probabilities` (FP32 [n, labels], in the order of the
model's metadata). Triton's classification extension is answered as well.
"""

from __future__ import annotations

import struct
from typing import Any

import orjson

from service.answer import JSON, Answer, json_answer
from service.call import Call
from service.deployment import Deployment
from service.errors import InvalidRequestError, UnsupportedMediaTypeError
from service.route import Route
from service.routes.classify import parse_unrepeated
from service.routes.foreign import ERRORS, Foreign, errors_as, plain_error, whole
from textcnn.types import Prediction

LENGTH_HEADER = b"inference-header-content-length"
MODEL = "/v2/models/{name}"
VERSION = "/v2/models/{name}/versions/{version}"
LABEL, PROBABILITIES = "label", "probabilities"
NOT_TEXT = "The input must be one tensor of datatype BYTES and shape [n] or [n, 1]."


def routes(foreign: Foreign) -> list[Route]:
    def deployment_of(call: Call) -> Deployment:
        return foreign.registry.choose("/".join(call.parameters.values()))

    @errors_as(plain_error)
    async def server(call: Call) -> Answer:
        """The server's name and what it speaks."""
        extensions = ["binary_tensor_data", "classification"]
        return json_answer({"name": "textcnn", "version": "1", "extensions": extensions})

    @errors_as(plain_error)
    async def live(call: Call) -> Answer:
        """200 as long as the process answers."""
        return json_answer({"live": True})

    @errors_as(plain_error)
    async def ready(call: Call) -> Answer:
        """200 while requests are welcome."""
        foreign.registry.check_ready()
        return json_answer({"ready": True, "live": True})

    @errors_as(plain_error)
    async def model(call: Call) -> Answer:
        """The model's inputs and outputs."""
        deployment = deployment_of(call)
        return json_answer(
            {
                "name": deployment.name,
                "versions": [other.version for other in foreign.registry.all() if other.name == deployment.name],
                "platform": "textcnn",
                "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
                "outputs": [
                    {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
                    {
                        "name": PROBABILITIES,
                        "datatype": "FP32",
                        "shape": [-1, len(deployment.labels)],
                        "parameters": {"labels": ",".join(deployment.labels)},
                    },
                ],
            }
        )

    @errors_as(plain_error)
    async def model_ready(call: Call) -> Answer:
        """Whether the model answers."""
        return json_answer({"name": deployment_of(call).name, "ready": True})

    @errors_as(plain_error)
    async def infer(call: Call) -> Answer:
        """Labels in the format of the Open Inference Protocol."""
        content, tensors = await _read(call)
        deployment = deployment_of(call)
        texts = _texts(content, tensors)
        wanted = _outputs(content)
        predictions = await foreign.classify(call, deployment, texts, "data")
        return _answer(content, deployment, predictions, wanted)

    return [
        Route(method="GET", path="/v2", endpoint=server),
        Route(method="GET", path="/v2/health/live", endpoint=live),
        Route(method="GET", path="/v2/health/ready", endpoint=ready, errors=(503,)),
        *(
            route
            for path in (MODEL, VERSION)
            for route in (
                Route(method="GET", path=path, endpoint=model, needs="infer", errors=ERRORS),
                Route(method="GET", path=f"{path}/ready", endpoint=model_ready, needs="infer", errors=ERRORS),
                Route(method="POST", path=f"{path}/infer", endpoint=infer, needs="infer", errors=ERRORS),
            )
        ),
    ]


async def _read(call: Call) -> tuple[dict[str, Any], bytes]:
    """The JSON part and the tensors after it. Raises RequestError."""
    header = call.header(LENGTH_HEADER)
    # Triton's own client names no type at all
    if call.media_type() not in (b"application/json", b"", b"application/octet-stream" if header else b""):
        raise UnsupportedMediaTypeError("Send JSON, or JSON and tensors with Inference-Header-Content-Length.")
    body = await call.body()
    length = len(body)
    if header:
        if not header.isdigit() or len(header) > 12 or int(header) > len(body):
            raise InvalidRequestError("Inference-Header-Content-Length is not the length of the JSON in the body.")
        length = int(header)
    content = parse_unrepeated(body[:length])
    if type(content) is not dict:
        raise InvalidRequestError("The body must be a JSON object.")
    for field, kind in (("id", str), ("parameters", dict), ("outputs", list)):
        if field in content and type(content[field]) is not kind:
            raise InvalidRequestError(f"{field} is of the wrong type.")
    return content, body[length:]


def _texts(content: dict[str, Any], tensors: bytes) -> list[Any]:
    inputs = content.get("inputs")
    if type(inputs) is not list or len(inputs) != 1 or type(inputs[0]) is not dict:
        raise InvalidRequestError(NOT_TEXT)
    tensor = inputs[0]
    shape = tensor.get("shape")
    parameters = tensor.get("parameters") or {}
    if type(parameters) is not dict or tensor.get("datatype") != "BYTES" or type(shape) is not list:
        raise InvalidRequestError(NOT_TEXT)
    if len(shape) not in (1, 2) or not all(type(size) is int for size in shape) or shape[1:] not in ([], [1]):
        raise InvalidRequestError(NOT_TEXT)
    size = parameters.get("binary_data_size")
    if size is not None:
        if type(size) is not int or size != len(tensors):
            raise InvalidRequestError("binary_data_size is not the size of what follows the JSON.")
        texts = _unpacked(tensors)
    elif tensors:
        raise InvalidRequestError("There are bytes after the JSON that no input claims by binary_data_size.")
    else:
        data = tensor.get("data")
        if type(data) is not list:
            raise InvalidRequestError("data must be a list of strings.")
        texts = [row[0] if type(row) is list and len(row) == 1 else row for row in data]
    if len(texts) != shape[0]:
        raise InvalidRequestError(f"The shape says {shape[0]} texts, the data has {len(texts)}.")
    return texts


def _unpacked(tensors: bytes) -> list[str]:
    """Strings, each after its length in four bytes, little-endian."""
    texts, place = [], 0
    while place < len(tensors):
        if place + 4 > len(tensors):
            raise InvalidRequestError("The binary data ends within a length.")
        (length,) = struct.unpack_from("<I", tensors, place)
        place += 4
        if place + length > len(tensors):
            raise InvalidRequestError("The binary data ends within a string.")
        try:
            texts.append(tensors[place : place + length].decode())
        except UnicodeDecodeError:
            raise InvalidRequestError(f"String {len(texts)} of the binary data is not UTF-8.") from None
        place += length
    return texts


def _outputs(content: dict[str, Any]) -> list[tuple[str, int | None, bool]]:
    """Name, classes of the classification extension, and whether in binary, of each output asked for."""
    everything = bool((content.get("parameters") or {}).get("binary_data_output"))
    asked = content.get("outputs") or [{"name": LABEL}, {"name": PROBABILITIES}]
    wanted: list[tuple[str, int | None, bool]] = []
    for output in asked:
        if type(output) is not dict or output.get("name") not in (LABEL, PROBABILITIES):
            raise InvalidRequestError(f"Outputs are {LABEL} and {PROBABILITIES}.")
        if any(name == output["name"] for name, _, _ in wanted):
            raise InvalidRequestError(f"The output {output['name']} is asked for twice.")
        parameters = output.get("parameters") or {}
        if type(parameters) is not dict:
            raise InvalidRequestError("parameters must be an object.")
        classes = whole(parameters.get("classification"), "classification")
        wanted.append((output["name"], classes, bool(parameters.get("binary_data", everything))))
    return wanted


def _answer(
    content: dict[str, Any],
    deployment: Deployment,
    predictions: list[Prediction],
    wanted: list[tuple[str, int | None, bool]],
) -> Answer:
    outputs, binary = [], []
    places = {label: number for number, label in enumerate(deployment.labels)}
    for name, classes, in_binary in wanted:
        shape = [len(predictions)]
        data: list[Any]
        if name == PROBABILITIES and not classes:
            data = [0.0] * (len(predictions) * len(places))
            for row, prediction in enumerate(predictions):
                for score in prediction.top:
                    data[row * len(places) + places[score.label]] = score.probability
            shape, datatype = [len(predictions), len(places)], "FP32"
        elif name == PROBABILITIES:
            count = min(classes or 1, len(places))
            data = [
                f"{score.probability:f}:{places[score.label]}:{score.label}"
                for prediction in predictions
                for score in prediction.top[:count]
            ]
            shape, datatype = [len(predictions), count], "BYTES"
        else:
            data, datatype = [prediction.label for prediction in predictions], "BYTES"
        output: dict[str, Any] = {"name": name, "shape": shape, "datatype": datatype}
        if in_binary:
            packed = _packed(data) if datatype == "BYTES" else struct.pack(f"<{len(data)}f", *data)
            binary.append(packed)
            output["parameters"] = {"binary_data_size": len(packed)}
        else:
            output["data"] = data
        outputs.append(output)
    answer: dict[str, Any] = {"model_name": deployment.name, "model_version": deployment.version, "outputs": outputs}
    if "id" in content:
        answer["id"] = content["id"]
    head = orjson.dumps(answer)
    if not binary:
        return Answer(head, headers=[JSON])
    headers = [(b"content-type", b"application/octet-stream"), (LENGTH_HEADER, b"%d" % len(head))]
    return Answer(head + b"".join(binary), headers=headers)


def _packed(strings: list[str]) -> bytes:
    parts = []
    for string in strings:
        encoded = string.encode()
        parts += [struct.pack("<I", len(encoded)), encoded]
    return b"".join(parts)
