"""One stream each, put together from codecs, RTP and the jitter buffer. Sans-IO."""
