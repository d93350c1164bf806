"""Which addresses a webhook may reach, so that a customer's URL cannot read our own network.

Rules: every address a name resolves to is judged when it is connected to, never before. What is
not plainly public is refused unless the configuration allows it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Networks that *allow_private* opens: the machine itself and the usual internal ranges.
PRIVATE: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and overlay networks that borrow it
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
# Never reached unless listed: no server of a customer lives here.
# https://www.iana.org/assignments/iana-ipv4-special-registry
SPECIAL: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # Linux connects 0.0.0.0 to the machine itself
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",
        "2002::/16",  # 6to4
        "3fff::/20",
    )
)
# The one block that IANA has handed out for global unicast; NAT64, fec0::/10 and multicast,
# and whatever is invented next, lie outside it.
GLOBAL_IPV6: Final = IPv6Network("2000::/3")
# Machines' own credentials are served here, so these stay shut even when private is allowed.
METADATA: Final[tuple[Network, ...]] = tuple(
    ip_network(text)
    for text in (
        "169.254.169.254/32",  # AWS, Azure, Google, Oracle, DigitalOcean, Hetzner
        "169.254.170.2/32",  # AWS containers
        "169.254.170.23/32",  # AWS Kubernetes pods
        "100.100.100.200/32",  # Alibaba
        "168.63.129.16/32",  # Azure's host
        "fd00:ec2::254/128",  # AWS
        "fd00:ec2::23/128",  # AWS Kubernetes pods
        "fd20:ce::254/128",  # Google
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_COMPATIBLE = IPv6Network("::/96")
_LOOPBACK_AND_UNSPECIFIED = frozenset({IPv6Address("::"), IPv6Address("::1")})


@dataclass(frozen=True, slots=True)
class Guard:
    """Judge addresses: public ones pass, listed ones pass, private ones pass if allowed."""

    allow_private: bool = False
    allowed: tuple[Network, ...] = ()
    allowed_hosts: frozenset[str] = frozenset()

    def permits(self, address: str, host: str) -> bool:
        """Say whether *address* may be connected to for *host*; what is no address may not.

        A listed host passes wherever its name leads: whoever lists it vouches for its DNS.
        """
        try:
            parsed = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        judged = _without_mapping(parsed)
        if _normal_host(host) in self.allowed_hosts:
            return True
        if _within(judged, self.allowed) or _within(parsed, self.allowed):
            return True
        if _within(judged, METADATA):
            return False
        if _within(judged, PRIVATE):
            return self.allow_private
        return _is_public(judged)


def parse_guard(allowed: Iterable[str], *, allow_private: bool = False) -> Guard:
    """Return the Guard for a list of networks, addresses and host names.

    An entry such as 10.0.0.1/8, with bits beyond its prefix, means the network around it.
    """
    networks: list[Network] = []
    hosts: set[str] = set()
    for entry in allowed:
        try:
            networks.append(ip_network(entry.strip(), strict=False))
        except ValueError:
            hosts.add(_normal_host(entry))
    return Guard(allow_private, tuple(networks), frozenset(hosts - {""}))


def _normal_host(host: str) -> str:
    return host.strip().strip("[]").rstrip(".").lower()


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address in network for network in networks)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and address not in GLOBAL_IPV6:
        return False
    return not _within(address, SPECIAL)


def _without_mapping(address: Address) -> Address:
    """Return the IPv4 address that a mapped or compatible IPv6 address only spells differently."""
    if isinstance(address, IPv4Address) or address in _LOOPBACK_AND_UNSPECIFIED:
        return address
    if address in _MAPPED or address in _COMPATIBLE:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address
