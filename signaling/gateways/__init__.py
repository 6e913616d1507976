"""The ways out of the server that are not its protocol: SMS."""
