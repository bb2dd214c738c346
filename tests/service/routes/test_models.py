from __future__ import annotations

from service.schemas import ModelsResponse


def test_loaded_models_are_listed_with_their_labels(client):
    response = client.get("/v1/models")
    ModelsResponse.model_validate_json(response.content)
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
            }
        ],
    }
