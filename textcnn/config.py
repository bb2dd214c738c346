"""The configuration of a run: frozen sections, read from TOML, changed by `section.key=value`, checked as a whole.

Every section forbids unknown names. The parts of the network (`model.blocks`, `model.pooling`, `model.join`,
`model.head`) are tables `{type = "name", ...options}` whose schema is the constructor of that part;
`textcnn.build.resolve` checks those.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from textcnn.choices import BadRowsPolicy, EmbeddingMode, LearningRateSchedule, Monitor, Segments, Spelled
from textcnn.errors import ConfigError, ReadError
from textcnn.registry import describe_fault

Spec = dict[str, Any]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Positive = Annotated[int, Field(ge=1)]
LANGUAGE = "^[a-z]{2,3}$"  # ISO 639
Dim = Annotated[int, Field(ge=1, le=65_536)]  # a slip of the hand is refused, not computed with
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # what numpy and torch both take
# tags, so that a fault is told of the kind that was meant and not of both
ClassWeights = Annotated[
    Annotated[Literal["none", "balanced"], Tag("<word>")]
    | Annotated[dict[str, Annotated[float, Field(gt=0)]], Tag("<table>")],
    Discriminator(lambda value: "<table>" if isinstance(value, Mapping) else "<word>"),
]


LongestSpelled = Annotated[
    Annotated[Literal["auto"], Tag("<word>")] | Annotated[int, Field(ge=0, le=8), Tag("<number>")],
    Discriminator(lambda value: "<word>" if isinstance(value, str) else "<number>"),
]
LongestNgram = Annotated[
    Annotated[Literal["auto"], Tag("<word>")] | Annotated[int, Field(ge=0, le=3), Tag("<number>")],
    Discriminator(lambda value: "<word>" if isinstance(value, str) else "<number>"),
]


class Section(BaseModel):
    """Base of all sections: frozen, comparable, no unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataConfig(Section):
    """Where the examples come from and how they are split."""

    text_columns: tuple[str, ...] = Field(
        (), description="columns joined to the text; guessed from the header if empty"
    )
    label_column: str = Field("", description="column with the label; guessed from the header if empty")
    label_separator: str = Field("|", min_length=1, description="multi_label: what stands between labels in the column")
    task_columns: tuple[str, ...] = Field((), description="multi_task: the columns with the labels of each task")
    label_order: tuple[str, ...] = Field(
        (), description="labels from lowest to highest, for an ordinal head; else by value, or by alphabet"
    )
    delimiter: str = Field("", description="field delimiter of CSV files; detected if empty")
    encoding: str = Field("", description="text encoding of the file; detected if empty")
    bad_rows: BadRowsPolicy = Field("stop", description="stop with a list of bad rows, or write them to a side file")
    validation_fraction: Fraction = Field(0.1, description="share held out to choose the best epoch")
    test_fraction: Fraction = Field(
        0.0, description="share held out and scored at the end, where no test file is given"
    )
    seed: Seed = Field(1, description="seed of the splits")


class TextConfig(Section):
    """From characters to token ids."""

    tokenizer: str = Field("word", description="word, character, bpe or unigram")
    lowercase: bool = Field(True, description="fold case before tokenizing")
    normalization: Literal["none", "nfc", "nfkc"] = Field("nfc", description="Unicode normalization form")
    min_count: Positive = Field(1, description="tokens seen less often in training become <unk>")
    max_vocabulary: Positive = Field(100_000, description="most frequent tokens kept")
    extra_words_from_vectors: Annotated[int, Field(ge=0)] = Field(
        0, description="words that only the vector file knows, most frequent first, added to the vocabulary"
    )
    max_length: Positive = Field(1000, description="tokens of a text that are used")
    truncation: Literal["head", "tail", "both"] = Field(
        "head", description="which end of a longer text is kept; both: half each"
    )
    segments: Segments = Field(
        "none",
        description="what is encoded by itself and then joined: nothing, each text column, or each sentence of a text",
    )
    language: str = Field(
        "en", pattern=LANGUAGE, description="of the texts (ISO 639-1), for the ends of their sentences"
    )


class CharactersConfig(Section):
    """A second channel: how each word is written, by a convolution over its characters (Kim et al. 2016)."""

    num_filters: Annotated[int, Field(ge=0, le=65_536)] = Field(
        0, description="filters a width; 0: words have no such channel"
    )
    filter_widths: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1)] = Field(
        (2, 3, 4, 5), description="characters that a filter spans"
    )
    dim: Dim = Field(16, description="width of the vector of a character")
    hidden_words: Fraction = Field(
        0.1, description="share of a batch's words that lose their own vector in training, so that characters must do"
    )

    @property
    def out_dim(self) -> int:
        """Numbers that the characters of a word give."""
        return self.num_filters * len(self.filter_widths)


