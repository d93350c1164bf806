"""The reference pages on disk say what the declarations say."""

from pathlib import Path

from trunkline.api.reference import pages, write
from trunkline.api.resources import RESOURCES
from trunkline.api.wire import Level

REFERENCE = Path(__file__).parent.parent.parent / "docs" / "reference"


def test_the_pages_on_disk_are_up_to_date() -> None:
    """If this fails: `python -m trunkline.api.reference docs/reference`, and look at the change."""
    written = pages()
    on_disk = {f"api/{path.name}": path.read_text() for path in REFERENCE.glob("api/*.md")}
    on_disk["support-matrix.md"] = (REFERENCE / "support-matrix.md").read_text()
    assert sorted(on_disk) == sorted(written)
    assert [name for name in written if on_disk[name] != written[name]] == []


def test_pages_of_resources_that_are_no_more_disappear(tmp_path: Path) -> None:
    """What was written last time and is not now is removed."""
    write(tmp_path)
    stale = tmp_path / "api" / "fax.md"
    stale.write_text("gone")
    write(tmp_path)
    assert not stale.exists()
    assert (tmp_path / "api" / "message.md").exists()


def test_whatever_is_not_full_has_a_reason() -> None:
    """Nothing is silently ignored."""
    fields = [
        field
        for resource in RESOURCES
        for route in resource.routes()
        for field in (route.inputs.fields if route.inputs else ())
    ]
    assert [
        f.wire for f in fields if f.support.level is not Level.FULL and not f.support.reason
    ] == []
    matrix = pages()["support-matrix.md"]
    assert "| message, create | `MaxPrice` | accepted: it is kept" in matrix
    assert "| `POST /2010-04-01/Accounts/{AccountSid}/Messages.json` | 10 | 12 | 4 |" in matrix


def test_the_matrix_has_every_operation() -> None:
    """Those without parameters stand there as well."""
    matrix = pages()["support-matrix.md"]
    count = sum(len(resource.routes()) for resource in RESOURCES)
    assert matrix.partition("## ")[0].count("\n| `") == count
    assert (
        "| `DELETE /2010-04-01/Accounts/{AccountSid}/Messages/{Sid}.json` | 0 | 0 | 0 |" in matrix
    )
