"""A worker that serves nothing but its number, and does what its data directory says.

`what` there holds 'good', 'fail' (cannot start), 'hang' (the second one stands still the first
time that it is started), 'die' (the second one ends when it is given a connection) or 'leave' (so
it does, in good order).
"""

import asyncio
import os
import signal
import sys

from trunkline.crew.doors import Arrival
from trunkline.crew.member import Duties, Member, join
from trunkline.datadir import StartedFacts

FACTS = StartedFacts(
    base_url="http://127.0.0.1:1",
    console_url="http://127.0.0.1:1/console",
    account_sid="AC",
    auth_token="token",
    phone_number="+14155550100",
    is_first_start=False,
)
DEATHS = {"die": 3, "leave": 0}


async def main(number: int, door: int, line: int) -> None:
    """Serve until told to leave."""
    member = await join(number, door=door, line=line)
    what = (member.config.data_dir / "what").read_text()
    life = member.config.data_dir / f"life{number}"
    is_first_life = not life.exists()
    life.touch()
    if what == "fail":
        await member.fail("There is nothing to serve.")
        return
    left = asyncio.Event()
    death = DEATHS.get(what) if number == 1 else None
    member.begin(FACTS, duties_of(member, left, death=death))
    if what == "hang" and number == 1 and is_first_life:
        signal.pause()
    await left.wait()


def duties_of(member: Member, left: asyncio.Event, *, death: int | None) -> Duties:
    """Return what it does when it is told to."""
    tasks = set()

    def leave() -> None:
        member.leave()
        left.set()

    def take(arrival: Arrival) -> None:
        if death is not None:
            os._exit(death)
        tasks.add(asyncio.get_running_loop().create_task(answer(member.number, arrival)))

    async def page() -> list[object]:
        return []

    return Duties(
        drain=lambda: None,
        leave=leave,
        reload=lambda config: None,
        take=take,
        page=page,  # type: ignore[arg-type]
    )


async def answer(number: int, arrival: Arrival) -> None:
    """Answer whatever is said with our number."""
    loop = asyncio.get_running_loop()
    await loop.sock_recv(arrival.connection, 1)
    await loop.sock_sendall(arrival.connection, str(number).encode())
    arrival.connection.close()
    arrival.on_lost()


if __name__ == "__main__":
    asyncio.run(main(*map(int, sys.argv[1:])))
