"""Making a profile: a number proves itself with a code sent by SMS, a device with its key."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.client.api import NOT_UNDERSTOOD, ServerApi, member
from signaling.client.profile import Profile, ProfileData, private_key_text
from signaling.client.server_trust import open_session
from signaling.device_list import is_device
from signaling.errors import ProfileError, RegistrationError, ServerUnreachable
from signaling.identity import new_device_key
from signaling.jid import Jid
from signaling.phone_number import is_e164
from signaling.tokens import encode_public_key, make_proof


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a registration stands; times in seconds."""

    registration: str
    number: str
    expires_in_s: int
    resend_in_s: int
    tries_left: int


class Registration:
    """One attempt: `start`, perhaps `resend`, then `verify`. All raise RegistrationError or ServerUnreachable."""

    def __init__(self, api: ServerApi, key: Ed25519PrivateKey | None = None) -> None:
        self._api = api
        self._key = key or new_device_key()
        self._domain = ""
        self.progress: Progress | None = None

    async def start(self, number: str, region: str | None = None) -> Progress:
        """Ask for a code. `number` in any usual spelling; `region` (e.g. "US") reads national ones."""
        self._domain = (await self._api.server()).domain
        body = {"number": number} | ({"region": region} if region else {})
        return self._update(await self._api.request("POST", "/registrations", body))

    async def resend(self) -> Progress:
        """Ask for another SMS; the server says `too_many` before its time."""
        return self._update(await self._api.request("POST", f"/registrations/{self._started()}/resend", {}))

    async def verify(self, code: str, device_name: str, pin: str | None = None) -> ProfileData:
        """Give the code, and the PIN where the number has one (else `pin_needed`). On `wrong_code` the error says how
        many tries are left."""
        registration = self._started()
        assert self.progress is not None
        number = self.progress.number
        answer = await self._api.request(
            "POST",
            f"/registrations/{registration}/verify",
            {
                "code": code,
                "device_key": encode_public_key(self._key.public_key()),
                "device_name": device_name,
                "proof": make_proof(self._key, self._domain, registration, number),
            }
            | ({} if pin is None else {"pin": pin}),
        )
        # Passports are signed in the name of this address: it must be no other than what was asked for.
        jid, device = str(Jid(number, self._domain)), member(answer, "device", str)
        if (member(answer, "number", str), member(answer, "jid", str)) != (number, jid):
            raise ServerUnreachable("the server registered another number than the one that was asked for")
        if not is_device(device):
            raise ServerUnreachable(NOT_UNDERSTOOD)
        return ProfileData(
            server=self._api.url,
            number=number,
            jid=jid,
            device=device,
            device_name=device_name,
            device_token=member(answer, "device_token", str),
            private_key=private_key_text(self._key),
        )

    def _started(self) -> str:
        if self.progress is None:
            raise RuntimeError("start() comes first")
        return self.progress.registration

    def _update(self, answer: dict[str, object]) -> Progress:
        number = member(answer, "number", str)
        if not is_e164(number):
            raise ServerUnreachable(NOT_UNDERSTOOD)
        self.progress = Progress(
            registration=member(answer, "registration", str),
            number=number,
            expires_in_s=member(answer, "expires_in_s", int),
            resend_in_s=member(answer, "resend_in_s", int),
            tries_left=member(answer, "tries_left", int),
        )
        return self.progress


def check_place(path: Path) -> None:
    """Before a server is asked: raises ProfileError when no profile can be written there."""
    if path.exists():
        Profile.open(path).close()
    elif not path.parent.is_dir():
        raise ProfileError(f"the folder {path.parent} does not exist")


def check_owner(path: Path, number: str) -> None:
    """Before a code is spent: raises ProfileError when the file cannot become this number's profile."""
    if path.exists():
        with Profile.open(path) as profile:
            if profile.number != number:
                raise ProfileError(f"{path} belongs to {profile.number}: choose another file")
    check_place(path)


AskCode = Callable[[Progress], Awaitable[str]]


async def register(
    number: str,
    server: str,
    profile: str | Path,
    ask_code: AskCode,
    *,
    device_name: str = "",
    region: str | None = None,
    trust: str = "",
) -> Profile:
    """Register a number and write its profile, which is returned open.

    `ask_code` is awaited for the code, and again after a wrong one while tries are left. `trust`: what proves the
    server, see server_trust.read_trust(); "": what this machine trusts.

    Raises:
        RegistrationError, ServerUnreachable, ProfileError.
    """
    async with open_session(trust) as session:
        registration = Registration(ServerApi(session, server))
        progress = await registration.start(number, region)
        check_owner(Path(profile), progress.number)
        while True:
            code = (await ask_code(progress)).strip()
            try:
                data = await registration.verify(code, device_name or "ringline")
                break
            except RegistrationError as error:
                if error.code != "wrong_code" or not error.tries_left:
                    raise
                progress = Progress(
                    progress.registration,
                    progress.number,
                    progress.expires_in_s,
                    progress.resend_in_s,
                    error.tries_left,
                )
    data.server_trust = trust
    return Profile.create(profile, data)
