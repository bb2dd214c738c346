"""Bodies of requests and answers: the OpenAPI documentation, and the types of a client.

The hot path does not validate through these models: `routes/classify.py` reads and writes the same shapes by hand,
and the tests hold the two together.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0, le=1)]


TOP_K = Field(
    1,
    ge=1,
    description="how many labels to return for each text, best first; at most all of them. "
    "With `threshold` and without this, all that reach it",
)
THRESHOLD = Field(0.0, description="labels less probable are left out of `top`; where none is left, `label` is null")
MODEL = Field("", description="name, name/version or name/alias; empty: the default", examples=["support"])


class Schema(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ClassifyText(Schema):
    """One text."""

    text: str = Field(examples=["Where is my parcel?"])
    top_k: int = TOP_K
    threshold: Probability = THRESHOLD
    model: str = MODEL


class ClassifyTexts(Schema):
    """Several texts, answered in order."""

    texts: list[str] = Field(min_length=1, examples=[["Where is my parcel?", "I was charged twice"]])
    top_k: int = TOP_K
    threshold: Probability = THRESHOLD
    model: str = MODEL


class LabelScore(Schema):
    label: str
    probability: Probability


class TextPrediction(Schema):
    """The best label of one text, and the best `top_k` of them."""

    label: str | None = Field(description="null: none reaches the threshold")
    probability: Probability = Field(description="of the best label")
    top: list[LabelScore]


class TextFailure(Schema):
    """The model failed on this text and answered the others."""

    error: FailureReason


class FailureReason(Schema):
    code: str
    message: str


class ClassifyResponse(Schema):
    model: str
    version: str
    request_id: str
    predictions: list[TextPrediction | TextFailure] = Field(min_length=1, description="one for each text, in order")


class Model(Schema):
    name: str
    version: str
    aliases: list[str] = Field(description="names under which this version answers as well; `live`: without any")
    labels: list[str]
    engine: str = Field(description="what computes the answers")
    max_length: int = Field(description="tokens of a text that are used")


class ModelsResponse(Schema):
    default: str = Field(description="the model that answers what names none")
    models: list[Model]


class Health(Schema):
    status: str


class Error(Schema):
    code: str = Field(description="stable, for programs", examples=["invalid_request"])
    message: str = Field(description="for people; may change")
    request_id: str = Field(description="the same as in the header X-Request-ID, and in our log")


class ErrorResponse(Schema):
    error: Error
