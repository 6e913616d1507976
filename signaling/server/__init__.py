"""The embedded signaling server: registration, tokens, contacts, routing. At most 1,500 lines."""

from signaling.server.app import Server, ServerConfig
from signaling.server.limits import Limits

__all__ = ["Limits", "Server", "ServerConfig"]
