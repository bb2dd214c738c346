"""What the zoo makes of its data; what it measures is not tested."""

from __future__ import annotations

from benchmarks.zoo import pairs, presets_table

LABEL_OF = {f"{label}{number}": label for label in "abc" for number in range(20)}


def test_a_pair_has_one_label_or_two_as_it_says() -> None:
    texts, labels = pairs((list(LABEL_OF), list(LABEL_OF.values())), joined=False)
    assert [first for first, _ in texts] == list(LABEL_OF)
    assert [LABEL_OF[first] == LABEL_OF[second] for first, second in texts] == [label == "same" for label in labels]
    assert {"same", "other"} == set(labels)


def test_joined_pairs_are_the_same_pairs() -> None:
    split = (list(LABEL_OF), list(LABEL_OF.values()))
    texts, labels = pairs(split, joined=False)
    assert pairs(split, joined=True) == ([" ".join(pair) for pair in texts], labels)


def test_the_table_has_a_line_a_preset_with_what_training_cost_on_trec() -> None:
    rows = {
        f"dpcnn.{name}": {
            "accuracy": accuracy, "parameters": 1200, "epochs": epochs, "train_processor_s": 9.6, "texts_per_s": 3000,
            "engine": "torch", "by_seed": [accuracy],
        }
        for name, accuracy, epochs in (("trec", 88.1, 6), ("sst2", 79.9, 5))
    }  # fmt: skip
    header, _, line = presets_table(rows).splitlines()
    assert line == "| `dpcnn` | 88.1 | 79.9 | 1,200 | 6 | 10 | 3,000 | torch |"
    assert header.count("|") == line.count("|")
