"""`trunkline nodes`: the processes that share one database, and which of them has what."""

import click

from trunkline.cli import options
from trunkline.cli.client import Document, Platform, rows
from trunkline.cli.show import moment, print_json, print_table

PATH = "/trunkline/v1/nodes"
NODES = {
    "Node": "name",
    "State": "state",
    "Version": "version",
    "Started": "started",
    "Seen": "seen",
    "Lanes": "lanes",
    "Webhooks": "webhooks",
    "Details": "others",
}
LEASES = {"Lease": "name", "Node": "node", "Fence": "fence", "Until": "until"}
LANES, WEBHOOKS = "lane:", "webhooks:"


@click.command()
@click.option("--leases", "with_leases", is_flag=True, help="Show every lease by its name.")
@options.data_dir_option
@options.json_option
def nodes(*, with_leases: bool, as_json: bool) -> None:
    """Show the nodes that share the database, and what each has.

    A node that was not heard of for its lease time is silent; others have what it had.
    """
    document = Platform(options.credentials()).fetch(PATH)
    if as_json:
        print_json(document)
    elif document["is_alone"]:
        click.echo("This server is alone: its database is a file that no other can use.")
    elif with_leases:
        print_table(LEASES, [row for node in rows(document, "nodes") for row in _leases(node)])
    else:
        print_table(NODES, [_node(node) for node in rows(document, "nodes")])
        waiting = document["waiting"]
        if isinstance(waiting, list) and waiting:
            click.echo(f"\nNobody has at the moment: {', '.join(map(str, waiting))}")


def _node(node: Document) -> Document:
    names = [str(lease["name"]) for lease in rows(node, "leases")]
    others = [name for name in names if not name.startswith((LANES, WEBHOOKS))]
    return {
        "name": f"{node['name']} (asked)" if node["is_this"] else node["name"],
        "state": node["state"],
        "version": node["version"],
        "started": moment(node["started_at"]),
        "seen": moment(node["seen_at"]),
        "lanes": sum(name.startswith(LANES) for name in names),
        "webhooks": sum(name.startswith(WEBHOOKS) for name in names),
        "others": ", ".join(others),
    }


def _leases(node: Document) -> list[Document]:
    return [
        {
            "name": lease["name"],
            "node": node["name"],
            "fence": lease["fence"],
            "until": moment(lease["expires_at"]),
        }
        for lease in rows(node, "leases")
    ]
