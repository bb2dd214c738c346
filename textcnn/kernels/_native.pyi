"""What _native.c offers. Arrays are C-contiguous and their sizes must fit: nothing is checked here.

`begin` and `end` say which part of the work is done, so that threads can share it; the GIL is released meanwhile. What
is the same in every call (`layers`, `ngram_index`) is made once, and keeps its arrays.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int32]
Places = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Capsule = object

INTERFACE: str
instruction_set: str
PACK: int

def gather_max(
    table: Array, stride: int, itemsize: int, values: Ids, offsets: Places, width: Ids, filters: Ids, left: Ids,
    right: Ids, groups: int, features: int, scale: Floats | None, out: Floats, argmax: Ids | None, begin: int,
    end: int, /,
) -> None: ...  # fmt: skip
def gather_sum(
    table: Floats, values: Ids, offsets: Places, out: Floats, window: int, columns: int, reverse: bool, begin: int,
    end: int, /,
) -> None: ...  # fmt: skip
def project(
    embedding: Floats, packed: Floats, ids: Ids, slots: Ids, out: Floats, dim: int, columns: int, pitch: int,
    begin: int, end: int, /,
) -> None: ...  # fmt: skip
def affine(
    x: Floats, weight: Floats, bias: Floats, out: Floats, in_dim: int, out_dim: int, begin: int, end: int, /
) -> None: ...
def softmax(
    logits: Floats, out: Floats, classes: int, factor: float, doubt: float, begin: int, end: int, /
) -> None: ...
def winners(
    values: Ids, offsets: Places, width: Ids, filters: Ids, argmax: Ids, grad: Floats, hits: Array, start: Places,
    scratch: Array, texts: int, groups: int, features: int, /,
) -> int: ...  # fmt: skip
def conv_max_backward(
    hits: Array, start: Places, width: Ids, filters: Ids, x: Floats, weight: Floats, grad_x: Floats | None,
    grad_weight: Floats, words: int, dim: int, groups: int, begin: int, end: int, /,
) -> None: ...  # fmt: skip
def adadelta_rows(
    rows: Places | None, grad: Floats, param: Floats, square: Floats, delta: Floats, last_step: Places | None, dim: int,
    step: int, lr: float, rho: float, eps: float, begin: int, end: int, /,
) -> None: ...  # fmt: skip
def adam_rows(
    rows: Places | None, grad: Floats, param: Floats, first: Floats, second: Floats, dim: int, lr: float, beta1: float,
    beta2: float, eps: float, correct1: float, correct2: float, begin: int, end: int, /,
) -> None: ...  # fmt: skip
def fo_pool(
    z: Floats, f: Floats, o: Floats | None, i: Floats | None, bias: Floats | None, initial: Floats | None,
    offsets: Places, h: Floats, out: Floats | None, texts: int, dim: int, pitch: int, reverse: bool, begin: int,
    end: int, /,
) -> None: ...  # fmt: skip
def fo_pool_backward(
    z: Floats, f: Floats, o: Floats | None, i: Floats | None, bias: Floats | None, initial: Floats | None,
    offsets: Places, h: Floats, grad: Floats, grad_z: Floats, grad_f: Floats, grad_o: Floats | None,
    grad_i: Floats | None, grad_bias: Floats | None, grad_initial: Floats, texts: int, dim: int, pitch: int,
    reverse: bool, begin: int, end: int, /,
) -> None: ...  # fmt: skip
def tile_pack(
    weight: Floats, packed: Floats, dim: int, columns: int, width: int, reverse: bool, back: bool, begin: int,
    end: int, /,
) -> None: ...  # fmt: skip
def tile_conv(
    x: Floats, packed: Floats, rows: Places, out: Floats, dim: int, columns: int, tiles: int, width: int, reverse: bool,
    back: bool, begin: int, end: int, /,
) -> None: ...  # fmt: skip
def tile_outer(
    x: Floats, grad: Floats, rows: Places, out: Floats, dim: int, columns: int, tiles: int, width: int, reverse: bool,
    back: bool, begin: int, end: int, /,
) -> None: ...  # fmt: skip
def distinct(values: Ids, seen: Ids, unique: Ids, local: Ids, count: int, /) -> int: ...
def merge_windows(
    activations: Floats, weight: Floats, first: Ids, last: Ids, targets: Places, offsets: Places, out_offsets: Places,
    out_first: Places, out_last: Places, out: npt.NDArray[np.float64], slots: Ids | None, texts: int, features: int, /,
) -> int: ...  # fmt: skip
def word_parts(
    table: Array, stride: int, itemsize: int, values: Ids, offsets: Places, width: Ids, filters: Ids, groups: int,
    features: int, scale: Floats | None, starts: Ids, factors: Floats, slots: Ids, out: npt.NDArray[np.float64],
    texts: int, widest: int, /,
) -> None: ...  # fmt: skip
def ngram_index(
    keys: Places, known: int, rows: Floats, classes: int, bias: Floats | None, longest: int, length: float, /
) -> Capsule: ...
def spell_words(characters: Capsule, letters: Ids, bounds: Places, out: Floats, begin: int, end: int, /) -> None: ...
def ngram_logits(
    words: Capsule, characters: Capsule | None, values: Ids, offsets: Places, vocabulary: int, letters: Ids | None,
    bounds: Places | None, out: Floats, begin: int, end: int, /,
) -> None: ...  # fmt: skip
def ngram_evidence(
    words: Capsule, characters: Capsule | None, values: Ids, offsets: Places, vocabulary: int, letters: Ids | None,
    bounds: Places | None, targets: Places, signs: Floats | None, there_offsets: Places, there_first: Places,
    there_last: Places, there: npt.NDArray[np.float64], out_offsets: Places, out_first: Places, out_last: Places,
    out: npt.NDArray[np.float64], beside: npt.NDArray[np.float64], places: Ids, texts: int, /,
) -> int: ...  # fmt: skip
def layers(
    table: Array, there: npt.NDArray[np.bool_], words: int, stride: int, itemsize: int, width: Ids, filters: Ids,
    left: Ids, right: Ids, groups: int, features: int, scale: Floats | None, bias: Floats, relu: bool, weight: Floats,
    head_bias: Floats, classes: int, spells: bool, /,
) -> Capsule: ...  # fmt: skip
def gather_logits(
    layers: Capsule, words: Capsule | None, characters: Capsule | None, values: Ids, offsets: Places, vocabulary: int,
    letters: Ids | None, bounds: Places | None, out: Floats, largest: Places | None, out_offsets: Places | None,
    out_first: Places | None, out_last: Places | None, contributions: npt.NDArray[np.float64] | None, begin: int,
    end: int, /,
) -> int: ...  # fmt: skip
