"""Which addresses tools may reach: public ones, and others only where a setting allows them.

Pure. Follows IANA's special-purpose registries (RFC 6890, by `ipaddress`), plus what those call
public although no tool has business there: cloud metadata, and IPv6 forms that stand for IPv4.
"""

from collections.abc import Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from msgspec import Struct

Address = IPv4Address | IPv6Address

_NEVER_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "168.63.129.16/32",  # Azure's metadata and DNS, a public address by the registry
        "192.0.0.0/24",  # Oracle Cloud's metadata is in it; Python before 3.12.4 lets parts through
        "192.88.99.0/24",  # relays of 6to4, gone since RFC 7526
    )
)
_UNICAST_6 = ip_network("2000::/3")  # all that IANA has given out for the internet so far
_DOCUMENTATION_6 = ip_network("3fff::/20")  # RFC 9637, later than some Pythons
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class Allowed(Struct, frozen=True):
    """The setting CALLBRIDGE_PRIVATE_HOSTS, read: host names in lower case, and networks."""

    names: frozenset[str]
    networks: tuple[IPv4Network | IPv6Network, ...]

    @classmethod
    def read(cls, hosts: Iterable[str]) -> "Allowed":
        """From host names, addresses and CIDRs. ValueError for a CIDR that is none."""
        names: set[str] = set()
        networks: list[IPv4Network | IPv6Network] = []
        for host in hosts:
            if "/" in host or _is_address(host):
                networks.append(ip_network(host))
            else:
                names.add(plain_name(host))
        return cls(frozenset(names), tuple(networks))

    def permits(self, host: str, address: str) -> bool:
        """Whether a tool that names `host` may be connected to this address of it."""
        ip = ip_address(address)
        if is_public(ip) or plain_name(host) in self.names:
            return True
        return any(_plain(ip) in network for network in self.networks)


def plain_name(host: str) -> str:
    """A host's name as it is compared: in lower case, without the root's dot."""
    return host.lower().removesuffix(".")


def is_public(ip: Address) -> bool:
    """Whether the address is one of the public internet, whichever way it is written."""
    ip = _plain(ip)
    if not ip.is_global or ip.is_multicast or ip.is_reserved:
        return False
    if isinstance(ip, IPv6Address):
        return ip in _UNICAST_6 and ip not in _DOCUMENTATION_6 and ip.sixtofour is None
    return not any(ip in network for network in _NEVER_PUBLIC)


def _plain(ip: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does; without its zone."""
    if isinstance(ip, IPv4Address):
        return ip
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return IPv6Address(int(ip))


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
