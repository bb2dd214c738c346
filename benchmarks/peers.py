"""Others that turn strings into labels, each as fast as its own interface lets it be. All come with the extra `bench`.

Every function trains or builds one on the texts given and returns ways to call it, or raises PeerMissingError.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import Work

Predict = Callable[[Sequence[str]], object]


class PeerMissingError(Exception):
    """A peer cannot be measured here; the message says why."""


@contextlib.contextmanager
def _peer(name: str) -> Iterator[None]:
    """Whatever goes wrong in a peer's own code costs its rows, not the benchmark."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise PeerMissingError(f"{error.name} is not installed: pip install 'textcnn[bench]'") from None
    except Exception as error:
        raise PeerMissingError(f"{name}: {type(error).__name__}: {error}") from error


def fasttext(texts: Sequence[str], labels: Sequence[str], *, bigrams: bool, epochs: int) -> dict[str, Predict]:
    """fastText, 100-d: through its Python interface in one call, one by one, and one by one past it.

    The last is the binding's own method, which the Python interface wraps; no thinner way in exists.
    """
    with _peer("fasttext"), tempfile.TemporaryDirectory() as folder:
        import fasttext as package

        table = Path(folder) / "train.txt"
        lines = (f"__label__{label.replace(' ', '-')} {text}\n" for text, label in zip(texts, labels, strict=True))
        table.write_text("".join(lines), encoding="utf-8")
        model = package.train_supervised(
            input=str(table), dim=100, wordNgrams=2 if bigrams else 1, epoch=epochs, thread=1, verbose=0
        )
        binding = model.f.predict
        ways: dict[str, Predict] = {
            "predict(list)": lambda batch: model.predict(list(batch))[0],
            "predict(text)": lambda batch: [model.predict(text)[0] for text in batch],
            "f.predict(text)": lambda batch: [binding(f"{text}\n", 1, 0.0, "strict")[0][1] for text in batch],
        }
        return _those_that_work(ways, texts[:2])


def spacy_cnn(texts: Sequence[str], labels: Sequence[str], *, examples: int) -> Predict:
    """spaCy's textcat with its convolutional encoder, and its own tokenizer, by nlp.pipe; trained for a moment."""
    with _peer("spacy"):
        import spacy
        from spacy.training import Example

        nlp = spacy.blank("en")
        textcat: Any = nlp.add_pipe("textcat", config={"model": SPACY_CNN})
        names = sorted(set(labels))
        chosen = np.random.default_rng(1).permutation(len(texts))[:examples]
        batch = [
            Example.from_dict(nlp.make_doc(texts[row]), {"cats": {name: float(name == labels[row]) for name in names}})
            for row in chosen
        ]
        optimizer = nlp.initialize(lambda: batch)
        for start in range(0, len(batch), 50):
            nlp.update(batch[start : start + 50], sgd=optimizer)
        assert set(textcat.labels) == set(names)

        def predict(given: Sequence[str]) -> list[str]:
            return [max(doc.cats, key=doc.cats.__getitem__) for doc in nlp.pipe(given, batch_size=256)]

        predict(texts[:2])
        return predict


# What spaCy offers as its CNN text classifier ("efficiency" is a bag of words), with the sizes that it suggests.
SPACY_CNN = {
    "@architectures": "spacy.TextCatReduce.v1",
    "exclusive_classes": True,
    "use_reduce_first": False,
    "use_reduce_last": False,
    "use_reduce_max": False,
    "use_reduce_mean": True,
    "tok2vec": {
        "@architectures": "spacy.HashEmbedCNN.v2",
        "pretrained_vectors": None,
        "width": 96,
        "depth": 4,
        "embed_size": 2000,
        "window_size": 1,
        "maxout_pieces": 3,
        "subword_features": True,
    },
}


def sklearn_tfidf(texts: Sequence[str], labels: Sequence[str]) -> Predict:
    """tf-idf of words and logistic regression: the baseline of every tutorial."""
    with _peer("scikit-learn"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=200)).fit(texts, labels)
        return lambda batch: model.predict(batch)


def onnxruntime_conv(weights: dict[str, Any], rectangles: Sequence[Any]) -> Work:
    """The padded network of reference.py in onnxruntime, one thread. `weights` is its state dict as numpy arrays."""
    with _peer("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(_onnx_model(weights), options, providers=["CPUExecutionProvider"])
        batches = [np.ascontiguousarray(batch) for batch in rectangles]

        def work() -> object:
            return [session.run(None, {"ids": batch}) for batch in batches]

        session.run(None, {"ids": batches[0]})
        return work


def _onnx_model(weights: dict[str, Any]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", ["embedding.weight", "ids"], ["x"]),
        helper.make_node("Transpose", ["x"], ["xt"], perm=[0, 2, 1]),
    ]
    count = sum(name.startswith("convolutions.") and name.endswith(".weight") for name in weights)
    for i in range(count):
        kernel, bias = f"convolutions.{i}.weight", f"convolutions.{i}.bias"
        nodes += [
            helper.make_node("Conv", ["xt", kernel, bias], [f"y{i}"]),
            helper.make_node("Relu", [f"y{i}"], [f"r{i}"]),
            helper.make_node("ReduceMax", [f"r{i}", "time"], [f"p{i}"], keepdims=0),
        ]
    nodes += [
        helper.make_node("Concat", [f"p{i}" for i in range(count)], ["features"], axis=1),
        helper.make_node("Gemm", ["features", "linear.weight", "linear.bias"], ["logits"], transB=1),
    ]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    tensors.append(numpy_helper.from_array(np.array([2], np.int64), "time"))
    graph = helper.make_graph(
        nodes,
        "sentence_cnn",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "time_steps"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "classes"])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    content: bytes = model.SerializeToString()
    return content


def _those_that_work(ways: dict[str, Predict], sample: Sequence[str]) -> dict[str, Predict]:
    """Some bindings of fastText cannot answer for one text under numpy 2."""
    working = {}
    for name, way in ways.items():
        with contextlib.suppress(ValueError, TypeError):
            way(sample)
            working[name] = way
    if not working:
        raise RuntimeError("none of its ways to predict works with this numpy")
    return working
