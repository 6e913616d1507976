"""What happens to sound between the engine and the sound card: clocks, echo, noise, gain, meters. Sans-IO."""
