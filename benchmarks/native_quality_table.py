"""The result of `native_quality.py` as Markdown lines, and what it says of the goals."""

from collections.abc import Sequence
from typing import Any

Result = dict[str, Any]
_COARSE = ("bf16", "int8")
_LEAST_COSINE = 0.9995
_MOST_BLEU = 0.2


def table(result: Result) -> list[str]:
    """Return the result as Markdown lines."""
    return [
        "# The native engine beside the torch engine, on the test sets of trained runs",
        "",
        *_translation(result["translation"]),
        *_language(result["language"]),
        *_goals(result),
        *_refused(result["refused"]),
    ]


def _translation(rows: Sequence[Result]) -> list[str]:
    lines = [
        "BLEU on the run's test set; ids that are the torch engine's; bf16 and int8: BLEU less that of fp32, with its "
        "95% interval by paired bootstrap over sentences (Koehn 2004); cosine of logits with the torch engine's, mean "
        "and least over all steps of 100 sentences.",
        "",
        "| run | beam | torch fp32 | native fp32, same ids | bf16 - fp32 | int8 - fp32 | cosine bf16 | cosine int8 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["run"], str(row["beam_size"]), f"{row['torch']:.2f}"]
        cells.append(f"{row['fp32']['bleu']:.2f}, {row['fp32']['same']} of {row['sentences']}")
        cells += [_difference(row[numbers]["less_fp32"]) for numbers in _COARSE]
        cells += [_cosine(row[numbers]["cosine"]) for numbers in _COARSE]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""] if rows else []


def _language(rows: Sequence[Result]) -> list[str]:
    if not rows:
        return []
    lines = [
        f"Language models: {rows[0]['prompts']:,} prompts of the test text that are gone on with, greedy, and how many "
        f"of the texts are the torch engine's; perplexity of its first {rows[0]['characters']:,} characters, in "
        "windows that each stand behind bos, and the cosine of logits there.",
        "",
        "| language model | fp32, same ids | bf16, same ids | int8, same ids | perplexity torch | fp32 | bf16 | int8 "
        "| cosine bf16 | cosine int8 |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row["run"], *(str(row[numbers]["same"]) for numbers in ("fp32", *_COARSE)), f"{row['torch']:.4f}"]
        cells += [f"{row[numbers]['perplexity']:.4f}" for numbers in ("fp32", *_COARSE)]
        cells += [_cosine(row[numbers]["cosine"]) for numbers in _COARSE]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _goals(result: Result) -> list[str]:
    """Return what was asked of the engine, and every row that misses it."""
    translation = result["translation"]
    asked = [(row, row["sentences"]) for row in translation] + [(row, row["prompts"]) for row in result["language"]]
    different = [
        f"{_label(row)} ({count - row['fp32']['same']})" for row, count in asked if row["fp32"]["same"] < count
    ]
    lines = [f"- fp32 finds the torch engine's ids: {_verdict(len(asked), different)}"]
    for numbers in _COARSE:
        low = [
            f"{_label(row)} ({row[numbers]['cosine']['mean']:.5f})"
            for row, _ in asked
            if row[numbers]["cosine"]["mean"] < _LEAST_COSINE
        ]
        lines.append(f"- {numbers}: mean cosine of {_LEAST_COSINE} or more: {_verdict(len(asked), low)}")
        if not translation:
            continue
        found = [(row, row[numbers]["less_fp32"]) for row in translation]
        far = [f"{_label(row)} ({each['value']:+.2f})" for row, each in found if abs(each["value"]) > _MOST_BLEU]
        lines.append(f"- {numbers}: BLEU within {_MOST_BLEU} of fp32: {_verdict(len(found), far)}")
        sure = [
            f"{_label(row)} ({each['value']:+.2f})"
            for row, each in found
            if each["interval"][0] > 0 or each["interval"][1] < 0
        ]
        mean = sum(each["value"] for _, each in found) / len(found)
        lines.append(
            f"- {numbers}: intervals of the difference that leave out nought: {len(sure)} of {len(found)} (by chance "
            f"about {0.05 * len(found):.0f}){': ' if sure else ''}{', '.join(sure)}; mean difference {mean:+.3f}"
        )
    return [*lines, ""]


def _refused(rows: Sequence[Result]) -> list[str]:
    if not rows:
        return []
    return ["Runs that are left out:", "", *(f"- {row['run']}: {row['reason']}" for row in rows)]


def _verdict(count: int, missed: Sequence[str]) -> str:
    met = f"{count - len(missed)} of {count}"
    return f"{met}; not {', '.join(missed)}" if missed else met


def _label(row: Result) -> str:
    return f"{row['run']}, beam {row['beam_size']}" if "beam_size" in row else str(row["run"])


def _difference(found: Result) -> str:
    low, high = found["interval"]
    return f"{found['value']:+.2f} [{low:+.2f}, {high:+.2f}]"


def _cosine(found: Result) -> str:
    return f"{found['mean']:.5f}, {found['least']:.5f}"
