"""lxml's parser for frames of strangers: what libxml2 remembers of them has an end. For servers.

libxml2 keeps every element, attribute and namespace name that it reads, and runs of white space too, once, in a
dictionary that trees point into. lxml 5 and 6 have one dictionary a thread, which only grows: a frame of new
names would cost the process memory for ever. lxml 7 has one a parser, freed with the parser and its trees.

So every FORGET_AFTER_BYTES of frames the dictionary is left to the trees that still use it, and a new one begun.
For lxml 5 and 6 that takes what a new thread would do: without lxml's entry in the thread's state (CPython,
PyThreadState_GetDict), it makes a new one. Trees of different dictionaries may be mixed, as those of different
threads may: lxml then renames what it moves. What lxml 5 and 6 do not survive, as with threads, is a document of
which a part is read before and a part after: so nobody in that thread may be in the middle of a feed() or
iterparse(). Nothing in a server is; of the program around a client we cannot know, so clients do without this.
"""

import ctypes

from lxml import etree

# As many as one of the largest frames has: some forty calls. It costs a few microseconds.
FORGET_AFTER_BYTES = 256 * 1024
_LXML_ENTRY = "_ParserDictionaryContext"


class ForgettingParser:
    """For all frames of one thread: it is the thread's dictionary that it replaces."""

    def __init__(self) -> None:
        self._parser = new_parser()
        self._read_bytes = 0

    def for_frame(self, size: int) -> etree.XMLParser:
        """The parser for the next frame, of `size` bytes."""
        self._read_bytes += size
        if self._read_bytes > FORGET_AFTER_BYTES:
            self._read_bytes = size
            _leave_dictionary()
            self._parser = new_parser()
        return self._parser


def new_parser() -> etree.XMLParser:
    """What RFC 6120 section 11 allows, and nothing that reads a file or the network."""
    # The encoding is fixed: RFC 6120 11.6 knows UTF-8 only, whatever a declaration in the frame says.
    return etree.XMLParser(
        encoding="utf-8", resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False
    )


def _leave_dictionary() -> None:
    # By index, so that it is a function object of our own. What it returns is borrowed, or NULL.
    state_of_thread = ctypes.pythonapi["PyThreadState_GetDict"]
    state_of_thread.restype = ctypes.c_void_p
    address = state_of_thread()
    if address:
        ctypes.cast(address, ctypes.py_object).value.pop(_LXML_ENTRY, None)
        # The first to come brings its dictionary along if it has one. This has none: a new one is made.
        etree.Element("new")
