"""The errors of the HTTP part (protocol.md section 1), as problem details (RFC 9457) with our own `code`; and the
checks of fields that raise them."""

import math
from typing import Any

from signaling.phone_number import is_region

# code -> (status, default title)
PROBLEMS = {
    "bad_json": (400, "the body is not JSON"),
    "bad_request": (400, "the request is not understood"),
    "invalid_number": (400, "this is not a valid phone number"),
    "bad_key": (400, "device_key is not an Ed25519 public key"),
    "bad_proof": (400, "the proof does not fit the device key and this registration"),
    "bad_token": (401, "the token is not valid; get a new one"),
    "proof_needed": (401, "this needs a proof by the device's key"),
    "device_revoked": (401, "this device is not registered any more; register again"),
    "bad_list": (400, "the list of devices does not hold"),
    "clock_skew": (401, "the clock of this device is wrong; see the Date header"),
    "wrong_code": (403, "the code is wrong"),
    "country_not_served": (403, "numbers of this country are not served here"),
    "not_mobile": (403, "only numbers that can be mobile are served here"),
    "pin_needed": (403, "this number is protected by a PIN"),
    "foreign_origin": (403, "web pages of this origin may not use this server"),
    "not_found": (404, "there is nothing here"),
    "bad_method": (405, "this method is not allowed here"),
    "registration_over": (410, "this registration is over; start a new one"),
    "link_over": (410, "this link is over; start a new one"),
    "too_large": (413, "the body is too large"),
    "not_json": (415, "Content-Type must be application/json"),
    "too_many": (429, "too many requests; try again later"),
    "internal": (500, "the server made a mistake"),
    "sms_failed": (502, "the SMS could not be sent"),
    "unavailable": (503, "the server is not available right now"),
}
BY_STATUS = {404: "not_found", 405: "bad_method", 413: "too_large", 415: "not_json"}
CONTENT_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is an error. `code` is a key of PROBLEMS; `title` replaces the default sentence."""

    def __init__(
        self, code: str, title: str = "", retry_after_s: float | None = None, tries_left: int | None = None
    ) -> None:
        super().__init__(code)
        self.code = code
        self.status, default = PROBLEMS[code]
        self.title = title or default
        self.retry_after_s = None if retry_after_s is None else max(1, math.ceil(retry_after_s - 1e-6))
        self.tries_left = tries_left

    def body(self) -> dict[str, Any]:
        """The JSON object; absent members are left out."""
        members = {
            "code": self.code,
            "title": self.title,
            "retry_after_s": self.retry_after_s,
            "tries_left": self.tries_left,
        }
        return {name: value for name, value in members.items() if value is not None}

    def headers(self) -> dict[str, str]:
        headers = {"Cache-Control": "no-store"}
        if self.retry_after_s is not None:
            headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return headers


def text_field(body: dict[str, Any], name: str, max_length: int) -> str:
    """A text of printable characters. Raises Problem(bad_request) naming the field."""
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > max_length or not value.isprintable():
        raise Problem("bad_request", f"{name} must be a text of 1 to {max_length} characters")
    return value


def region_field(body: dict[str, Any], default: str) -> str:
    """The optional `region`. Raises Problem(bad_request)."""
    region = text_field(body, "region", 2) if body.get("region") is not None else default
    if not is_region(region):
        raise Problem("bad_request", "region must be an ISO 3166 country code such as US")
    return region
