"""What lies between a datagram and a packet: demultiplexing (RFC 7983), DTLS, SRTP. Sans-IO."""
