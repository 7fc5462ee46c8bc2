"""Who is at the other end of the control socket: SO_PEERCRED gives the actor and, by group, the role."""

import grp
import os
import pwd
import socket
import struct
from collections.abc import Callable
from typing import Protocol

from hedgegridd.control.operation import Caller, Role

_CRED = struct.Struct("3i")


class HasSockopt(Protocol):
    """A socket, or what an event loop gives for one."""

    def getsockopt(self, level: int, option: int, length: int, /) -> bytes:
        """As `socket.socket.getsockopt`."""
        ...


def credentials(peer: HasSockopt) -> tuple[int, int, int]:
    """Process id, user id and group id of the peer, as the kernel knows them."""
    pid, uid, gid = _CRED.unpack(peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CRED.size))
    return pid, uid, gid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return "?"


def _groups(uid: int, gid: int) -> set[int]:
    name = _name(uid)
    return {gid} if name == "?" else {gid, *os.getgrouplist(name, gid)}


class Peers:
    """The roles: the daemon's own user and root are admins, members of the socket's group operators, others viewers."""

    def __init__(
        self,
        group: str | None,
        *,
        own_uid: int | None = None,
        groups: Callable[[int, int], set[int]] = _groups,
    ) -> None:
        """Look the group up.

        Raises:
            ValueError: there is no such group.
        """
        try:
            self.group_id = None if group is None else grp.getgrnam(group).gr_gid
        except KeyError as error:
            raise ValueError(
                f"[control] socket_group: there is no group {group!r} on this machine"
            ) from error
        self._own_uid = os.getuid() if own_uid is None else own_uid
        self._groups = groups

    def caller(self, pid: int, uid: int, gid: int) -> Caller:
        """The caller behind a peer; looked up at each connection, so that a changed group counts at once."""
        if uid in (0, self._own_uid):
            role = Role.ADMIN
        elif self.group_id is not None and self.group_id in self._groups(uid, gid):
            role = Role.OPERATOR
        else:
            role = Role.VIEWER
        return Caller(actor=f"unix:{_name(uid)}({uid}):{pid}", role=role, client=f"unix:{uid}")
