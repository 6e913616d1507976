"""How much may be sent, and when: a pacer, and a simple rate control for video. Sans-IO.

Until the congestion-control issue the rate follows the receiver's estimate (REMB) and the reported loss.
"""
