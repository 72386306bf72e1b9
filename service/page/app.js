/* The softphone's state: idle, connecting, live, ended. Joins the line (line.js), the API
 * (events.js) and what is written down (captions.js) to the page's controls.
 */

import { Captions, Timeline } from "./captions.js";
import { ApiError, followCall, isReady, listAgents } from "./events.js";
import { openLine } from "./line.js";

const KEY = "callbridge.key"; // in sessionStorage: gone with the tab
const LAST_EVENTS_MS = 5000; // how long the record may take to be complete after the line is closed
const LAST_SOUND_MS = 1000; // how long the line may stay open after the record is complete

const WORDS = {
  microphone_refused:
    "The microphone is blocked. Allow it for this site in the browser’s address bar, then call again.",
  microphone_missing: "No microphone was found. Connect one, then call again.",
  microphone_busy: "The microphone is in use by another program, or did not start.",
  microphone_lost: "The microphone went away. The agent hears silence until you call again.",
  insecure: "Browsers give the microphone to secure pages only: use https, or http://localhost.",
  sound: "The browser’s sound did not start.",
  no_agents: "There is no agent yet. Add a YAML file to the agents folder; it is found by itself.",
  key_needed: "This service asks for an API key.",
  key_wrong: "This API key is not accepted.",
  unreachable: "The service does not answer.",
  busy: "All lines are busy. Try again in a moment.",
  not_ready: "The service takes no calls at the moment.",
  refused: "The service refused the call.",
  lost: "The connection was lost.",
  fault: "The service had trouble with this call.",
};

const CALL_ENDED = "Call ended";
const OUTCOMES = {
  completed: CALL_ENDED,
  busy: "Busy",
  no_answer: "No answer",
  rejected: "Call rejected",
  canceled: "Call canceled",
  carrier_failed: "Connection lost",
  our_fault: "Call ended by a fault",
};

const $ = (id) => document.getElementById(id);
const ui = {
  agentField: $("agent-field"),
  agent: $("agent"),
  engine: $("engine"),
  keyForm: $("key-form"),
  key: $("key"),
  error: $("error"),
  call: $("call"),
  callLabel: $("call-label"),
  status: $("status"),
  timer: $("timer"),
  mute: $("mute"),
  quality: $("quality"),
  callId: $("call-id"),
  showKeypad: $("show-keypad"),
  keypad: [...document.querySelectorAll("#keypad button")],
};
const captions = new Captions($("turns"), $("no-turns"));
const timeline = new Timeline($("events"), $("no-events"));

let agents = [];
let line = null;
let current = new AbortController(); // aborts when a call's news is no longer news
let outcome = null; // how the call ended, once the record says so
let clock = null;

// The controls -----------------------------------------------------------------------------------

function setState(state, status) {
  document.body.dataset.state = state;
  const busy = state === "connecting" || state === "live";
  ui.status.textContent = status;
  ui.callLabel.textContent = busy ? "Hang up" : "Call";
  ui.call.disabled = !busy && !agents.length;
  ui.agent.disabled = busy || !agents.length;
  ui.mute.disabled = state !== "live";
  for (const button of ui.keypad) button.disabled = state !== "live";
}

function showError(code) {
  ui.error.textContent = code ? WORDS[code] : "";
  ui.error.dataset.code = code ?? "";
  ui.error.hidden = !code;
}

function showLevel(meter, rms) {
  const level = rms > 0 ? Math.max(0, Math.min(1, 1 + (20 * Math.log10(rms)) / 54)) : 0;
  meter.style.setProperty("--level", level.toFixed(3));
  meter.setAttribute("aria-valuenow", String(Math.round(level * 100)));
  return level;
}

function showSound({ played, queued, underruns, mic, speaker }) {
  showLevel($("mic"), mic);
  const level = showLevel($("speaker"), speaker);
  ui.call.style.setProperty("--level", level.toFixed(3));
  ui.quality.dataset.played = played;
  ui.quality.dataset.underruns = underruns;
  const gaps = underruns === 1 ? "1 gap" : `${underruns} gaps`;
  ui.quality.textContent = `${Math.round(queued / 8)} ms ahead · ${gaps}`;
}

function silence() {
  showSound({ played: ui.quality.dataset.played, queued: 0,
    underruns: Number(ui.quality.dataset.underruns), mic: 0, speaker: 0 });
  ui.quality.textContent = "";
}

function setMuted(muted) {
  line?.mute(muted);
  ui.mute.setAttribute("aria-pressed", String(muted));
  ui.mute.textContent = muted ? "Muted" : "Mute";
}

