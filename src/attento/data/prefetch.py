"""Making the next items while the last ones are used. Knows nothing of what they are."""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


def prefetched(items: Iterator[T], ahead: int) -> Generator[T]:
    """Yield the items of an iterator; a thread of its own makes up to `ahead` of them before they are wanted.

    What the iterator raises is raised here, in its place among the items. Closing the generator ends the thread.
    """
    with ThreadPoolExecutor(1, "prefetch") as executor:
        waiting = deque(executor.submit(next, items, _END) for _ in range(ahead))
        while (item := waiting.popleft().result()) is not _END:
            waiting.append(executor.submit(next, items, _END))
            yield item
