"""What the attackers know: the server, accounts of their own, a recorded session, and what the server told them."""

import asyncio
import json
import random
import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from mutate import WORDS
from wire import Target

from signaling.client.api import ServerApi
from signaling.client.profile import Profile
from signaling.tokens import Assertion, make_assertion, make_request_proof

TOKEN_LIFE = 600.0


@dataclass
class Account:
    """One of the attackers' own. `previd`: of the session that broke."""

    profile: Profile
    token: str = ""
    got: float = -1e9
    previd: str = ""

    @property
    def jid(self) -> str:
        return str(self.profile.jid)

    @property
    def bare(self) -> str:
        return str(self.profile.jid.bare)

    def assertion(self) -> str:
        data = self.profile.data
        claims = Assertion(
            data.device, data.number, self.profile.jid.domain, int(time.time()), secrets.token_urlsafe(16)
        )
        return make_assertion(self.profile.key, claims)

    def password(self, websocket: str) -> str:
        """Of a stream: the token, and the proof that its device's key is here."""
        id_, now = secrets.token_urlsafe(16), time.time()
        return f"{self.token} {make_request_proof(self.profile.key, 'GET', websocket, self.token, id_, now)}"


@dataclass
class World:
    target: Target
    url: str
    accounts: list[Account]
    corpus: list[str]
    victims: list[str]  # full JIDs
    patience: float  # seconds after which a request that never ends must be over
    seen: dict[str, deque[str]] = field(default_factory=dict)
    free: asyncio.Queue[Account] = field(default_factory=asyncio.Queue)  # those without a session

    async def refresh(self, account: Account) -> None:
        """A token of the account that is good for some minutes more, by way of the API."""
        if time.monotonic() - account.got < TOKEN_LIFE:
            return
        async with aiohttp.ClientSession() as session:
            body = {"device_token": account.profile.data.device_token, "assertion": account.assertion()}
            answer = await ServerApi(session, self.url).request("POST", "/tokens", body)
        account.token, account.got = answer["access_token"], time.monotonic()

    @classmethod
    async def open(cls, options: dict) -> "World":
        accounts = [Account(Profile.open(Path(path))) for path in options["profiles"]]
        world = cls.of(options["url"], accounts)
        world.corpus, world.victims, world.patience = (options[k] for k in ("corpus", "victims", "patience"))
        for account in accounts:
            await world.refresh(account)
            world.free.put_nowait(account)
        return world

    @classmethod
    def of(cls, url: str, accounts: list[Account]) -> "World":
        """With nothing recorded."""
        return cls(Target(int(url.rpartition(":")[2])), url, accounts, [], [], 0.0)

    def close(self) -> None:
        for account in self.accounts:
            account.profile.close()

    def learn(self, body: bytes) -> None:
        """Ids out of an answer are good for further requests."""
        try:
            answer = json.loads(body)
        except ValueError:
            return
        if isinstance(answer, dict):
            for name in ("registration", "link"):
                if isinstance(answer.get(name), str):
                    self.seen.setdefault(name, deque(maxlen=50)).append(answer[name])

    def value(self, rng: random.Random, name: str) -> str:
        account = rng.choice(self.accounts)
        if rng.random() < 0.1:
            return (
                "".join(c for c in rng.choice(WORDS) if (c.isascii() and c.isalnum()) or c in "-._~%") or "x"
            )
        match name:
            case "fresh":
                return f"+1202555{rng.randint(110, 199):04d}"
            case "number":
                return rng.choice((account.profile.number, f"+1202555{rng.randint(100, 199):04d}"))
            case "device_token":
                return account.profile.data.device_token
            case "assertion":
                return account.assertion()
        return rng.choice(self.seen.get(name) or ["A" * 22])

    def authorization(self, rng: random.Random) -> str:
        token = rng.choice(self.accounts).token
        match rng.randrange(12):
            case 0:
                return f"Bearer {token[:-4]}AAAA"
            case 1:
                return f"Basic {token}"
            case 2:
                return "Bearer " + ".".join(("eyJhbGciOiJub25lIn0", token.split(".")[1], ""))
            case 3:
                return (
                    "Bearer "
                    + rng.choice(WORDS).encode("ascii", "ignore").decode().replace("\0", "").strip()
                    + "\t."
                )
        return f"Bearer {token}"
