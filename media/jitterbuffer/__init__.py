"""The audio jitter buffer: turns packets that come when they like into sound that never stops.

A packet's *relative delay* is how much later it came than the fastest packet of the last seconds. The delay manager
keeps their distribution and names a target: the delay at which nearly every packet is in time. Playout is pulled
in pieces of 10 ms. Before a frame is decoded, the decision logic compares the delay at which it is about to be
played with the target, and says: as it is, a little shorter, a little longer (time stretching by whole pitch
periods), recovered from the copy in the next packet, or concealed.

    packet_buffer    packets by media time, bounded
    delay_manager    relative delays -> target delay
    time_stretch     pitch-synchronous shortening and lengthening
    jitter_buffer    the playout: pulls it all together, counts what W3C webrtc-stats wants counted

It follows libwebrtc's NetEQ in what is measured. It differs in that the Opus decoder is advanced over every loss
(FEC first, then its own concealment), that the target has a resolution of 2 ms, and that nothing is ever flushed.
"""
