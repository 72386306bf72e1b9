/* One call's line: microphone, audio thread and socket joined together (the socket's language is
 * documented in providers/browser/wire.py). It tells its owner what happens through `tell(event)`
 * and promises not to touch the page.
 *
 * Told: {type: "call", callId}  {type: "text", who, turnId, text}  {type: "clear"}
 *       {type: "status", played, queued, underruns, mic, speaker}  {type: "microphone_lost"}
 *       {type: "closed", code, opened}
 */

const MAX_UNSENT_BYTES = 16000; // two seconds: on a stuck network old speech is worth nothing

/** A failure with a code that the page has words for. */
export class LineError extends Error {
  constructor(code, cause) {
    super(code, { cause });
    this.code = code;
  }
}

/**
 * Asks for the microphone and opens the line to `agent`; a LineError says why it cannot. Once
 * `signal` has aborted it does not dial any more.
 */
export async function openLine({ agent, key, tell, signal }) {
  const microphone = await openMicrophone();
  const context = new AudioContext({ latencyHint: "interactive" });
  try {
    const sound = await openSound(context, microphone);
    signal.throwIfAborted();
    return new Line({ context, microphone, sound, socket: openSocket(key), agent, tell });
  } catch (error) {
    stopTracks(microphone);
    await context.close();
    throw error instanceof LineError ? error : new LineError("sound", error);
  }
}

async function openMicrophone() {
  if (!window.isSecureContext || !navigator.mediaDevices) throw new LineError("insecure");
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio: { ...audio, channelCount: 1 } });
  } catch (error) {
    const refused = ["NotAllowedError", "SecurityError"].includes(error.name);
    const missing = ["NotFoundError", "OverconstrainedError"].includes(error.name);
    const code = refused ? "microphone_refused" : missing ? "microphone_missing" : "microphone_busy";
    throw new LineError(code, error);
  }
}

async function openSound(context, microphone) {
  await context.audioWorklet.addModule("/page/worklet.js");
  const sound = new AudioWorkletNode(context, "callbridge-line", {
    numberOfInputs: 1,
    numberOfOutputs: 1,
    outputChannelCount: [1],
    channelCount: 1,
    channelCountMode: "explicit",
  });
  context.createMediaStreamSource(microphone).connect(sound).connect(context.destination);
  await context.resume();
  return sound;
}

function openSocket(key) {
  const url = new URL("/browser/stream", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  // A key in the URL would be logged on its way, and no header can be set here.
  const protocols = ["callbridge", ...(key ? [`callbridge.key.${base64url(key)}`] : [])];
  const socket = new WebSocket(url, protocols);
  socket.binaryType = "arraybuffer";
  return socket;
}

function base64url(text) {
  const bytes = String.fromCharCode(...new TextEncoder().encode(text));
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function stopTracks(microphone) {
  for (const track of microphone.getTracks()) track.stop();
}

class Line {
  constructor({ context, microphone, sound, socket, agent, tell }) {
    Object.assign(this, { context, microphone, sound, socket, tell });
    this.opened = false;
    sound.port.onmessage = ({ data }) => this.fromSound(data);
    socket.onopen = () => this.start(agent);
    socket.onmessage = ({ data }) => this.fromSocket(data);
    socket.onclose = ({ code }) => this.closed(code);
    const [track] = microphone.getAudioTracks();
    track.onended = () => tell({ type: "microphone_lost" });
  }

  /** Mutes or unmutes; a muted line carries silence. */
  mute(muted) {
    for (const track of this.microphone.getAudioTracks()) track.enabled = !muted;
  }

  /** Presses a key. */
  press(digit) {
    this.send({ event: "dtmf", digit });
  }

  /** Ends the call. `closed` follows, at the latest when the browser gives the socket up. */
  hangUp() {
    this.send({ event: "stop" });
    this.socket.close(1000);
    this.release();
  }

  start(agent) {
    this.opened = true;
    this.send({ event: "start", call: crypto.randomUUID(), ...(agent ? { agent } : {}) });
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  fromSound(message) {
    if (message.frame) this.sendFrame(message.frame);
    else if (message.marks) for (const name of message.marks) this.send({ event: "mark", name });
    else this.tell({ type: "status", ...message });
  }

  sendFrame(frame) {
    const { readyState, bufferedAmount } = this.socket;
    if (readyState === WebSocket.OPEN && bufferedAmount < MAX_UNSENT_BYTES) this.socket.send(frame);
  }

  fromSocket(data) {
    if (data instanceof ArrayBuffer) {
      this.sound.port.postMessage({ audio: data }, [data]);
      return;
    }
    const message = JSON.parse(data);
    if (message.event === "mark") {
      this.sound.port.postMessage({ mark: message.name });
    } else if (message.event === "clear") {
      this.sound.port.postMessage({ clear: true });
      this.tell({ type: "clear" });
    } else if (message.event === "call") {
      this.tell({ type: "call", callId: message.call_id });
    } else if (message.event === "text") {
      const { who, turn_id: turnId, text } = message;
      this.tell({ type: "text", who, turnId, text });
    }
  }

  closed(code) {
    this.release();
    this.tell({ type: "closed", code, opened: this.opened });
  }

  release() {
    if (this.context.state === "closed") return;
    stopTracks(this.microphone);
    this.sound.port.postMessage({ closed: true });
    this.context.close();
  }
}
