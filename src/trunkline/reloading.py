"""What a change of the settings means for a server that runs: done at once, or at the next start.

Rule: a setting that is not in LIVE takes a restart.
"""

from dataclasses import dataclass

from trunkline.config import Config

# Settings that a running server takes over when it is told to read them again.
LIVE = frozenset(
    {
        *("log_level", "log_format"),
        *("webhook_allow", "webhook_retry_seconds", "webhook_concurrency"),
        # The file of a certificate is read again even where its path is the same.
        *("smpp_tls_cert", "smpp_tls_key"),
        *("starting_balance", "prices", "countries", "account_concurrency"),
        *(name for name in Config.model_fields if name.startswith("retention_")),
        *("drain_seconds", "disk_free_min_mb", "metrics_open", "metrics_token"),
    }
)


@dataclass(frozen=True, slots=True)
class Changes:
    """What became different: the settings as they hold now, and the names of what changed."""

    config: Config
    taken_over: tuple[str, ...]
    after_restart: tuple[str, ...]


def compare(before: Config, wanted: Config) -> Changes:
    """Return what of the settings *wanted* a running server takes over."""
    different = [
        name
        for name in Config.model_fields
        if name != "data_dir" and getattr(before, name) != getattr(wanted, name)
    ]
    live = tuple(name for name in different if name in LIVE)
    values = {name: getattr(wanted, name) for name in live}
    later = tuple(name for name in different if name not in LIVE)
    return Changes(before.model_copy(update=values), live, later)
