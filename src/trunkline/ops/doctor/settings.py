"""The settings as they stand in the file and in the environment: names that mean nothing."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from trunkline.ops.doctor.finding import Finding, fine, wrong


def settings_valid(trouble: str, *, origin: str) -> Finding:
    """Say what the program itself says of the settings; empty when it takes them."""
    if trouble:
        return wrong(
            "settings", trouble, advice="Correct it: the server does not start with it as it is."
        )
    return fine("settings", f"from {origin}")


def names_known(check: str, names: Iterable[str], *, known: Iterable[str], prefix: str) -> Finding:
    """Look for names of settings that there are not, all of them at once."""
    settings, count = list(known), 0
    strange = []
    for name in names:
        count += 1
        if name.removeprefix(prefix).lower() not in settings:
            strange.append(name)
    if strange:
        return wrong(
            check,
            "no settings: " + ", ".join(sorted(strange)),
            advice=" ".join(_hints(strange, settings, prefix=prefix))
            or "Remove them; `trunkline up --help` lists what there is.",
        )
    return fine(check, f"{count} set, all known")


def _hints(strange: Iterable[str], known: list[str], *, prefix: str) -> Iterator[str]:
    for name in strange:
        close = get_close_matches(name.removeprefix(prefix).lower(), known, n=1)
        if close:
            meant = prefix + close[0].upper() if prefix else close[0]
            yield f"Did you mean {meant} instead of {name}?"