class EmbeddingConfig(Section):
    """Word vectors; the four modes of Kim (2014), section 3.1."""

    mode: EmbeddingMode | Literal["auto"] = Field(
        "auto",
        description="rand learns its own vectors, the others start from a file; auto: static with vectors, else rand",
    )
    dim: Dim = Field(300, description="width of the vectors; taken from the file where one is given")
    vectors: str = Field("", description="word2vec .bin/.txt, GloVe .txt, fastText .bin/.vec or gensim .kv, also .gz")
    scale: Annotated[float, Field(gt=0)] = Field(0.25, description="rand: vectors drawn from U[-scale, scale]")
    dropout: Fraction = Field(0.0, description="share of the numbers in the word vectors dropped in training")
    characters: CharactersConfig = Field(CharactersConfig(), description="a second channel, beside the word vectors")

    @property
    def word_dim(self) -> int:
        """Numbers that the first block sees of each word: its vector, and behind it those of its characters."""
        return self.dim + self.characters.out_dim

    @property
    def spelled(self) -> bool:
        """Whether the network wants to know how words are written."""
        return self.characters.num_filters > 0


class AuxiliaryConfig(Section):
    """Heads of their own behind blocks in the middle, in training only (Szegedy et al. 2015, section 5)."""

    blocks: tuple[Annotated[int, Field(ge=0)], ...] = Field((), description="numbers of the blocks, from 0")
    weight: Annotated[float, Field(ge=0)] = Field(0.3, description="what their loss counts in the first epoch")
    fade_epochs: Positive = Field(5, description="epochs over which it falls to nothing")


class WideConfig(Section):
    """A linear classifier on n-grams, whose logits are added to those of the network (Cheng et al. 2016)."""

    ngrams: LongestNgram = Field(
        0, description="tokens of its longest n-grams; 0: there is none; auto: 3 where the head is linear, else 0"
    )
    min_count: Positive = Field(2, description="training texts that an n-gram of several tokens has to be in")
    max_ngrams: Positive = Field(100_000, description="most frequent n-grams kept")
    characters: LongestSpelled = Field(
        0,
        description="characters of the longest character n-grams that say what forms of a word share, and what unknown "
        "words are; 0: there are none; auto: 5 where words are the tokens of n-grams, else 0",
    )
    c: Annotated[float, Field(gt=0)] = Field(10.0, description="how closely it is fitted, as scikit-learn's C")


class ModelConfig(Section):
    """The network: embedding, blocks in order, pooling to one vector, head; and what may stand beside it."""

    embedding: EmbeddingConfig = Field(EmbeddingConfig(), description="word vectors")
    blocks: tuple[Spec, ...] = Field(
        ({"type": "kim_conv"},), description="parts between embedding and pooling, in order"
    )
    pooling: Spec = Field({"type": "max_over_time"}, description="sequence to vector")
    join: Spec = Field(
        {}, description="vectors of the segments to one vector; empty: what text.segments is usually joined by"
    )
    head: Spec = Field({"type": "single_label"}, description="vector to logits")
    auxiliary: AuxiliaryConfig = Field(AuxiliaryConfig(), description="heads that only training has")
    wide: WideConfig = Field(WideConfig(), description="a linear classifier on n-grams beside the network")

    @property
    def spelled(self) -> Spelled:
        """Of which words the model wants to know how they are written."""
        if self.embedding.spelled:
            return "all"
        return "unknown" if self.wide.ngrams and self.wide.characters else "none"

    @property
    def texts_per_record(self) -> int:
        """How many texts are read together, once training has seen some; 1 for most networks."""
        return self.join.get("texts") or 1


