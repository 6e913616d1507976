"""GStreamer's webrtcbin as one end of a call: run by the system's Python, which has its bindings and not our packages.

Reads commands from standard input, a JSON object a line ({"id", "do", "with": [...]}), and writes answers ({"id",
"result"} or {"id", "error"}) and events ({"kind": ...}) to standard output. Ends with standard input.
"""

import json
import math
import re
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

RATE, EAR_RATE = 48000, 8000
FPS, WIDTH, HEIGHT = 20, 320, 240
ENCODERS = {
    "OPUS": "audioconvert ! audioresample ! opusenc inband-fec=true ! rtpopuspay",
    "PCMU": "audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! mulawenc ! rtppcmupay",
    "VP8": "videoconvert ! vp8enc deadline=1 keyframe-max-dist=200 target-bitrate=400000 ! rtpvp8pay picture-id-mode=2",
    "H264": "videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=200 bitrate=400"
    " ! video/x-h264,profile=constrained-baseline ! rtph264pay aggregate-mode=zero-latency config-interval=-1",
}
DECODERS = {
    "OPUS": "rtpopusdepay ! opusdec",
    "PCMU": "rtppcmudepay ! mulawdec",
    "VP8": "rtpvp8depay ! vp8dec",
    "H264": "rtph264depay ! h264parse ! openh264dec",
}
DEFAULT_TYPES = {"OPUS": 111, "PCMU": 0, "VP8": 96, "H264": 102}
CLOCK = {"OPUS": 48000, "PCMU": 8000}
DIRECTIONS = {
    "inactive": GstWebRTC.WebRTCRTPTransceiverDirection.INACTIVE,
    "sendrecv": GstWebRTC.WebRTCRTPTransceiverDirection.SENDRECV,
}
output = threading.Lock()


def say(message):
    with output:
        print(json.dumps(message), flush=True)


