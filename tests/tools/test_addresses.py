from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.tools.addresses import Allowed, is_public

NOBODY = Allowed.read(())

FORBIDDEN_4 = [
    ip_network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
]


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.31.255.255",
        "192.168.0.1",
        "169.254.169.254",  # metadata of most clouds
        "100.100.100.200",  # Alibaba Cloud's
        "192.0.0.192",  # Oracle Cloud's
        "168.63.129.16",  # Azure's
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "3fff::1",
        "100::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
    ],
)
def test_addresses_that_are_not_of_the_public_internet_are_refused(address: str) -> None:
    assert not NOBODY.permits("crm.example", address)


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2606:4700::1111", "172.32.0.1"],
)
def test_public_addresses_are_reached(address: str) -> None:
    assert NOBODY.permits("crm.example", address)


@given(st.sampled_from(FORBIDDEN_4).flatmap(lambda n: st.ip_addresses(v=4, network=n)))
def test_no_way_of_writing_a_private_ipv4_address_makes_it_public(ip: IPv4Address) -> None:
    number = int(ip)
    for prefix in ("::", "::ffff:0:0", "64:ff9b::"):
        assert not is_public(IPv6Address(int(ip_address(prefix)) | number))
    assert not is_public(IPv6Address((0x2002 << 112) | (number << 80)))
    assert not is_public(ip)


@given(st.ip_addresses(v=6))
def test_an_ipv6_address_is_public_only_where_the_internet_has_been_given_out(
    ip: IPv6Address,
) -> None:
    if is_public(ip):
        assert ip in ip_network("2000::/3") or ip.ipv4_mapped or ip in ip_network("64:ff9b::/96")
        assert ip not in ip_network("2001::/23")


def test_a_host_may_be_allowed_by_its_name_however_it_is_written() -> None:
    allowed = Allowed.read(["crm.internal"])
    assert allowed.permits("CRM.internal.", "10.0.0.1")
    assert not allowed.permits("xcrm.internal", "10.0.0.1")


def test_addresses_may_be_allowed_by_network_or_one_by_one() -> None:
    allowed = Allowed.read(["10.0.0.0/8", "127.0.0.1", "fd00::/8"])
    assert allowed.permits("a", "10.9.9.9")
    assert allowed.permits("a", "127.0.0.1")
    assert allowed.permits("a", "fd12::1")
    assert allowed.permits("a", "::ffff:10.0.0.1")
    assert not allowed.permits("a", "127.0.0.2")
    assert not allowed.permits("a", "192.168.0.1")


def test_a_network_with_bits_of_a_host_is_a_fault() -> None:
    with pytest.raises(ValueError, match="host bits"):
        Allowed.read(["10.0.0.1/8"])
