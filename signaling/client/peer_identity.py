"""Who the peer of a call is: passports signed and verified, device lists followed, keys pinned (protocol.md section 5).

Whom nobody knows yet must at least be who the server's directory names: an access token gets a thief into the account's
stream, but not his key into the directory.
"""

import asyncio

from signaling.client.contacts import Contact
from signaling.client.line import Ending
from signaling.client.live_call import LiveCall
from signaling.device_list import DeviceList, newer_list, newest_known
from signaling.errors import RegistrationError, ServerUnreachable
from signaling.identity import Binding, IdentityError, Party, Passport, judge, read_passport, sign_passport
from signaling.jingle.content import Jingle, SessionDescription
from signaling.jingle.session import EndReason

DIRECTORY_TIMEOUT = 4.0


def _binding(call: LiveCall, *, ours: bool, offer: str | None) -> Binding:
    own = Party(call.line.own.local, call.line.own.resource)
    peer = Party(call.number, call.peer.resource)
    signer, other = (own, peer) if ours else (peer, own)
    return Binding(signer, other, call.line.own.domain, call.sid, offer)


def sign(call: LiveCall, description: SessionDescription, offer: str | None) -> str:
    """The passport of our description; `offer` is the peer's one when this is the answer."""
    profile = call.line.profile
    return sign_passport(
        profile.key,
        _binding(call, ours=True, offer=offer),
        description.fingerprints(),
        call.line.wall_clock(),
        profile.own_list(),
    )


async def look_up(call: LiveCall) -> Contact | None:
    """What the server says about the number at this moment; None when it does not answer."""
    call.line.contacts.forget(call.number)
    try:
        async with asyncio.timeout(DIRECTORY_TIMEOUT):
            return await call.line.contacts.find(call.number)
    except (TimeoutError, RegistrationError, ServerUnreachable):
        return None


async def verify(call: LiveCall, jingle: Jingle, offer: str | None) -> None:
    """Passport, directory, lists, pins. Nothing of the description may have been used before this returns.

    `offer` is our offer's passport when this is the answer.

    Raises:
        Ending: untrusted.
    """
    line, number, device = call.line, call.number, call.peer.resource
    try:
        passport = None
        if jingle.passport is not None:
            binding = _binding(call, ours=False, offer=offer)
            used = line.used_sids if offer is None else None
            prints = jingle.description.fingerprints()
            passport = read_passport(jingle.passport, binding, prints, line.wall_clock(), used)
        contact = line.contacts.cached(number)
        if passport is not None and not _is_expected(call, passport.key, contact):
            contact = await call.during(look_up(call))
        _admit(call, device, passport, contact)
    except IdentityError as error:
        hint = ""
        if error.key is not None:
            line.profile.refuse(number, device, error.key)
            lost = "You had verified this number. " if line.profile.verified(number) else ""
            hint = f"{lost}If they registered anew, make sure that it is them, then: ringline trust {number}"
        raise Ending(EndReason.UNTRUSTED, str(error), hint=hint) from None
    if offer is None:
        line.used_sids.add(call.sid)


def _is_expected(call: LiveCall, key: str, contact: Contact | None) -> bool:
    """Whether what is known here already says that the device has this key."""
    pinned, device = call.line.profile.pins(call.number), call.peer.resource
    if pinned:
        return pinned.get(device) == key
    return contact is not None and contact.devices.get(device) == key


def _admit(call: LiveCall, device: str, passport: Passport | None, contact: Contact | None) -> None:
    """Judges, and remembers what was learned. Raises IdentityError; nothing is changed then."""
    profile, number, domain = call.line.profile, call.number, call.line.own.domain
    if number == profile.number:
        raise IdentityError("nobody calls from the own number")
    pinned, version = profile.pins(number), profile.list_version(number)
    token = None if contact is None else contact.device_list
    key, stated = (None, None) if passport is None else (passport.key, passport.devices)

    def follow(known: dict[str, str]) -> DeviceList | None:
        newest = newest_known(known, version, number, domain, token, stated)
        return newest or newer_list(token, number, domain, known, version)

    listed = follow(pinned) if pinned else None
    if key is not None and listed is None and profile.was_removed(number, key):
        # The server keeps back the list that says so.
        raise IdentityError("this device was removed from its number")
    verdict = judge(
        pinned,
        device,
        key,
        registered=None if contact is None else contact.devices.get(device),
        allow_unsigned=call.line.allow_unsigned,
        listed=None if listed is None else listed.devices,
        verified=profile.verified(number),
    )
    if listed is None and verdict.pin is not None:
        listed = follow({device: verdict.pin})
        if listed is not None and listed.devices.get(device) != key:
            raise IdentityError("this device was removed from its number")
    if listed is not None:
        profile.believe(listed)
    elif verdict.pin is not None:
        profile.pin(number, device, verdict.pin)
    call.trust = verdict.trust
