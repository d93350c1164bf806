"""Our requests in flight: their sequence numbers, their deadlines, and whose response is whose.

Rule: a response belongs to a request when sequence_number and command_id both fit. Both ends count
for themselves, so that a deliver_sm with the number of our submit_sm is nothing but a request.
"""

from enum import StrEnum
from typing import NamedTuple

from trunkline.smpp.pdu import RESPONSE_BIT, GenericNack, Pdu
from trunkline.smpp.wire import SEQUENCE_NUMBER_MAX

# Timed-out requests that are still known when their responses come: several windows of the widest
# in use (some hundred requests); each is two integers.
LATE_MAX = 4096


class Match(StrEnum):
    """What a response is to us."""

    ANSWER = "answer"
    LATE = "late"
    NONE = "none"


class Flight(NamedTuple):
    """A request without its response."""

    pdu: Pdu
    deadline: float


class Window:
    """The requests of one direction that wait for their responses."""

    def __init__(self, *, size_max: int, response_seconds: float, sequence_number: int = 0) -> None:
        assert size_max > 0
        self.size_max = size_max
        self.response_seconds = response_seconds
        self._sequence_number = sequence_number
        self._flights: dict[int, Flight] = {}
        self._late: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def next_sequence_number(self) -> int:
        """Return the next number that no request in flight or overdue has (SMPP 3.4 §5.1.4)."""
        while True:
            self._sequence_number = self._sequence_number % SEQUENCE_NUMBER_MAX + 1
            number = self._sequence_number
            if number not in self._flights and number not in self._late:
                return number

    def add(self, sequence_number: int, pdu: Pdu, *, now: float) -> None:
        """Wait for the response to *pdu*."""
        self._flights[sequence_number] = Flight(pdu, now + self.response_seconds)

    def match(self, sequence_number: int, response: Pdu) -> tuple[Match, Pdu | None]:
        """Say what a response is and forget the request, which comes along while it is known."""
        flight = self._flights.get(sequence_number)
        if flight and _fits(flight.pdu.command_id, response):
            del self._flights[sequence_number]
            return Match.ANSWER, flight.pdu
        late = self._late.get(sequence_number)
        if late is not None and _fits(late, response):
            del self._late[sequence_number]
            return Match.LATE, None
        return Match.NONE, None

    def overdue(self, now: float) -> list[tuple[int, Pdu]]:
        """Take out the requests whose time is over; all wait equally long, so the oldest first."""
        found = []
        for number, flight in self._flights.items():
            if flight.deadline > now:
                break
            found.append((number, flight.pdu))
        for number, pdu in found:
            del self._flights[number]
            self._late[number] = pdu.command_id
        while len(self._late) > LATE_MAX:
            del self._late[next(iter(self._late))]
        return found

    def next_deadline(self) -> float | None:
        """Return when the oldest request is overdue."""
        oldest = next(iter(self._flights.values()), None)
        return oldest.deadline if oldest else None

    def clear(self) -> list[tuple[int, Pdu]]:
        """Take out all requests."""
        found = [(number, flight.pdu) for number, flight in self._flights.items()]
        self._flights.clear()
        self._late.clear()
        return found


def _fits(command_id: int, response: Pdu) -> bool:
    """Say whether a response can be to that command; a generic_nack can be to each."""
    return isinstance(response, GenericNack) or response.command_id == command_id | RESPONSE_BIT
