"""The front ends as one actor: first to start and last to stop, so that status answers all the while."""

from hedgegridd.config import Control
from hedgegridd.control.dispatch import Dispatcher
from hedgegridd.control.http import HttpServer
from hedgegridd.control.peers import Peers
from hedgegridd.control.sessions import Sessions
from hedgegridd.control.unix import UnixServer
from hedgegridd.runtime.actor import Actor


class ControlActor(Actor):
    """Serves the operations on the unix socket and on HTTP; its loss does not stop trading.

    Raises:
        ValueError: an address or a group that may not be served so; said when it is made, not when it starts.
    """

    name = "control"

    def __init__(
        self,
        config: Control,
        dispatcher: Dispatcher,
        *,
        sessions: Sessions | None = None,
        events_secret: str = "",
    ) -> None:
        self._config = config
        self.http = HttpServer(dispatcher, config, sessions=sessions, events_secret=events_secret)
        self.unix = UnixServer(dispatcher, config.socket, Peers(config.socket_group))

    @property
    def http_address(self) -> str:
        """Where HTTP is served."""
        return f"http://{self._config.http_host}:{self.http.port}"

    async def start(self) -> None:
        """Bind both. Raises OSError naming the address that is taken."""
        await self.unix.start()
        await self.http.start()

    async def stop(self) -> None:
        """Close both."""
        await self.http.stop()
        await self.unix.stop()
