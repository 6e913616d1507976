"""What ended or failed, as a sentence for a person: what happened, and what to do next.

The one place that turns the codes of the protocol (`EndReason`, the problems of docs/protocol.md section 1, conditions
of stanza errors) into words. Errors carry the code beside the sentence, for programs.
"""

# The ends of a call: how it reads when the other side made it so, and when this side did. `{who}` is the number.
_ENDS: dict[str, tuple[str, str]] = {
    "hung_up": ("{who} hung up", "you hung up"),
    "cancelled": ("{who} stopped calling", "the call was taken back before it was answered"),
    "declined": ("{who} declined the call", "you declined the call"),
    "busy": ("{who} is in another call: try again later", "you were in another call"),
    "timeout": ("{who} did not answer: try again later", "{who} did not answer: try again later"),
    "unreachable": (
        "no device of {who} rang: it is offline, or does not ring for numbers that it does not know",
        "no device of {who} rang: it is offline, or does not ring for numbers that it does not know",
    ),
    "not_registered": (
        "{who} is not registered on this server, or does not want to be found: check the number",
        "{who} is not registered on this server, or does not want to be found: check the number",
    ),
    "answered_elsewhere": (
        "the call was answered on another of your devices",
        "the call was answered on another of your devices",
    ),
    "replaced": ("a newer call with {who} took its place", "a newer call with {who} took its place"),
    "untrusted": (
        "{who} does not trust this device",
        "the identity of {who} is not trusted",
    ),
    "incompatible": (
        "{who} has a program that shares no way of talking with this one",
        "{who} has a program that shares no way of talking with this one",
    ),
    "no_route": (
        "no way through the network to {who} was found: a firewall may be in between; a TURN relay on the server helps",
        "no way through the network to {who} was found: a firewall may be in between; a TURN relay on the server helps",
    ),
    "connection_lost": (
        "{who} lost the connection to you: call again",
        "the connection to {who} was lost: call again",
    ),
    "no_signaling": (
        "the server of {who} could not be reached: try again later",
        "the server could not be reached: try again when it is there",
    ),
    "failed": ("{who} could not go on with the call: try again", "the call failed: try again"),
}

# What the server refuses (docs/protocol.md section 1). Where its own title says more, it is used: None.
_OTHER_VERSION = "the server did not accept what this program sent: the two may be of different versions"
_PROBLEMS: dict[str, str | None] = {
    "bad_json": _OTHER_VERSION,
    "bad_request": None,
    "invalid_number": "this is not a valid phone number: write it with its country, e.g. +12025550100",
    "bad_key": _OTHER_VERSION,
    "bad_proof": "the server did not accept this device's signature: begin again",
    "proof_needed": "the server did not accept this device's signature: set this machine's clock, and try again",
    "bad_token": "the server did not accept this device's pass: try again; if that does not help, register again",
    "device_revoked": "this device is not registered any more: register it again",
    "bad_list": "the server did not accept the list of devices: try again",
    "clock_skew": "the clock of this machine is wrong: set it, and try again",
    "wrong_code": "the code is wrong",
    "country_not_served": "this server does not serve numbers of this country",
    "not_mobile": "this server serves mobile numbers only: give one that can get an SMS",
    "pin_needed": "this number is protected by a PIN: give the right one with --pin",
    "not_found": "the server does not know what was asked for: check what you gave, and whether it is the right server",
    "bad_method": _OTHER_VERSION,
    "registration_over": "this registration is over, its code is used up or too old: register again for a new one",
    "link_over": "linking was not finished within ten minutes: begin again for a new code",
    "too_large": "that is more than the server takes at once",
    "not_json": _OTHER_VERSION,
    "too_many": None,
    "internal": "the server made a mistake: try again, and tell who runs it if it stays so",
    "sms_failed": "the server could not send the SMS: try again later",
    "unavailable": "the server is not available right now: try again in a minute",
}

# Stanza errors (RFC 6120 8.3.3) where they come without a text.
_CONDITIONS: dict[str, str] = {
    "bad-request": "what was sent was not understood",
    "conflict": "somebody else changed the same at this moment: try again",
    "feature-not-implemented": "the other side cannot do that",
    "forbidden": "that is not allowed",
    "gone": "it is not there any more",
    "internal-server-error": "the server made a mistake: try again",
    "item-not-found": "the other side knows nothing of it any more",
    "not-acceptable": "the other side does not want it",
    "not-allowed": "that is not allowed",
    "not-authorized": "the server does not know this device: register it again",
    "policy-violation": "that is more than is allowed",
    "recipient-unavailable": "the other side is not online",
    "remote-server-not-found": "there is no such server",
    "resource-constraint": "there is no room for it just now: try again later",
    "service-unavailable": "nobody is there who could answer",
    "unexpected-request": "it came at the wrong moment: try again",
}


def call_end(reason: str, number: str, *, by_peer: bool = False, why: str | None = None) -> str:
    """How a call with `number` ended. `reason` is a value of EndReason; `why` a detail in words."""
    theirs, ours = _ENDS.get(reason, _ENDS["failed"])
    sentence = (theirs if by_peer else ours).format(who=number)
    if not why:
        return sentence
    if reason == "no_signaling" or (reason == "failed" and not by_peer):
        return why  # it is the whole sentence
    return f"{sentence}: {why}" if reason == "untrusted" else f"{sentence} ({why})"


def problem(code: str, title: str, retry_after_s: float | None = None, tries_left: int | None = None) -> str:
    """What a server's refusal means. An unknown code: the server's own words."""
    sentence = _PROBLEMS.get(code) or title
    if tries_left is not None:
        more = f"{tries_left} more {'try' if tries_left == 1 else 'tries'}" if tries_left else "no more tries"
        sentence = f"{sentence}: {more}"
    if retry_after_s:
        what = sentence.replace("; try again", ": try again").partition(": try again")[0]
        sentence = f"{what}: try again in {duration(retry_after_s)}"
    return sentence


def stanza_error(condition: str, text: str | None = None) -> str:
    """What the refusal of an iq or a message means; its text, if there is a printable one."""
    if text and text.isprintable():
        return text
    return _CONDITIONS.get(condition, f"the other side refused it: {condition.replace('-', ' ')}")


def duration(seconds: float) -> str:
    """`40 s`, `5 minutes`, `3 hours`, `2 days`: never less than it is."""
    for unit, length in (("day", 86400), ("hour", 3600), ("minute", 60)):
        if seconds >= 2 * length or (unit != "minute" and seconds >= length):
            count = -(-seconds // length)
            return f"{count:.0f} {unit}{'' if count == 1 else 's'}"
    return f"{max(1, -(-seconds // 1)):.0f} s"
