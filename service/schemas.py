"""Bodies of requests and answers, and the kinds of errors: the OpenAPI documentation, and the types of a client.

The hot path does not validate through these models: `routes/classify.py` reads and writes the same shapes by hand,
and the tests hold the two together.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Probability = Annotated[float, Field(ge=0, le=1)]


TOP_K = Field(
    1,
    ge=1,
    description="how many labels to return for each text, best first; at most all of them. "
    "With `threshold` and without this, all that reach it",
)
THRESHOLD = Field(0.0, description="labels less probable are left out of `top`; where none is left, `label` is null")
MODEL = Field(
    "", description="name, name/version or name/alias; empty: the default of /v1/models", examples=["support"]
)


LABEL = Field(None, description="the label to explain; null: the predicted one")
TOP_N = Field(10, ge=0, le=1000, description="n-grams, strongest first; of all texts together at most 10,000")
METHOD = Field(
    None,
    description="ngrams, occlusion or grad_cam, where the model can; null: ngrams where they are exact, else occlusion",
)
EXPLAIN = Field(False, description="give the n-grams for and against the best label as well; of at most 64 texts")


class Asked(BaseModel):
    """What a client sends: nothing that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answered(BaseModel):
    """What the service sends: a newer one may say more, which a client passes over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ErrorKind(NamedTuple):
    status: int
    again: bool = False  # whether the same request may be answered a little later, as it has done nothing


ERROR_KINDS = {
    "bad_request": ErrorKind(400),
    "invalid_json": ErrorKind(400),
    "unauthorized": ErrorKind(401),
    "forbidden": ErrorKind(403),
    "not_found": ErrorKind(404),
    "unknown_model": ErrorKind(404),
    "method_not_allowed": ErrorKind(405),
    "conflict": ErrorKind(409),
    "body_too_large": ErrorKind(413),
    "unsupported_media_type": ErrorKind(415),
    "misdirected": ErrorKind(421),
    "invalid_request": ErrorKind(422),
    "overloaded": ErrorKind(429, again=True),
    "rate_limited": ErrorKind(429, again=True),
    "client_gone": ErrorKind(499),
    "internal_error": ErrorKind(500),
    "not_ready": ErrorKind(503, again=True),
    "deadline_passed": ErrorKind(504),
    "not_kept": ErrorKind(507),
}


# a list for a model that reads several texts together, such as a question and an answer
Text = str | Annotated[list[str], Field(min_length=1)]


class ClassifyText(Asked):
    """One text."""

    text: Text = Field(examples=["Where is my parcel?"])
    top_k: int = TOP_K
    threshold: Probability = THRESHOLD
    model: str = MODEL
    explain: bool = EXPLAIN


class ClassifyTexts(Asked):
    """Several texts, answered in order."""

    texts: list[Text] = Field(min_length=1, examples=[["Where is my parcel?", "I was charged twice"]])
    top_k: int = TOP_K
    threshold: Probability = THRESHOLD
    model: str = MODEL
    explain: bool = EXPLAIN


class LabelScore(Answered):
    label: str
    probability: Probability


class TokenPart(Answered):
    """A token of an n-gram, the characters text[start:end], and its part of what the n-gram adds."""

    start: int
    end: int
    text: str
    contribution: float
    known: bool = Field(description="whether the vocabulary has it")


class Ngram(Answered):
    """Neighbouring tokens, the characters text[start:end], and what they add to the label's logit."""

    start: int = Field(description="in code points")
    end: int
    text: str
    contribution: float = Field(description="negative: they speak against the label")
    tokens: list[TokenPart]
    cut: bool = Field(description="the model did not read the middle of it")
    segment: int | None = Field(None, description="of several texts, the one that start and end count in, from 0")


class Faithfulness(Answered):
    """How well the n-grams' order agrees with the model; areas below curves of the probability."""

    deletion: float = Field(description="small is good")
    insertion: float = Field(description="large is good")


