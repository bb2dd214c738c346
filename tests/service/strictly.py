"""An answer has what its schema says and nothing else: clients pass over what they do not know, our tests do not."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def strictly(model: type[BaseModel], response: Any) -> None:
    assert model.model_validate_json(response.content).model_dump(mode="json", exclude_unset=True) == response.json()
