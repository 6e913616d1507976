"""The client: a profile, a connection to the server, and calls."""

from signaling.client.call import Call
from signaling.client.client import Client, MissedCall
from signaling.client.history import CallEvent
from signaling.client.incoming import IncomingCall
from signaling.client.profile import Profile

__all__ = ["Call", "CallEvent", "Client", "IncomingCall", "MissedCall", "Profile"]
