"""Whether the server answers, here and under the URL that others are given."""

import msgspec

from trunkline.ops.doctor.finding import Finding, doubtful, fine, wrong
from trunkline.ops.doctor.web import Reply, ask

READY_PATH = "/health/ready"
LIVE_PATH = "/health/live"
_PLACE = "server"
_GOOD = "ok"  # Of each check; ours to know, so that a broken server can be examined, too.


def is_ours(reply: Reply) -> bool:
    """Tell whether it is this program that answered about its readiness."""
    return reply.status in (200, 503) and isinstance(reply.document.get("checks"), list)


def judge_server(reply: Reply, local_url: str, *, process: int | None) -> Finding:
    """Say what an answer at READY_PATH, or none, means; *process* holds the data directory."""
    if reply.is_refused and process is None:
        return fine(_PLACE, f"not running; {local_url} is free")
    if reply.trouble:
        return wrong(
            _PLACE,
            f"{local_url}: {reply.trouble}" + ("" if process is None else f" (process {process})"),
            advice="Look at its log; if it hangs, stop it: nothing promised is lost.",
        )
    if not is_ours(reply):
        return wrong(
            _PLACE,
            f"something else than this program answers at {local_url} (status {reply.status})",
            advice="Stop it, or choose another port.",
        )
    if reply.status == 503:
        return wrong(
            _PLACE,
            f"{local_url} runs and is not ready: {', '.join(unready(reply))}",
            advice="Look for the checks of the same names here; draining ends by itself.",
        )
    return fine(_PLACE, f"{local_url} is ready")


class _Check(msgspec.Struct):
    """One line of what the server says of its readiness."""

    name: str
    state: str


def unready(reply: Reply) -> list[str]:
    """Return the checks that an answer about readiness says have failed."""
    try:
        checks = msgspec.convert(reply.document.get("checks"), list[_Check])
    except msgspec.ValidationError:
        return ["it does not say why"]
    return [f"{check.name} ({check.state})" for check in checks if check.state != _GOOD]


def base_url_reached(base_url: str) -> Finding:
    """Look whether the URL that the outside is given leads here."""
    reply = ask(base_url + LIVE_PATH)
    if reply.status == 200:
        return fine("base_url", f"{base_url} answers")
    reason = reply.trouble or f"it answers with status {reply.status}"
    return doubtful(
        "base_url",
        f"{base_url} is not reached from here: {reason}",
        advice="Compare the setting with the proxy's; some networks only do not let a machine"
        " reach itself from outside.",
    )
