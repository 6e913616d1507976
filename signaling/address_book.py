"""Phone numbers out of a file that people have: a vCard export (RFC 6350), or a number a line."""

import re

MAX_NUMBERS = 20_000
# RFC 6350 3.3: [group "."] TEL *(";" parameter) ":" value; the value may be a tel: URI (RFC 3966).
_TEL = re.compile(r"(?:[\w-]+\.)?TEL(?:;[^:\r\n]*)?:(?:tel:)?([^\r\n;]*)", re.IGNORECASE)


def read_address_book(text: str) -> list[str]:
    """The numbers as they are written there, each once, in order; at most 20,000. Any text can be read."""
    # RFC 6350 3.2: a line that begins with a space goes on with the one before.
    lines = re.sub(r"\r?\n[ \t]", "", text).splitlines()
    if any(line.strip().upper() == "BEGIN:VCARD" for line in lines):
        found = [match[1].strip() for line in lines if (match := _TEL.match(line))]
    else:
        found = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return list(dict.fromkeys(number for number in found if number))[:MAX_NUMBERS]
