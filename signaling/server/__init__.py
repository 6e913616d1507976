"""The embedded signaling server: registration, tokens, contacts, routing. Begin reading at app.py."""