class TrainConfig(Section):
    """How the weights are found."""

    loss: Spec = Field({}, description="what is made small; empty: what the head is made for")
    optimizer: Literal["adam", "adamw", "adadelta", "sgd"] = Field("adam", description="update rule")
    learning_rate: Annotated[float, Field(ge=0)] = Field(
        0.0, description="step size; 0: adam and adamw 0.002, adadelta 1.0, sgd 0.1"
    )
    rho: Annotated[float, Field(gt=0, lt=1)] = Field(0.95, description="Adadelta's decay")
    epsilon: Annotated[float, Field(gt=0)] = Field(1e-6, description="Adadelta's epsilon")
    momentum: Fraction = Field(0.9, description="share of the step before in each step of sgd")
    weight_decay: Annotated[float, Field(ge=0)] = Field(
        0.01, description="adamw: share of all weights but the embedding taken away a step, times the learning rate"
    )
    l2: Annotated[float, Field(ge=0)] = Field(0.0, description="L2 penalty on all weights but the embedding")
    r_drop: Annotated[float, Field(ge=0)] = Field(
        0.0, description="weight of the divergence between two passes with different dropout; 0: one pass"
    )
    ema: Fraction = Field(0.0, description="decay of the moving average of the weights that is kept; 0: none")
    members: Annotated[int, Field(ge=1, le=100)] = Field(
        1, description="networks that are trained one after the other, by seeds of their own, and answer as one"
    )
    start_from: str = Field("", description="trained or pre-trained model whose words and blocks training starts from")
    batch_size: Positive = Field(50, description="texts a step")
    max_epochs: Positive = Field(20, description="upper bound; early stopping usually ends sooner")
    patience: Annotated[int, Field(ge=0)] = Field(
        3, description="epochs without a lower validation loss before stopping; 0: never stop early"
    )
    monitor: Monitor = Field("accuracy", description="validation figure that picks the best epoch")
    schedule: LearningRateSchedule = Field(
        "constant",
        description="plateau: shrink the step when validation stalls; linear, cosine: to zero at the end of max_epochs",
    )
    warmup_epochs: Annotated[float, Field(ge=0)] = Field(
        0.0, description="epochs, or a part of one, over which the step grows to its size"
    )
    plateau_factor: Annotated[float, Field(gt=0, lt=1)] = Field(0.5, description="plateau: factor")
    plateau_patience: Positive = Field(1, description="plateau: epochs to wait")
    augmentations: tuple[Spec, ...] = Field((), description="changes to the training texts, in order")
    mixup: Annotated[float, Field(ge=0)] = Field(
        0.0, description="alpha of the Beta distribution by which pairs of texts are mixed behind the pooling; 0: none"
    )
    class_weights: ClassWeights = Field(
        "none", description="none, balanced, or a table label = weight (labels left out weigh 1)"
    )
    clip_norm: Annotated[float, Field(ge=0)] = Field(0.0, description="largest gradient norm; 0: no clipping")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="autocast type where the device has it"
    )
    checkpoint_seconds: Annotated[float, Field(ge=0)] = Field(
        10.0, description="time between checkpoints from which --resume goes on"
    )
    device: str = Field("auto", description="auto, cpu, cuda or cuda:N")
    threads: Annotated[int, Field(ge=0)] = Field(0, description="CPU threads; 0: one per core")
    seed: Seed = Field(1, description="seed of weights, order and dropout")


class RunConfig(Section):
    """Everything that decides a run, saved with the model."""

    data: DataConfig = Field(DataConfig(), description="where the examples come from and how they are split")
    text: TextConfig = Field(TextConfig(), description="from characters to token ids")
    model: ModelConfig = Field(ModelConfig(), description="the network")
    train: TrainConfig = Field(TrainConfig(), description="how the weights are found")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> RunConfig:
        """Validate a nested mapping. Raises ConfigError with every fault."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ConfigError([describe_fault(fault, "", cls) for fault in error.errors()]) from None

    def to_json(self) -> str:
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n"


def read_settings(path: str | Path) -> dict[str, Any]:
    """The settings in a TOML file, or a JSON file such as a model's. Raises ReadError or ConfigError with the line."""
    path = Path(path)
    try:
        text = path.read_text("utf-8-sig")  # editors on Windows like to begin a file with a byte order mark
        found = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ReadError(f"cannot read the configuration {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"{path} is not valid {kind}: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path} holds {type(found).__name__}, expected settings by section")
    return found


def apply_override(values: Mapping[str, Any], override: str) -> dict[str, Any]:
    """`section.key=value` onto a nested mapping; lists by index (`model.blocks.0.num_filters=50`).

    A value is read as TOML (numbers, true, lists, inline tables), else taken as a string. Raises ConfigError.
    """
    path, equals, text = override.partition("=")
    if not equals or not path.strip("."):
        raise ConfigError(f"{override!r} is not an override; write section.key=value")
    return with_setting(values, path, _value(text), said=override)


def with_setting(values: Mapping[str, Any], path: str, value: Any, *, said: str = "") -> dict[str, Any]:
    """`value` at `section.key` of a nested mapping, which stays as it is. Raises ConfigError; `said` is what asks."""
    result: dict[str, Any] = json.loads(json.dumps(values, default=str))
    try:
        _set(result, path.split("."), value)
    except (IndexError, ValueError, RecursionError):
        raise ConfigError(f"{(said or path)[:80]!r}: there is no setting at {path[:80]!r}") from None
    return result


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Tables of `over` onto `base`, section by section; a table with another `type` replaces the old one whole."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if (
            isinstance(old, Mapping)
            and isinstance(value, Mapping)
            and value.get("type", old.get("type")) == old.get("type")
        ):
            result[key] = merge(old, value)
        else:
            result[key] = value
    return result


def _value(text: str) -> Any:
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
    # dates and times are no settings; a label may look like one
    return value if isinstance(value, (str, int, float, list, dict)) else text


def _set(target: dict[str, Any] | list[Any], path: Sequence[str], value: Any) -> None:
    """Put `value` at `path`, through tables and lists; an index just behind the end of a list appends."""
    place: Any = path[0]
    if isinstance(target, list):
        place = int(path[0])
        if not 0 <= place <= len(target):
            raise IndexError(place)
        target += [{}] * (place == len(target))
    if len(path) == 1:
        target[place] = value
        return
    inner = target[place] if isinstance(target, list) else target.get(place)
    if not isinstance(inner, (dict, list)):
        inner = target[place] = {}
    _set(inner, path[1:], value)
