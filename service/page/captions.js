/* What the page writes down: the conversation, and the call's events. Text arrives twice: as it is
 * said, over the socket, and as it was heard, with the call's record, which has the last word.
 * Everything is set as text, so nothing that is said can become markup.
 */

function element(name, className, text) {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Appends to a scrolling list, and stays at its end unless the reader scrolled away. */
function keepingEnd(list, change) {
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 60;
  change();
  if (atEnd) list.scrollTop = list.scrollHeight;
}

/** The conversation, one paragraph per turn. */
export class Captions {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.reset();
  }

  reset() {
    this.turns = new Map();
    this.list.replaceChildren();
    this.empty.hidden = false;
  }

  /** Something is being said: an agent's turn grows piece by piece, a caller's is told anew. */
  say(who, turnId, text) {
    const turn = this.turn(who, turnId);
    if (turn.final) return;
    turn.text = who === "agent" ? turn.text + text : text;
    this.write(turn, [turn.text]);
  }

  /** What the record says of a turn: its text, and of an agent's how much was heard. */
  record(who, { turn_id: turnId, text, heard_text: heard, interrupted, latency }) {
    if (who === "agent" && !text) return; // sound without words, as of an echo
    const turn = this.turn(who, turnId);
    turn.final = true;
    turn.item.classList.remove("speaking");
    if (who === "caller" && !text) {
      this.write(turn, [element("em", "", "Not understood")]);
    } else if (interrupted && text.startsWith(heard ?? "")) {
      this.write(turn, cutOff(heard ?? "", text));
    } else {
      this.write(turn, [text]);
    }
    if (latency?.response_ms > 0) turn.note.textContent = `after ${seconds(latency.response_ms)}`;
  }

  /** The call is over: nobody speaks any more. */
  finish() {
    for (const { item } of this.turns.values()) item.classList.remove("speaking");
  }

  turn(who, turnId) {
    const known = this.turns.get(turnId);
    if (known) return known;
    const item = element("li", `turn ${who} speaking`);
    const head = element("p", "who", who === "agent" ? "Agent" : "You");
    const note = head.appendChild(element("span", "note"));
    const words = element("p", "words");
    item.append(head, words);
    const turn = { item, words, note, text: "", final: false };
    this.turns.set(turnId, turn);
    this.empty.hidden = true;
    keepingEnd(this.list, () => this.list.append(item));
    return turn;
  }

  write(turn, content) {
    keepingEnd(this.list, () => turn.words.replaceChildren(...content));
  }
}

function cutOff(heard, text) {
  const unheard = element("s", "", text.slice(heard.length));
  return [heard, element("span", "unseen", " (interrupted; not heard: "), unheard,
    element("span", "unseen", ")")];
}

function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** The call's events, oldest first, each with its time since the first. */
export class Timeline {
  constructor(list, empty) {
    this.list = list;
    this.empty = empty;
    this.reset();
  }

  reset() {
    this.beganAt = null;
    this.list.replaceChildren();
    this.empty.hidden = false;
  }

  add({ type, at, data }) {
    const time = Date.parse(at);
    this.beganAt ??= time;
    const item = element("li", type === "fault" ? "fault" : "");
    const stamp = element("time", "", `+${((time - this.beganAt) / 1000).toFixed(2)}`);
    stamp.dateTime = at;
    item.append(stamp, element("code", "", type), element("span", "detail", detail(type, data)));
    this.empty.hidden = true;
    keepingEnd(this.list, () => this.list.append(item));
  }
}

/** The one thing about an event that is worth a glance; the conversation itself stands beside it. */
function detail(type, data = {}) {
  if (type === "dtmf.received") return data.digit;
  if (type === "call.ended") return [data.outcome, data.cause].filter(Boolean).join(" · ");
  if (type === "fault") return data.code ?? "";
  if (type === "agent.interrupted") return `after ${seconds(data.heard_ms ?? 0)}`;
  if (type === "turn.agent" && data.latency?.response_ms) return seconds(data.latency.response_ms);
  return "";
}
