// A foreign Jingle client: stanza.js as its authors made it, and XEP-0353, which it does not have, in a few lines.
// peer.js gives what is sent and heard.
"use strict";

const JMI = "urn:xmpp:jingle-message:0";
const KINDS = ["propose", "ringing", "proceed", "accept", "reject", "retract", "finish"];
let client, session;

async function logIn(thePlan, { jid, server, url, password }) {
  plan = thePlan;
  client = XMPP.createClient({
    jid,
    server,
    resource: jid.split("/")[1],
    transports: { websocket: url, bosh: false },
    credentials: { username: jid.split("@")[0], password },
    autoReconnect: false,
    useStreamManagement: false,
    jingle: { iceServers: [] },
  });
  client.stanzas.define(KINDS.map((kind) => ({
    element: kind,
    namespace: JMI,
    path: `message.${kind}`,
    fields: { id: XMPP.JXT.attribute("id") },
  })));
  client.on("message", (message) => KINDS.filter((kind) => message[kind]).forEach((kind) => heardOf(kind, message)));
  client.jingle.on("peerTrackAdded", (_, track) => (track.kind === "audio" ? listen(track) : look(track)));
  client.jingle.on("incoming", (incoming) => take(incoming).catch((error) => say({ kind: "failed", why: String(error) })));
  client.jingle.on("terminated", (_, reason) => say({ kind: "terminated", reason: reason && reason.condition }));
  client.on("stream:error", (error) => say({ kind: "failed", why: JSON.stringify(error) }));
  client.on("auth:failed", () => say({ kind: "failed", why: "not authorized" }));
  const own = new Promise((done) => client.on("presence", ({ from }) => from === client.jid && done()));
  const started = new Promise((done) => client.once("session:started", done));
  client.connect();
  await started;
  client.sendPresence();
  await own; // not online before one's own presence comes back
  return client.jid;
}

function tell(to, kind, id) {
  client.sendMessage({ to, type: "chat", [kind]: { id }, processingHints: { store: true } });
}

function heardOf(kind, { from, [kind]: { id } }) {
  const bare = from.split("/")[0];
  say({ kind: "jmi", what: kind });
  if (kind !== "propose" || bare === client.jid.split("/")[0]) return;
  tell(bare, "ringing", id);
  tell(bare, "proceed", id);
}

async function take(incoming) {
  session = incoming;
  for (const track of tracks()) await session.addTrack(track, new MediaStream([track]));
  preferOf(session.pc);
  await session.accept();
}

const tracks = () => (plan.codec ? [tone(plan.hz), card(plan.rgb)] : [tone(plan.hz)]);

function preferOf(connection) {
  pc = connection;
  prefer();
}

async function call(jid) {
  session = client.jingle.createMediaSession(jid);
  for (const track of tracks()) await session.addTrack(track, new MediaStream([track]));
  preferOf(session.pc);
  await session.start();
}

const hangUp = () => session.end("success");
const logOut = () => client.disconnect();