function startTimer() {
  const began = performance.now();
  const show = () => {
    const seconds = Math.floor((performance.now() - began) / 1000);
    ui.timer.textContent = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  show();
  clock = setInterval(show, 250);
}

// The agents and the key -------------------------------------------------------------------------

const savedKey = () => sessionStorage.getItem(KEY) ?? "";

async function loadAgents() {
  try {
    agents = await listAgents(savedKey());
    ui.keyForm.hidden = true;
    showError(agents.length ? null : "no_agents");
  } catch (error) {
    agents = [];
    const locked = error instanceof ApiError && [401, 403].includes(error.status);
    if (locked) askForKey();
    else showError("unreachable");
  }
  ui.agent.replaceChildren(...agents.map(({ name }) => new Option(name, name)));
  const wanted = new URLSearchParams(location.search).get("agent") ?? "default";
  if (agents.some(({ name }) => name === wanted)) ui.agent.value = wanted;
  ui.agentField.hidden = !agents.length;
  showEngine();
  setState("idle", agents.length ? "Ready when you are" : "Not ready");
}

function askForKey() {
  showError(savedKey() ? "key_wrong" : "key_needed");
  sessionStorage.removeItem(KEY);
  ui.keyForm.hidden = false;
  ui.key.value = "";
  ui.key.focus();
}

function showEngine() {
  const chosen = agents.find(({ name }) => name === ui.agent.value);
  ui.engine.textContent = chosen ? `Engine: ${chosen.engine}` : "";
}

// A call -----------------------------------------------------------------------------------------

async function call() {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  outcome = null;
  captions.reset();
  timeline.reset();
  showError(null);
  ui.callId.hidden = true;
  ui.timer.textContent = "0:00";
  setMuted(false);
  setState("connecting", "Asking for the microphone…");
  const tell = (event) => signal.aborted || told(event);
  try {
    line = await openLine({ agent: ui.agent.value, key: savedKey(), tell, signal });
    ui.status.textContent = "Connecting…";
  } catch (error) {
    if (signal.aborted) return; // hung up while the browser still asked for the microphone
    showError(error.code ?? "fault");
    setState("ended", "No call");
  }
}

function hangUp() {
  if (line) line.hangUp();
  else current.abort();
  ended();
}

function told(event) {
  switch (event.type) {
    case "call":
      return began(event.callId);
    case "text":
      return captions.say(event.who, event.turnId, event.text);
    case "status":
      return line && showSound(event);
    case "microphone_lost":
      return line && showError("microphone_lost");
    case "closed":
      return line && closed(event); // without a line it was us who closed it
  }
}

function began(callId) {
  setState("live", `On the line with ${ui.agent.value}`);
  startTimer();
  ui.callId.textContent = callId;
  ui.callId.hidden = false;
  followCall(callId, { key: savedKey(), signal: current.signal, take: recorded });
}

function recorded(event) {
  timeline.add(event);
  if (event.type === "turn.user") captions.record("caller", event.data);
  if (event.type === "turn.agent") captions.record("agent", event.data);
  if (event.type === "call.ended") recordedEnd(event.data);
}

function recordedEnd(end) {
  outcome = OUTCOMES[end.outcome] ?? CALL_ENDED;
  if (end.outcome === "our_fault") showError("fault");
  if (!line) {
    ui.status.textContent = outcome;
    return;
  }
  // The service is about to close the line, and its close code may say more.
  const { signal } = current;
  setTimeout(() => !signal.aborted && line && hangUp(), LAST_SOUND_MS);
}

async function closed({ code, opened }) {
  ended();
  if (!opened) showError(await whyRefused());
  else if (code === 1013) showError("busy");
  else if (code === 1008) showError("refused");
  else if (code === 1011) showError("fault");
  else if (code !== 1000 && code !== 1001) showError("lost");
}

/** A browser does not tell a page why its socket was refused, so ask the API. */
async function whyRefused() {
  try {
    await listAgents(savedKey());
    return (await isReady()) ? "busy" : "not_ready";
  } catch (error) {
    if (!(error instanceof ApiError)) return "unreachable";
    if (![401, 403].includes(error.status)) return "fault";
    ui.keyForm.hidden = false;
    return savedKey() ? "key_wrong" : "key_needed";
  }
}

function ended() {
  line = null;
  clearInterval(clock);
  silence();
  captions.finish();
  setMuted(false);
  setState("ended", outcome ?? CALL_ENDED);
  const done = current;
  setTimeout(() => done.abort(), LAST_EVENTS_MS);
}

function press(digit) {
  if (document.body.dataset.state !== "live") return;
  line.press(digit);
  const button = ui.keypad.find(({ dataset }) => dataset.digit === digit);
  button.classList.add("pressed");
  setTimeout(() => button.classList.remove("pressed"), 180);
}

// What the person does ---------------------------------------------------------------------------

ui.call.addEventListener("click", () => {
  const busy = ["connecting", "live"].includes(document.body.dataset.state);
  if (busy) hangUp();
  else call();
});
ui.agent.addEventListener("change", showEngine);
ui.mute.addEventListener("click", () => setMuted(ui.mute.getAttribute("aria-pressed") !== "true"));
ui.showKeypad.addEventListener("click", () => {
  const shown = ui.showKeypad.getAttribute("aria-expanded") !== "true";
  ui.showKeypad.setAttribute("aria-expanded", String(shown));
});
ui.keyForm.addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, ui.key.value.trim());
  loadAgents();
});
for (const button of ui.keypad) button.addEventListener("click", () => press(button.dataset.digit));
document.addEventListener("keydown", (event) => {
  const typing = event.target.matches("input, select, textarea");
  const plain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
  if (!typing && plain && /^[0-9*#]$/.test(event.key)) press(event.key);
});
window.addEventListener("pagehide", () => line && hangUp());

loadAgents();
