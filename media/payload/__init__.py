"""RTP payload formats for video: frames into payloads and back, and which packets make a frame. Sans-IO."""
