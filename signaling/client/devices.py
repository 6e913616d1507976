"""The devices of the own account, and who vouches for whom: linking, removing, safety numbers.

What the server says about the own devices is checked against what this profile knows: a device that it adds, or
leaves out, by itself is never signed for. What is known begins with the own key, and for a device that was linked with
the list that came with the approval.
"""

import asyncio
import secrets
from typing import Any, NamedTuple

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.client.api import AccessTokens, ServerApi, member
from signaling.client.contacts import Contacts
from signaling.client.profile import Profile, ProfileData, private_key_text
from signaling.device_link import SECRET_BYTES, LinkCode, make_link_proof
from signaling.device_list import (
    MAX_STEP,
    DeviceList,
    is_device,
    newest_known,
    read_handed_list,
    sign_device_list,
)
from signaling.errors import RegistrationError, ServerUnreachable, SignalingError, TokenError
from signaling.identity import new_device_key
from signaling.jid import Jid
from signaling.safety_number import safety_number
from signaling.tokens import decode_public_key, encode_public_key

POLL_INTERVAL = 1.0


class OwnDevices:
    """As one device of the account. Everything raises ServerUnreachable, RegistrationError or SignalingError."""

    def __init__(self, session: aiohttp.ClientSession, profile: Profile) -> None:
        self._tokens = AccessTokens(ServerApi(session, profile.data.server), profile)
        self._profile = profile
        self._contacts = Contacts(self._tokens, profile.jid.domain, asyncio.get_running_loop().time)

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._tokens.request(method, path, body)

    async def account(self) -> dict[str, Any]:
        """GET /account (docs/protocol.md section 1)."""
        return await self._ask("GET", "/account")

    async def own_keys(self, account: dict[str, Any]) -> dict[str, str]:
        """device -> key of the account, as far as a key that this profile knows vouches for them."""
        profile, number = self._profile, self._profile.number
        own = {profile.data.device: profile.public_key}
        known = profile.pins(number) | own
        token = account.get("list")
        token = token if isinstance(token, str) else None
        listed = newest_known(known, profile.list_version(number), number, profile.jid.domain, token)
        if listed is not None and listed.devices.items() >= own.items():
            profile.believe(listed)
            return dict(listed.devices)
        return known

    async def _sign(
        self, account: dict[str, Any], added: dict[str, str] | None = None, removed: str | None = None
    ) -> tuple[DeviceList, str]:
        """The account's devices as they are known here, signed.

        Raises:
            SignalingError: the server names one that nobody vouches for, or leaves one out that nobody removed.
        """
        profile, there = self._profile, named(account)
        known = await self.own_keys(account)
        known.pop(removed or "", None)
        for device in there:
            if known.get(device) != there[device]:
                raise SignalingError(f"nobody vouches for the device {device}: remove it first")
        for device in known:
            if device not in there:
                raise SignalingError(
                    f"the server names {device} no more, which no device of this number has removed;"
                    f" if you did: ringline remove {device}"
                )
        if not (added or {}).keys().isdisjoint(known):
            raise SignalingError("the server gives the new device the name of another one: not approved")
        mine, theirs = profile.list_version(profile.number), member(account, "list_version", int)
        if theirs > mine + MAX_STEP:
            raise ServerUnreachable("the server's answer is not understood: no list has that version")
        devices = known | (added or {})
        version = max(mine, theirs) + 1
        listed = DeviceList(profile.number, profile.jid.domain, version, devices, profile.data.device)
        return listed, sign_device_list(profile.key, listed)

    async def approve(self, code: str) -> tuple[str, str]:
        """Vouch for the device that shows this code: its id and name."""
        try:
            shown = LinkCode.parse(code)
        except TokenError as error:
            raise SignalingError(str(error)) from None
        asked = await self._ask("GET", f"/links/{shown.link}")
        device, key = member(asked, "device", str), member(asked, "device_key", str)
        if not shown.names(key):
            raise SignalingError(
                "the server names another key than the device that shows this code: not approved"
            )
        if not is_device(device):
            raise ServerUnreachable("the server's answer is not understood")
        listed, text = await self._sign(await self.account(), {device: key})
        await self._ask("POST", f"/links/{shown.link}/approve", {"list": text, "seal": shown.seal(text)})
        self._profile.believe(listed)
        return device, shown_name(asked, "device_name")

    async def remove(self, device: str) -> None:
        """Sign it out for good; contacts learn from a new list that it is no more."""
        if not is_device(device):
            raise SignalingError(f"{device} is not a device: see `ringline devices`")
        try:
            await self._ask("DELETE", f"/devices/{device}")
        except RegistrationError as error:
            # Of one that we know the server may have lost track, or its list was never handed in.
            if error.code != "not_found" or device not in self._profile.pins(self._profile.number):
                raise
        if device == self._profile.data.device:
            return
        listed, text = await self._sign(await self.account(), removed=device)
        await self._ask("PUT", "/devices", {"list": text})
        self._profile.believe(listed)

    async def set_pin(self, pin: str | None) -> None:
        await self._ask("PATCH", "/account", {"pin": pin})

    async def safety_number(self, number: str) -> "SafetyNumber":
        """The digits that both sides see: over the keys that are pinned, else over those that the server names."""
        profile = self._profile
        if number == profile.number:
            raise SignalingError("that is the own number: see `ringline devices`")
        own = await self.own_keys(await self.account())
        contact = await self._contacts.find(number)
        pins = profile.pins(number)
        if contact is not None and pins:
            domain, version = profile.jid.domain, profile.list_version(number)
            listed = newest_known(pins, version, number, domain, contact.device_list)
            if listed is not None:
                profile.believe(listed)
                pins = profile.pins(number)
        keys = pins or ({} if contact is None else contact.devices)
        if not keys:
            raise SignalingError(f"no key of {number} is known")
        text = safety_number((profile.number, own.values()), (number, keys.values()))
        return SafetyNumber(text, bool(pins), dict(keys))


