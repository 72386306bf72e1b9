/* The REST API as the page needs it: the agents, and a call's events as they come. EventSource
 * cannot send a key, so the event stream is fetched and read by hand (HTML, "Server-sent events").
 * This file promises not to touch the page.
 */

const RETRY_MS = 1000;
const MAX_RETRIES = 10;

/** The API answered with an error. */
export class ApiError extends Error {
  constructor(status) {
    super(`HTTP ${status}`);
    this.status = status;
  }
}

function request(path, { key, signal, headers = {} }) {
  const authorization = key ? { Authorization: `Bearer ${key}` } : {};
  return fetch(path, {
    headers: { ...headers, ...authorization },
    signal,
    cache: "no-store",
    credentials: "omit",
  });
}

/** The agents, as the API lists them. */
export async function listAgents(key) {
  const response = await request("/v1/agents", { key });
  if (!response.ok) throw new ApiError(response.status);
  return (await response.json()).agents;
}

/** Whether the service takes calls at all. */
export async function isReady() {
  const response = await request("/readyz", {});
  return response.ok;
}

/**
 * Calls `take(event)` for each event of a call until the call has ended or `signal` aborts. When
 * the stream breaks off it is taken up again where it stopped.
 */
export async function followCall(callId, { key, signal, take }) {
  const path = `/v1/calls/${encodeURIComponent(callId)}/events`;
  let lastId = null;
  for (let retries = 0; retries <= MAX_RETRIES && !signal.aborted; retries += 1) {
    try {
      for await (const event of streamEvents(path, { key, signal, lastId })) {
        lastId = event.id;
        retries = 0;
        take(event);
        if (event.type === "call.ended") return;
      }
    } catch (error) {
      const hopeless = error instanceof ApiError && error.status < 500 && error.status !== 404;
      if (signal.aborted || hopeless) return;
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function* streamEvents(path, { key, signal, lastId }) {
  const headers = { Accept: "text/event-stream", ...(lastId ? { "Last-Event-ID": lastId } : {}) };
  const response = await request(path, { key, signal, headers });
  if (!response.ok) throw new ApiError(response.status);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for await (const data of eventData(readLines(reader))) yield JSON.parse(data);
  } finally {
    await reader.cancel().catch(() => {});
  }
}

async function* readLines(reader) {
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    yield* lines;
  }
}

async function* eventData(lines) {
  let data = [];
  for await (const line of lines) {
    if (line === "") {
      if (data.length) yield data.join("\n");
      data = [];
    } else if (line.startsWith("data:")) {
      data.push(line.slice(5).replace(/^ /, ""));
    }
  }
}
