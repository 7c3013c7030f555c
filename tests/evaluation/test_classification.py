import json
import math

import pytest

from attento.errors import InputError
from attento.evaluation.classification import evaluate_labels, wilson_interval

GOLD = ["neutral", "neutral", "entailment", "neutral", "contradiction", "entailment", "neutral"]
PREDICTED = ["neutral", "entailment", "entailment", "neutral", "neutral", "neutral", "neutral"]


def test_every_number_of_a_small_example():
    report = evaluate_labels(PREDICTED, GOLD)

    assert report.accuracy == pytest.approx(4 / 7)
    assert report.examples == 7
    contradiction, entailment, neutral = report.labels
    assert [score.label for score in report.labels] == ["contradiction", "entailment", "neutral"]
    assert (contradiction.precision, contradiction.recall, contradiction.f1) == (None, 0.0, 0.0)
    assert (entailment.precision, entailment.recall, entailment.f1) == (0.5, 0.5, 0.5)
    assert neutral.precision == pytest.approx(3 / 5)
    assert neutral.recall == pytest.approx(3 / 4)
    assert neutral.f1 == pytest.approx(2 / (5 / 3 + 4 / 3))
    assert [(score.gold, score.predicted) for score in report.labels] == [(1, 0), (2, 2), (4, 5)]
    # Rows are the right labels, columns the predicted ones.
    assert report.confusion == ((0, 0, 1), (0, 1, 1), (0, 1, 3))


def test_a_label_that_is_only_predicted_has_no_recall():
    report = evaluate_labels(["b", "a"], ["a", "a"])

    a, b = report.labels
    assert (b.precision, b.recall, b.f1, b.gold, b.predicted) == (0.0, None, 0.0, 0, 1)
    assert (a.precision, a.recall) == (1.0, 0.5)


@pytest.mark.parametrize(("right", "examples"), [(0, 7), (1, 7), (5, 11), (407, 500), (13, 13)])
def test_the_interval_holds_the_shares_that_the_count_does_not_refute(right: int, examples: int):
    """Wilson's ends are the true shares p from which the observed one is 1.96 standard errors of p away."""
    share = right / examples

    low, high = wilson_interval(right, examples)

    assert 0 <= low <= share <= high <= 1
    for end in {low, high} - {0.0, 1.0}:
        assert abs(share - end) == pytest.approx(1.959964 * math.sqrt(end * (1 - end) / examples), abs=1e-6)
    assert (low == 0) is (right == 0)
    assert (high == 1) is (right == examples)


def test_the_interval_of_a_published_example():
    # Newcombe 1998, table I, method 3: 81 of 263 gives 0.2553 to 0.3662, 15 of 148 gives 0.0624 to 0.1605.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


def test_the_report_reads_as_text():
    assert evaluate_labels(PREDICTED, GOLD).text.splitlines() == [
        "accuracy = 57.14% (95% interval 25.05% to 84.18%), 4 of 7 examples",
        "",
        "label          precision  recall      F1  examples  predicted",
        "contradiction          -   0.00%   0.00%         1          0",
        "entailment        50.00%  50.00%  50.00%         2          2",
        "neutral           60.00%  75.00%  66.67%         4          5",
        "",
        "label \\ predicted  contradiction  entailment  neutral",
        "contradiction                  0           0        1",
        "entailment                     0           1        1",
        "neutral                        0           1        3",
    ]


def test_the_report_reads_as_json():
    report = evaluate_labels(PREDICTED, GOLD)

    record = json.loads(report.to_json())

    assert record.keys() == {"accuracy", "interval", "examples", "labels", "confusion"}
    assert record["accuracy"] == report.accuracy
    assert tuple(record["interval"]) == report.interval == wilson_interval(4, 7)
    assert record["labels"][0] == {
        "label": "contradiction", "precision": None, "recall": 0.0, "f1": 0.0, "gold": 1, "predicted": 0,
    }  # fmt: skip
    assert record["confusion"] == [[0, 0, 1], [0, 1, 1], [0, 1, 3]]


def test_lists_of_different_lengths_and_empty_lists_are_refused():
    with pytest.raises(InputError, match="2 predicted labels but 3 right ones"):
        evaluate_labels(["a", "b"], ["a", "b", "a"])
    with pytest.raises(InputError, match="nothing to score"):
        evaluate_labels([], [])
