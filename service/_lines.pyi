from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

INTERFACE: str

class Lines:
    def __new__(cls, content: bytes, first: int, most_characters: int, longest_line: int, /) -> Lines: ...
    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> str: ...
    def heads(self) -> list[bytes]: ...
    @property
    def views(self) -> Any: ...
    @property
    def others(self) -> list[tuple[int, bytes]]: ...

def write(
    labels: tuple[bytes, ...],
    best: NDArray[Any],
    probabilities: bytes,
    abstained: NDArray[Any],
    heads: Lines | Sequence[bytes] | None,
    /,
) -> bytes: ...