class SafetyNumber(NamedTuple):
    """Twelve groups of five digits. `keys`: device -> key of the other side; `is_pinned`: a call has pinned them."""

    text: str
    is_pinned: bool
    keys: dict[str, str]


def named(account: dict[str, Any]) -> dict[str, str]:
    """device -> key as the server says. Raises ServerUnreachable for what is neither."""
    found = {}
    for entry in member(account, "devices", list):
        if isinstance(entry, dict):
            device, key = member(entry, "device", str), member(entry, "key", str)
            try:
                decode_public_key(key)
            except TokenError:
                device = ""
            if not is_device(device):
                raise ServerUnreachable("the server's answer is not understood")
            found[device] = key
    return found


def shown_name(answer: dict[str, Any], name: str) -> str:
    """A text of the server's that is fit for a terminal."""
    text = member(answer, name, str)
    return text if text.isprintable() else "?"


class NewDevice:
    """A device that asks to be linked: `begin`, show the code, `wait`."""

    def __init__(
        self, session: aiohttp.ClientSession, server: str, key: Ed25519PrivateKey | None = None
    ) -> None:
        self._api = ServerApi(session, server)
        self._key = key or new_device_key()
        self._code: LinkCode | None = None
        self._domain = ""
        self._name = ""

    async def begin(self, name: str) -> str:
        """The code to show to a device that is registered."""
        self._domain = (await self._api.server()).domain
        public = encode_public_key(self._key.public_key())
        body = {
            "device_key": public,
            "device_name": name,
            "proof": make_link_proof(self._key, self._domain),
        }
        link = member(await self._api.request("POST", "/links", body), "link", str)
        self._name = name
        self._code = LinkCode.make(link, public, secrets.token_bytes(SECRET_BYTES))
        return str(self._code)

    async def wait(self) -> ProfileData:
        """Until it is approved.

        Raises:
            RegistrationError: `link_over` after ten minutes.
            SignalingError: what the server says does not come from the device that was shown the code.
        """
        if self._code is None:
            raise RuntimeError("begin() comes first")
        while True:
            made = await self._api.request("GET", f"/links/{self._code.link}")
            if made:
                break
            await asyncio.sleep(POLL_INTERVAL)
        number, device = member(made, "number", str), member(made, "device", str)
        listed = self._handed_list(number, device, member(made, "list", str), member(made, "seal", str))
        return ProfileData(
            server=self._api.url,
            number=number,
            jid=str(Jid(number, self._domain)),
            device=device,
            device_name=self._name,
            device_token=member(made, "device_token", str),
            private_key=private_key_text(self._key),
            pins={number: dict(listed.devices)},
            lists={number: listed.version},
        )

    def _handed_list(self, number: str, device: str, text: str, seal: str) -> DeviceList:
        """The list by who read the code, with this device on it; nobody else's is believed."""
        assert self._code is not None
        try:
            if self._code.sealed(text, seal):
                listed = read_handed_list(text, number, self._domain)
                own = listed.devices.get(device)
                if is_device(device) and own == encode_public_key(self._key.public_key()):
                    return listed
        except TokenError:
            pass
        raise SignalingError("the approval does not come from the device that read this code: not linked")
