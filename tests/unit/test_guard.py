"""The guard: public addresses pass, everything else only if it is allowed."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.webhooks.guard import Guard, parse_guard

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700:4700::1111", "::ffff:8.8.8.8"]
PRIVATE = [
    "10.0.0.1",
    "127.0.0.1",
    "127.255.255.255",
    "172.16.5.5",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.1.1",
    "::1",
    "fe80::1",
    "fe80::1%eth0",
    "fd12:3456::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
]
SPECIAL = [
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "ff02::1",
    "fec0::1",
    "64:ff9b::8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2002:808:808::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "::ffff:0:127.0.0.1",
    "::ffff:0.0.0.0",
    "::ffff:224.0.0.1",
]
METADATA = [
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address):
    assert Guard().permits(address, "a.example")


@pytest.mark.parametrize("address", PRIVATE + SPECIAL + METADATA)
def test_everything_else_is_refused(address):
    assert not Guard().permits(address, "a.example")


@pytest.mark.parametrize("address", PUBLIC + PRIVATE)
def test_private_addresses_pass_when_allowed(address):
    assert Guard(allow_private=True).permits(address, "a.example")


@pytest.mark.parametrize("address", SPECIAL + METADATA)
def test_special_and_metadata_addresses_stay_shut_when_private_is_allowed(address):
    assert not Guard(allow_private=True).permits(address, "a.example")


@pytest.mark.parametrize("address", [*SPECIAL, *METADATA, *PRIVATE])
def test_a_listed_address_passes(address):
    listed = address.partition("%")[0]
    assert parse_guard([listed]).permits(address, "a.example")


def test_a_listed_network_passes_and_its_neighbours_do_not():
    guard = parse_guard(["10.1.2.3/16", "fd12::/16"])
    assert guard.permits("10.1.255.255", "a.example")
    assert guard.permits("::ffff:10.1.0.1", "a.example")
    assert guard.permits("fd12::5", "a.example")
    assert not guard.permits("10.2.0.1", "a.example")
    assert not guard.permits("fd13::5", "a.example")


def test_a_listed_host_passes_wherever_it_leads():
    guard = parse_guard(["App.Internal.", " localhost "])
    assert guard.permits("10.0.0.1", "app.internal")
    assert guard.permits("127.0.0.1", "LOCALHOST.")
    assert not guard.permits("10.0.0.1", "app.internal.evil.example")
    assert not guard.permits("10.0.0.1", "evil.example")


def test_a_blank_entry_lists_nothing():
    assert not parse_guard(["", " "]).permits("10.0.0.1", "")


@pytest.mark.parametrize(
    "address", ["", "localhost", "127.1", "0x7f000001", "2130706433", "/tmp/x"]
)
def test_what_is_no_address_is_refused(address):
    assert not parse_guard([], allow_private=True).permits(address, "a.example")


@given(st.ip_addresses())
def test_nothing_passes_that_the_standard_library_calls_not_global(address):
    if Guard().permits(str(address), "a.example"):
        judged = getattr(address, "ipv4_mapped", None) or address
        compatible = isinstance(judged, ipaddress.IPv6Address) and int(judged) < 2**32
        judged = ipaddress.IPv4Address(int(judged)) if compatible else judged
        assert judged.is_global
        assert not judged.is_multicast
