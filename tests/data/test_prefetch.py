"""Items come whole and in order, made ahead of time but not too far, and nothing is left running."""

import threading
import time
from collections.abc import Iterator

import pytest

from attento.data.prefetch import prefetched


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("ahead", [1, 3, 100])
def test_all_items_in_order(ahead: int) -> None:
    assert list(prefetched(iter(range(37)), ahead)) == list(range(37))
    assert list(prefetched(iter([None, 0, False]), ahead)) == [None, 0, False]
    assert list(prefetched(iter([]), ahead)) == []
    assert running() == []


def test_items_are_made_in_a_thread_of_their_own_and_not_too_far_ahead() -> None:
    made: list[int] = []
    makers = set()

    def endless() -> Iterator[int]:
        while True:
            makers.add(threading.current_thread().name)
            made.append(len(made))
            yield made[-1]

    items = prefetched(endless(), ahead=3)
    assert [next(items), next(items)] == [0, 1]
    deadline = time.monotonic() + 30
    while len(made) < 2 + 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert made == list(range(5))
    items.close()
    assert len(makers) == 1 and makers.pop().startswith("prefetch")
    assert running() == []


def test_a_problem_comes_after_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 5
        raise LookupError("the second is lost")

    items = prefetched(broken(), ahead=7)
    assert next(items) == 5
    with pytest.raises(LookupError, match="the second is lost"):
        next(items)
    assert running() == []
