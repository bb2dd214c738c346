from __future__ import annotations

from service.schemas import ModelsResponse

from ..conftest import ROOT
from ..strictly import strictly


def test_loaded_models_are_listed_with_their_labels(client):
    response = client.get("/v1/models")
    strictly(ModelsResponse, response)
    assert response.json() == {
        "default": "fake",
        "models": [
            {
                "name": "fake",
                "version": "3",
                "aliases": ["live"],
                "labels": ["apple", "banana", "cherry"],
                "engine": "fake",
                "max_length": 50,
                "texts_per_record": 1,
            }
        ],
    }


def test_the_model_that_ships_is_listed_like_any_other(make_client):
    from textcnn import TextClassifier

    real = TextClassifier.load(ROOT / "models" / "support", threads=1)
    (model,) = make_client(load=lambda path: real).get("/v1/models").json()["models"]
    assert model["labels"] == list(real.labels)
