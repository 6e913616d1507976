"""What the parts of the server share; the composition root makes it."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from signaling.bound_session import BoundSession
from signaling.contact_budget import ContactBudget
from signaling.counters import Counters
from signaling.external_services import ExternalServices
from signaling.gateways.sms import SmsGateway
from signaling.policy.sms import Caller, SmsPolicy
from signaling.routing import Sessions
from signaling.server_limits import Limits
from signaling.storage.keys import Keys
from signaling.storage.store import Store
from signaling.store_clock import StoreClock
from signaling.xml_parser import ForgettingParser


@dataclass(frozen=True, slots=True)
class Context:
    """`clock` is Unix seconds by the host's clock, `store_clock` what stored dates are judged by; `rng` a CSPRNG;
    `countries` empty: numbers of every country are served. `caller_of` says who sends a request."""

    domain: str
    region: str
    countries: frozenset[str]
    store: Store
    sms: SmsGateway
    keys: Keys
    sessions: Sessions[BoundSession]
    budget: ContactBudget
    services: ExternalServices
    sms_policy: SmsPolicy
    counters: Counters
    limits: Limits
    clock: Callable[[], float]
    store_clock: StoreClock
    caller_of: Callable[[web.Request], Caller]
    rng: random.Random
    parser: ForgettingParser
