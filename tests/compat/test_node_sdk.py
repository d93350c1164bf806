"""The official Node client against a running Trunkline, by Node's own test runner."""

import subprocess
from pathlib import Path

from tests.processes import environment, running

NODE = Path(__file__).with_name("node")
# The tests take three seconds; a machine with other work may need many more.
SECONDS = 120


def test_the_official_node_client_works(tmp_path: Path) -> None:
    """Everything in node/*.test.mjs holds; what Node says about it is shown when it does not."""
    with running(tmp_path) as server:
        env = {
            "TRUNKLINE_BASE_URL": server.base_url,
            "TRUNKLINE_NUMBER": server.number,
            "TWILIO_ACCOUNT_SID": server.account_sid,
            "TWILIO_AUTH_TOKEN": server.auth_token,
        }
        names = sorted(path.name for path in NODE.glob("*.test.mjs"))
        ran = subprocess.run(
            ["node", "--test", "--test-reporter=spec", *names],
            cwd=NODE,
            env=environment(env),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "pass 0" not in ran.stdout, "no test was run"