class Explanation(Answered):
    """logit = bias + the contributions of all `ngrams` + `rest`."""

    label: str
    probability: Probability
    logit: float
    bias: float
    ngrams: list[Ngram] = Field(description="strongest first")
    rest: float = Field(description="n-grams left out, and what cannot be attributed")
    method: str = Field(
        description="ngrams: what the network adds up; occlusion: the change when a token is left out; grad_cam: "
        "activations weighed by their gradients"
    )
    exact: bool
    faithfulness: Faithfulness | None
    unread: tuple[int, int] | None = Field(description="characters that were cut off")
    unread_segment: int | None = Field(None, description="of several texts, the one that they are of, from 0")


class TaskPrediction(Answered):
    """The best label of one text for one task, and the best `top_k` of them."""

    label: str | None = Field(description="null: none reaches the threshold, or the model abstained")
    probability: Probability = Field(description="of the best label")
    top: list[LabelScore]
    abstained: bool = Field(False, description="the best label is not probable enough to be given as an answer")


class TextPrediction(TaskPrediction):
    """The answer for one text."""

    labels: list[LabelScore] | None = Field(
        None, description="of a model that gives any number of labels: those that reach their thresholds"
    )
    levels: list[LabelScore] | None = Field(
        None, description="of a model whose labels are paths: the nodes above the best one, from the root"
    )
    tasks: dict[str, TaskPrediction] | None = Field(None, description="of a model with several tasks: each of them")
    explanation: Explanation | None = None


class FailureReason(Answered):
    code: str
    message: str


class TextFailure(Answered):
    """The model failed on this text and answered the others."""

    error: FailureReason


# what a line of a stream has beside its number
StreamLine: TypeAdapter[TextPrediction | TextFailure] = TypeAdapter(TextPrediction | TextFailure)


class ClassifyResponse(Answered):
    model: str
    version: str
    request_id: str
    predictions: list[TextPrediction | TextFailure] = Field(min_length=1, description="one for each text, in order")


class ExplainText(Asked):
    """One text."""

    text: Text = Field(examples=["Where is my parcel?"])
    label: str | None = LABEL
    top_n: int = TOP_N
    method: str | None = METHOD
    model: str = MODEL


class ExplainTexts(Asked):
    """Several texts, answered in order."""

    texts: list[Text] = Field(min_length=1, examples=[["Where is my parcel?", "I was charged twice"]])
    label: str | None = LABEL
    top_n: int = TOP_N
    method: str | None = METHOD
    model: str = MODEL


class ExplainResponse(Answered):
    model: str
    version: str
    request_id: str
    explanations: list[Explanation | TextFailure] = Field(min_length=1, description="one for each text, in order")


class Feedback(Asked):
    """A text and the label that is right."""

    text: Text = Field(examples=["Where is my parcel?"])
    label: str = Field(min_length=1, max_length=1000, description="any: it may be one that the model does not have")
    predicted: str | None = Field(None, max_length=1000, description="what the service said")
    model: str | None = Field(None, max_length=200)
    version: str | None = Field(None, max_length=200)
    request_id: str | None = Field(None, max_length=64, description="of the answer this is about")
    comment: str | None = Field(None, max_length=10_000)


class FeedbackResponse(Answered):
    kept: bool = Field(description="true: the line is on the disk")
    request_id: str


class Model(Answered):
    name: str
    version: str
    aliases: list[str] = Field(description="names under which this version answers as well; `live`: without any")
    labels: list[str]
    engine: str = Field(description="what computes the answers")
    max_length: int = Field(description="tokens of a text that are used")
    texts_per_record: int = Field(1, description="texts that are read together, each request's `text` a list of them")


class ModelsResponse(Answered):
    default: str | None = Field(
        description="the model that answers what names none; null: each request has to name one"
    )
    models: list[Model]


class Health(Answered):
    status: str


class Error(Answered):
    code: str = Field(description=f"stable, for programs: {', '.join(ERROR_KINDS)}", examples=["invalid_request"])
    message: str = Field(description="for people; may change")
    request_id: str = Field(description="the same as in the header X-Request-ID, and in our log")


class ErrorResponse(Answered):
    error: Error