class End:
    def __init__(self):
        self.pipeline = Gst.Pipeline.new("end")
        self.pipeline.get_bus().set_sync_handler(self.on_message)
        self.web = Gst.ElementFactory.make("webrtcbin", "web")
        self.web.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
        self.web.set_property("latency", 60)
        self.pipeline.add(self.web)
        self.web.connect("on-ice-candidate", self.on_candidate)
        self.web.connect("pad-added", self.on_pad)
        self.web.connect("on-data-channel", lambda _, channel: self.echo(channel))
        self.web.connect("on-new-transceiver", self.on_transceiver)
        self.channel = None
        self.opened, self.answered = threading.Event(), threading.Event()
        self.last_answer = None
        self.branches = {}  # kind -> the sending elements and webrtcbin's pad
        self.payload_types = dict(DEFAULT_TYPES)
        self.moving = True
        self.senses = []  # ears and eyes
        self.received = []  # transceivers

    # -- commands

    def begin(self, plan):
        self.plan = plan
        self.rejected = plan["rejects"]  # a kind of section
        self.codecs = {"audio": "OPUS", "video": plan["codec"]}
        self.pipeline.set_state(Gst.State.PLAYING)
        return True

    def offer(self):
        self.send_all()
        if self.plan["data"] and self.channel is None:
            self.open()
        return self.describe("offer")

    def answer(self, text):
        self.payload_types |= types_of(text)
        self.describe_remote("offer", text)
        self.send_all(text)
        return self.describe("answer")

    def accept(self, text):
        self.describe_remote("answer", text)

    def candidate(self, mid, line):
        self.web.emit("add-ice-candidate", 0, line)

    def ask(self, kind, value):
        if self.channel is None:
            self.open()
        if not self.opened.wait(20):
            raise RuntimeError("the channel does not open")
        self.answered.clear()
        if kind == "text":
            self.channel.emit("send-string", value)
        else:
            self.channel.emit("send-data", GLib.Bytes.new(bytes(value)))
        if not self.answered.wait(20):
            raise RuntimeError("no answer in the channel")
        return self.last_answer

    def again(self):
        for sense in self.senses:
            sense.again()

    def decoded(self):
        return sum(sense.pictures for sense in self.senses)

    def start(self, kind):
        """A section that was stopped goes on; the first camera comes with the next offer."""
        if kind in self.branches:
            self.branches[kind][1].get_property("transceiver").set_property(
                "direction", DIRECTIONS["sendrecv"]
            )
        else:
            self.codecs[kind] = {"audio": "OPUS", "video": "VP8"}[kind]

    def stop(self, kind):
        """webrtcbin 1.22 cannot stop a transceiver for good: its section becomes inactive."""
        self.branches[kind][1].get_property("transceiver").set_property("direction", DIRECTIONS["inactive"])

    def close(self):
        self.moving = False
        self.pipeline.set_state(Gst.State.NULL)
        return True

    # -- descriptions

    def describe(self, kind):
        promise = Gst.Promise.new()
        self.web.emit(f"create-{kind}", None, promise)
        promise.wait()
        reply = promise.get_reply()
        description = reply.get_value(kind) if reply is not None else None
        if description is None:
            raise RuntimeError(f"webrtcbin made no {kind}: {reply.to_string() if reply else ''}")
        text = description.sdp.as_text()
        promise = Gst.Promise.new()
        self.web.emit("set-local-description", description, promise)
        promise.wait()
        self.check(promise)
        return text

    def describe_remote(self, kind, text):
        _, message = GstSdp.SDPMessage.new_from_text(text)
        types = {"offer": GstWebRTC.WebRTCSDPType.OFFER, "answer": GstWebRTC.WebRTCSDPType.ANSWER}
        description = GstWebRTC.WebRTCSessionDescription.new(types[kind], message)
        promise = Gst.Promise.new()
        self.web.emit("set-remote-description", description, promise)
        promise.wait()
        self.check(promise)

    def check(self, promise):
        reply = promise.get_reply()
        if reply is not None and reply.has_field("error"):
            raise RuntimeError(reply.get_value("error").message)

    # -- what is sent

    def send_all(self, offer=None):
        for kind, codec in self.codecs.items():
            if (
                codec
                and kind not in self.branches
                and kind != self.rejected
                and (offer is None or f"m={kind}" in offer)
            ):
                self.send(kind)

    def caps(self, kind):
        codec = self.codecs[kind]
        return (
            f"application/x-rtp,media={kind},encoding-name={codec},payload={self.payload_types[codec]},"
            f"clock-rate={CLOCK.get(codec, 90000)}"
        )

    def make_encoder(self, kind):
        codec, caps = self.codecs[kind], self.caps(kind)
        number = self.payload_types[codec]
        return Gst.parse_bin_from_description(
            f"queue max-size-buffers=3 ! {ENCODERS[codec]} pt={number} ! capsfilter caps={caps}", True
        )

    def send(self, kind):
        if kind == "audio":
            source = Gst.parse_bin_from_description(
                f"audiotestsrc is-live=true wave=sine freq={self.plan['hz']} volume=0.3 samplesperbuffer=960"
                f" ! capsfilter caps=audio/x-raw,rate={RATE},channels=1",
                True,
            )
        else:
            source = Gst.parse_bin_from_description(
                "appsrc name=camera is-live=true do-timestamp=true format=time max-buffers=2 leaky-type=downstream"
                f" caps=video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate={FPS}/1",
                True,
            )
            threading.Thread(target=self.show, args=[source.get_by_name("camera")], daemon=True).start()
        encoder = self.make_encoder(kind)
        self.pipeline.add(source)
        self.pipeline.add(encoder)
        source.link(encoder)
        # A section of this kind in which nothing was sent yet takes it; else there will be another one.
        name = "sink_%u"
        for transceiver in self.received:
            if transceiver.get_property("kind").value_nick == kind:
                name = f"sink_{transceiver.get_property('mlineindex')}"
        pad = self.web.request_pad_simple(name)
        encoder.get_static_pad("src").link(pad)
        encoder.sync_state_with_parent()
        source.sync_state_with_parent()
        self.branches[kind] = ([source, encoder], pad)
        self.prepare(pad.get_property("transceiver"), kind)

    def show(self, camera):
        """A card with a white square that moves along."""
        r, g, b = self.plan["rgb"]
        y = round(16 + 0.257 * r + 0.504 * g + 0.098 * b)
        u = round(128 - 0.148 * r - 0.291 * g + 0.439 * b)
        v = round(128 + 0.439 * r - 0.368 * g - 0.071 * b)
        chroma = bytes([u]) * (WIDTH * HEIGHT // 4) + bytes([v]) * (WIDTH * HEIGHT // 4)
        began, number = time.monotonic(), 0
        while self.moving:
            left = number * 8 % (WIDTH - 48)
            row = bytes([y]) * left + b"\xeb" * 48 + bytes([y]) * (WIDTH - 48 - left)
            luma = bytes([y]) * (WIDTH * 96) + row * 48 + bytes([y]) * (WIDTH * 96)
            camera.emit("push-buffer", Gst.Buffer.new_wrapped(luma + chroma))
            number += 1
            time.sleep(max(0.0, began + number / FPS - time.monotonic()))

    # -- what comes

    def on_message(self, bus, message):
        if message.type == Gst.MessageType.ERROR:
            error, debug = message.parse_error()
            if "SCTP association went into error state" not in debug:  # so it says that the peer has left
                say({"kind": "error", "why": f"{error.message}: {debug}"})
        return Gst.BusSyncReply.DROP

    def on_candidate(self, _, index, line):
        say({"kind": "candidate", "mid": str(index), "line": line})

    def on_transceiver(self, _, transceiver):
        self.received.append(transceiver)
        self.prepare(transceiver, transceiver.get_property("kind").value_nick)

    def prepare(self, transceiver, kind):
        """Lost pictures are asked for again (a=rtcp-fb nack, RTX): webrtcbin does so only when told.

        And without preferences it cannot offer later what it only received until then.
        """
        if kind == "video":
            transceiver.set_property("do-nack", True)
        if self.codecs.get(kind):
            transceiver.set_property("codec-preferences", Gst.Caps.from_string(self.caps(kind)))
        if kind == self.rejected:
            transceiver.set_property("direction", DIRECTIONS["inactive"])

    def on_pad(self, _, pad):
        if pad.get_property("direction") != Gst.PadDirection.SRC:
            return
        name = pad.get_current_caps().get_structure(0).get_value("encoding-name")
        if name == "RTX":  # shown as a stream of its own, when it comes before what it repeats
            decoder = Gst.ElementFactory.make("fakesink")
            self.pipeline.add(decoder)
            decoder.sync_state_with_parent()
            pad.link(decoder.get_static_pad("sink"))
            return
        if name in ("OPUS", "PCMU"):
            tail = f"audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate={EAR_RATE},channels=1"
        else:
            tail = "videoconvert ! video/x-raw,format=I420"
        decoder = Gst.parse_bin_from_description(
            f"{DECODERS[name]} ! {tail} ! appsink name=out emit-signals=true sync=false max-buffers=50 drop=true",
            True,
        )
        sense = Ear(self.plan["otherHz"]) if name in ("OPUS", "PCMU") else Eye(self.plan["otherRgb"])
        self.senses.append(sense)
        decoder.get_by_name("out").connect("new-sample", sense)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    # -- data

    def open(self):
        self.channel = self.web.emit("create-data-channel", "theirs", None)
        if self.channel is not None and str(self.channel.get_property("ready-state")) == "2":
            self.opened.set()
        self.channel.connect("on-open", lambda _: self.opened.set())
        self.channel.connect("on-message-string", lambda _, text: self.got({"text": text or ""}))
        self.channel.connect("on-message-data", lambda _, data: self.got({"bytes": list(content(data))}))

    def got(self, answer):
        self.last_answer = answer
        self.answered.set()

    def echo(self, channel):
        channel.connect("on-message-string", lambda _, text: channel.emit("send-string", text))
        channel.connect("on-message-data", lambda _, data: channel.emit("send-data", data))
        self.kept = channel


class Ear:
    """A second of a tone of one frequency (and no other: its share of the energy)."""

    def __init__(self, hz):
        self.w = 2 * math.pi * hz / EAR_RATE
        self.seconds, self.pictures = 0.0, 0

    def again(self):
        self.seconds = 0.0

    def __call__(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        samples = memoryview(buffer.extract_dup(0, buffer.get_size())).cast("h")
        re_ = im = energy = 0.0
        for i, x in enumerate(samples):
            re_ += x * math.cos(self.w * i)
            im += x * math.sin(self.w * i)
            energy += x * x
        if (
            energy > 1e6 * max(1, len(samples)) / 4
            and 2 * (re_ * re_ + im * im) / len(samples) / energy > 0.8
        ):
            self.seconds += len(samples) / EAR_RATE
        if self.seconds >= 1.0:
            self.seconds = 0.0
            say({"kind": "heard"})
        return Gst.FlowReturn.OK


class Eye:
    """A second of moving pictures of one colour; and how many were decoded."""

    def __init__(self, rgb):
        r, g, b = rgb
        self.u = round(128 - 0.148 * r - 0.291 * g + 0.439 * b)
        self.v = round(128 + 0.439 * r - 0.368 * g - 0.071 * b)
        self.last, self.moves, self.pictures = None, 0, 0

    def again(self):
        self.moves = 0

    def __call__(self, sink):
        sample = sink.emit("pull-sample")
        caps = sample.get_caps().get_structure(0)
        width, height = caps.get_value("width"), caps.get_value("height")
        buffer = sample.get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        row = data[width * (height // 2) : width * (height // 2) + width]
        chroma = (height - 20) // 2 * (width // 2) + width // 4
        u, v = data[width * height + chroma], data[width * height * 5 // 4 + chroma]
        last, self.last = self.last, row
        self.pictures += 1
        moved = (
            last is not None
            and len(last) == len(row)
            and any(abs(a - b) > 60 for a, b in zip(last, row, strict=True))
        )
        if moved and abs(u - self.u) <= 16 and abs(v - self.v) <= 16:
            self.moves += 1
        if self.moves >= FPS:
            self.moves = 0
            say({"kind": "seen"})
        return Gst.FlowReturn.OK


def types_of(text):
    """The payload types of the peer's offer, so that we send under them."""
    found = {}
    for number, name in re.findall(r"a=rtpmap:(\d+) ([A-Za-z0-9]+)/", text):
        found.setdefault(name.upper(), int(number))
    return found


def content(data):
    return b"" if data is None else data.get_data() or b""


def main():
    Gst.init(None)
    end = End()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            say({"id": command["id"], "result": getattr(end, command["do"])(*command["with"])})
        except Exception as error:
            say({"id": command["id"], "error": f"{type(error).__name__}: {error}"})
    end.close()


if __name__ == "__main__":
    main()
