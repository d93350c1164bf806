"""The metrics of several workers as one page: each says what it counts, and whose it is shows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from trunkline.ops.metrics import METRICS, WORKER

# Its name, its labels and its value.
Sample = tuple[str, dict[str, str], float]
# Name, meaning, type and samples.
Family = tuple[str, str, str, list[Sample]]
Page = list[Family]


class Colleagues(Protocol):
    """All workers of this machine as one of them sees them."""

    @property
    def number(self) -> int:
        """Which one we are."""

    @property
    def numbers(self) -> Sequence[int]:
        """All that there are to be."""

    @property
    def missing(self) -> Sequence[int]:
        """Those that do not serve now."""

    async def pages(self) -> Mapping[int, Page]:
        """Return what the others count, without those that do not answer in time."""


def told(collectors: Iterable[Collector]) -> Page:
    """Return what is counted, for somebody else to show."""
    return [
        (
            family.name,
            family.documentation,
            family.type,
            [(sample.name, sample.labels, sample.value) for sample in family.samples],
        )
        for collector in collectors
        for family in collector.collect()
    ]


class Gathered(Collector):
    """The pages of workers by their numbers, and who of all of them gave none."""

    def __init__(self, pages: Mapping[int, Page], numbers: Sequence[int]) -> None:
        self._pages = pages
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        """Yield each metric once, its samples with the label of their worker."""
        families: dict[str, Metric] = {}
        for number, page in sorted(self._pages.items()):
            for name, meaning, kind, samples in page:
                family = families.setdefault(name, Metric(name, meaning, kind))
                for sample, labels, value in samples:
                    family.add_sample(sample, {**labels, WORKER: str(number)}, value)
        up = METRICS["worker_up"].full_name
        for number in self._numbers:
            families[up].add_sample(up, {WORKER: str(number)}, float(number in self._pages))
        yield from families.values()
