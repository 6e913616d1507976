"""What the parts of the server share; the composition root makes it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from signaling.contact_budget import ContactBudget
from signaling.routing import Sessions
from signaling.server.keys import Keys
from signaling.server.sms import SmsGateway
from signaling.server.store import Store
from signaling.server_limits import Limits


@dataclass(frozen=True, slots=True)
class Context:
    """`clock` is Unix seconds, `rng` a CSPRNG; `countries` empty: numbers of every country are served."""

    domain: str
    region: str
    countries: frozenset[str]
    store: Store
    sms: SmsGateway
    keys: Keys
    sessions: Sessions
    budget: ContactBudget
    limits: Limits
    clock: Callable[[], float]
    rng: random.Random
