from hypothesis import given
from hypothesis import strategies as some

from signaling.address_book import read_address_book

CARDS = """BEGIN:VCARD
VERSION:3.0
FN:Ada
TEL;TYPE=CELL:+1 202-555-0101
item1.TEL;type=HOME:(202) 555-
 0102
TEL;VALUE=uri;PREF=1:tel:+1-202-555-0103;ext=5
EMAIL:TEL@example.org
NOTE:TEL:+12025550199
END:VCARD
begin:vcard
tel:+1 202-555-0101
END:VCARD
"""


def test_vcards():
    assert read_address_book(CARDS) == ["+1 202-555-0101", "(202) 555-0102", "+1-202-555-0103"]
    assert read_address_book(CARDS.replace("\n", "\r\n")) == read_address_book(CARDS)


def test_a_number_a_line():
    text = "# friends\n+1 202 555 0101\n\n  (202) 555-0102  \r\n+1 202 555 0101\nmum\n"
    assert read_address_book(text) == ["+1 202 555 0101", "(202) 555-0102", "mum"]
    assert read_address_book("") == []


@given(some.text())
def test_any_text_is_read(text):
    assert all(read_address_book(text)) and all(read_address_book("BEGIN:VCARD\n" + text))
