"""RTP (RFC 3550) and what belongs to it: packets, header extensions, RTCP, statistics, routing. Sans-IO."""
