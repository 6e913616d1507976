"""Jingle (XEP-0166 and its relatives): the calls' language, without any input or output."""
