// One end of a call in a page: sends a tone, a coloured card with a moving square, and messages; knows the other's again.
"use strict";

const say = (event) => sayText(JSON.stringify(event));
const FPS = 20;
let pc, plan, channel;
let hits = 0, pictures = 0; // twentieths of a second of the other's tone, its pictures; see again()
const askers = [];

async function begin(thePlan) {
  plan = thePlan;
  pc = new RTCPeerConnection({ iceServers: [], bundlePolicy: "max-bundle" });
  pc.onicecandidate = ({ candidate }) => {
    if (candidate && candidate.candidate) say({ kind: "candidate", mid: candidate.sdpMid, line: candidate.candidate });
  };
  pc.ontrack = ({ track }) => (track.kind === "audio" ? listen(track) : look(track));
  pc.ondatachannel = ({ channel }) => {
    channel.binaryType = "arraybuffer";
    channel.onmessage = ({ data }) => channel.send(data);
  };
  if (plan.devices) {
    const stream = await navigator.mediaDevices.getUserMedia({ audio: true, video: true });
    stream.getTracks().forEach((track) => pc.addTrack(track, stream));
    return;
  }
  pc.addTrack(tone(plan.hz));
  if (plan.codec) pc.addTrack(card(plan.rgb));
}

function context() {
  const found = new AudioContext({ sampleRate: 48000 });
  found.resume();
  return found;
}

function tone(hz) {
  const audio = context();
  const oscillator = new OscillatorNode(audio, { frequency: hz });
  const gain = new GainNode(audio, { gain: 0.3 });
  const out = audio.createMediaStreamDestination();
  oscillator.connect(gain).connect(out);
  oscillator.start();
  return out.stream.getAudioTracks()[0];
}

function card([r, g, b]) {
  const canvas = Object.assign(document.createElement("canvas"), { width: 320, height: 240 });
  const paint = canvas.getContext("2d");
  let number = 0;
  setInterval(() => {
    paint.fillStyle = `rgb(${r}, ${g}, ${b})`;
    paint.fillRect(0, 0, 320, 240);
    paint.fillStyle = "white";
    paint.fillRect((number++ * 8) % 272, 96, 48, 48);
  }, 1000 / FPS);
  return canvas.captureStream().getVideoTracks()[0];
}

function listen(track) {
  const stream = new MediaStream([track]);
  const element = new Audio(); // Web Audio hears nothing of a remote track that no element plays
  element.srcObject = stream;
  element.muted = true;
  element.play().catch(() => {});
  const audio = context();
  const analyser = new AnalyserNode(audio, { fftSize: 2048 });
  audio.createMediaStreamSource(stream).connect(analyser);
  const samples = new Float32Array(2048);
  const w = (2 * Math.PI * plan.otherHz) / 48000;
  setInterval(() => {
    analyser.getFloatTimeDomainData(samples);
    let re = 0, im = 0, energy = 0;
    samples.forEach((x, i) => {
      re += x * Math.cos(w * i);
      im += x * Math.sin(w * i);
      energy += x * x;
    });
    const share = (2 * (re * re + im * im)) / samples.length / energy;
    if (energy / samples.length > 0.0005 && share > 0.8) hits++;
    if (hits === 20) {
      hits = 0;
      say({ kind: "heard" });
    }
  }, 50);
}

function look(track) {
  const video = document.createElement("video");
  video.srcObject = new MediaStream([track]);
  video.muted = true;
  video.play().catch(() => {}); // a track that is stopped at once aborts it
  const canvas = document.createElement("canvas");
  const paint = canvas.getContext("2d", { willReadFrequently: true });
  let last = null;
  const one = () => {
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    paint.drawImage(video, 0, 0);
    const row = paint.getImageData(0, canvas.height / 2, canvas.width, 1).data;
    const ground = paint.getImageData(canvas.width / 2, canvas.height - 20, 1, 1).data;
    const right = plan.otherRgb.every((value, i) => Math.abs(value - ground[i]) < 40);
    const moved = last && last.length === row.length && row.some((value, i) => Math.abs(value - last[i]) > 60);
    if (right && moved) pictures++;
    last = row;
    if (pictures === FPS) {
      pictures = 0;
      say({ kind: "seen" });
    }
    video.requestVideoFrameCallback(one);
  };
  video.requestVideoFrameCallback(one);
}

function prefer() {
  if (!plan.codec || pc.currentLocalDescription) return;
  const wanted = RTCRtpReceiver.getCapabilities("video").codecs.filter(({ mimeType }) =>
    [`video/${plan.codec}`, "video/rtx"].includes(mimeType));
  pc.getTransceivers().filter(({ receiver }) => receiver.track.kind === "video")
    .forEach((transceiver) => transceiver.setCodecPreferences(wanted));
}

// In the middle of a call.
const again = () => void (hits = pictures = 0);
const restartIce = () => pc.restartIce();
const transceiverOf = (kind) => pc.getTransceivers().find(({ receiver, direction }) =>
  receiver.track.kind === kind && direction !== "stopped");
const start = (kind) => void pc.addTrack(kind === "audio" ? tone(plan.hz) : card(plan.rgb));
const stop = (kind) => transceiverOf(kind)?.stop();
const changeCodec = (kind, name) => transceiverOf(kind).setCodecPreferences(
  RTCRtpReceiver.getCapabilities(kind).codecs.filter(({ mimeType }) =>
    [`${kind}/${name}`, `${kind}/rtx`].includes(mimeType)));
const decoded = async () => [...(await pc.getStats()).values()]
  .reduce((sum, { type, kind, framesDecoded }) => sum + (type === "inbound-rtp" && kind === "video" ? framesDecoded : 0), 0);

function rejectOnce() {
  if (plan.rejects) stop(plan.rejects);
  plan.rejects = "";
}

async function offer() {
  rejectOnce();
  prefer();
  if (plan.data) open();
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
}

async function answer(sdp) {
  await pc.setRemoteDescription({ type: "offer", sdp });
  rejectOnce();
  prefer();
  await pc.setLocalDescription();
  return pc.localDescription.sdp;
}

const accept = (sdp) => pc.setRemoteDescription({ type: "answer", sdp });
const candidate = (sdpMid, line) => pc.addIceCandidate({ candidate: line, sdpMid });

function open() {
  channel = pc.createDataChannel("theirs");
  channel.binaryType = "arraybuffer";
  channel.onmessage = ({ data }) => askers.shift()(data);
}

async function ask(message) {
  if (!channel) open();
  if (channel.readyState === "connecting") await new Promise((done) => (channel.onopen = done));
  const answered = new Promise((done) => askers.push(done));
  channel.send(typeof message === "string" ? message : new Uint8Array(message));
  const data = await answered;
  return typeof data === "string" ? data : Array.from(new Uint8Array(data));
}
