"""The devices of the own account, and who vouches for whom: linking, removing, safety numbers.

What the server says about the own devices is checked against what this profile knows: a device that it adds by
itself is never signed for.
"""

import asyncio
from typing import Any

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.client.api import AccessTokens, ServerApi, member
from signaling.client.contacts import Contacts
from signaling.client.profile import Profile, ProfileData, private_key_text
from signaling.device_link import is_key_of_code, link_code, make_link_proof, read_link_code
from signaling.device_list import DeviceList, newer_list, sign_device_list
from signaling.errors import SignalingError, TokenError
from signaling.identity import new_device_key
from signaling.safety_number import safety_number
from signaling.tokens import encode_public_key

POLL_INTERVAL = 1.0


class OwnDevices:
    """As one device of the account. Everything raises ServerUnreachable, RegistrationError or SignalingError."""

    def __init__(self, session: aiohttp.ClientSession, profile: Profile) -> None:
        self._api = ServerApi(session, profile.data.server)
        self._tokens = AccessTokens(self._api, profile)
        self._profile = profile
        self._contacts = Contacts(
            self._api, self._tokens, profile.jid.domain, asyncio.get_running_loop().time
        )

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._api.request(method, path, body, await self._tokens.get())

    async def account(self) -> dict[str, Any]:
        """GET /account (docs/protocol.md section 1)."""
        return await self._ask("GET", "/account")

    async def own_keys(self, account: dict[str, Any]) -> dict[str, str]:
        """device -> key of the account, as far as a key that this profile knows vouches for them.

        A device that was linked learns the others from the first list that names its own key.
        """
        profile, number = self._profile, self._profile.number
        own = {profile.data.device: profile.public_key}
        known = profile.pins(number) | own
        signers = known if len(known) > 1 else named(account) | own
        token = account.get("list")
        listed = newer_list(
            token if isinstance(token, str) else None,
            number,
            profile.jid.domain,
            signers,
            profile.list_version(number),
        )
        if listed is not None and listed.devices.get(profile.data.device) == profile.public_key:
            profile.believe(listed)
            return dict(listed.devices)
        return known

    async def _sign(self, account: dict[str, Any], added: dict[str, str]) -> tuple[DeviceList, str]:
        """The account's devices and `added`, signed; SignalingError if the server names one that nobody vouches for."""
        known, there = await self.own_keys(account), named(account)
        strange = [device for device, key in there.items() if known.get(device) != key]
        if strange:
            raise SignalingError(f"nobody vouches for the device {strange[0]}: remove it first")
        profile = self._profile
        version = max(member(account, "list_version", int), profile.list_version(profile.number)) + 1
        listed = DeviceList(profile.number, profile.jid.domain, version, there | added, profile.data.device)
        return listed, sign_device_list(profile.key, listed)

    async def approve(self, code: str) -> tuple[str, str]:
        """Vouch for the device that shows this code: its id and name."""
        try:
            link, digest = read_link_code(code)
        except TokenError as error:
            raise SignalingError(str(error)) from None
        asked = await self._ask("GET", f"/links/{link}")
        device, key = member(asked, "device", str), member(asked, "device_key", str)
        if not is_key_of_code(key, digest):
            raise SignalingError(
                "the server names another key than the device that shows this code: not approved"
            )
        listed, text = await self._sign(await self.account(), {device: key})
        await self._ask("POST", f"/links/{link}/approve", {"list": text})
        self._profile.believe(listed)
        return device, member(asked, "device_name", str)

    async def remove(self, device: str) -> None:
        """Sign it out for good; contacts learn from a new list that it is no more."""
        await self._ask("DELETE", f"/devices/{device}")
        if device == self._profile.data.device:
            return
        listed, text = await self._sign(await self.account(), {})
        await self._ask("PUT", "/devices", {"list": text})
        self._profile.believe(listed)

    async def set_pin(self, pin: str | None) -> None:
        await self._ask("PATCH", "/account", {"pin": pin})

    async def safety_number(self, number: str) -> tuple[str, bool]:
        """The 60 digits that both sides see, and whether a call has pinned the other side's keys before."""
        profile = self._profile
        own = await self.own_keys(await self.account())
        contact = await self._contacts.find(number)
        pins = profile.pins(number)
        if contact is not None and pins:
            domain, version = profile.jid.domain, profile.list_version(number)
            listed = newer_list(contact.device_list, number, domain, pins, version)
            if listed is not None:
                profile.believe(listed)
                pins = profile.pins(number)
        keys = pins or ({} if contact is None else contact.devices)
        if not keys:
            raise SignalingError(f"no key of {number} is known")
        return safety_number((profile.number, own.values()), (number, keys.values())), bool(pins)


def named(account: dict[str, Any]) -> dict[str, str]:
    """device -> key as the server says."""
    entries = member(account, "devices", list)
    return {member(e, "device", str): member(e, "key", str) for e in entries if isinstance(e, dict)}


class NewDevice:
    """A device that asks to be linked: `begin`, show the code, `wait`."""

    def __init__(
        self, session: aiohttp.ClientSession, server: str, key: Ed25519PrivateKey | None = None
    ) -> None:
        self._api = ServerApi(session, server)
        self._key = key or new_device_key()
        self._link = ""
        self._name = ""

    async def begin(self, name: str) -> str:
        """The code to show to a device that is registered."""
        domain = (await self._api.server()).domain
        public = encode_public_key(self._key.public_key())
        proof = make_link_proof(self._key, domain)
        body = {"device_key": public, "device_name": name, "proof": proof}
        self._link = member(await self._api.request("POST", "/links", body), "link", str)
        self._name = name
        return link_code(self._link, public)

    async def wait(self) -> ProfileData:
        """Until it is approved. RegistrationError (`link_over`) after ten minutes."""
        while True:
            made = await self._api.request("GET", f"/links/{self._link}")
            if made:
                break
            await asyncio.sleep(POLL_INTERVAL)
        return ProfileData(
            server=self._api.url,
            number=member(made, "number", str),
            jid=member(made, "jid", str),
            device=member(made, "device", str),
            device_name=self._name,
            device_token=member(made, "device_token", str),
            private_key=private_key_text(self._key),
        )
