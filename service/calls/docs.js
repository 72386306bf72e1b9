// Shows /openapi.json and lets one try each operation. Everything is put in as text, never as HTML.

const find = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function resolve(api, schema) {
  return schema.$ref ? api.components.schemas[schema.$ref.split("/").pop()] : schema;
}

// A body to start from: what is required, each with a value of its kind.
function example(api, schema) {
  const whole = resolve(api, schema);
  const body = {};
  for (const name of whole.required ?? []) {
    const field = resolve(api, whole.properties[name]);
    body[name] = field.default ?? (field.pattern?.startsWith("^\\+") ? "+14155550100" : "");
  }
  return JSON.stringify(body, null, 2);
}

function input(label, hint) {
  const field = make("input", { type: "text" });
  const text = make("label", {}, label, " ", make("span", { class: "hint" }, hint ?? ""), field);
  return { field, text };
}

function operation(api, path, method, about) {
  const parameters = (about.parameters ?? []).map((parameter) => ({
    ...parameter,
    ...input(parameter.name, parameter.description ?? parameter.schema.description ?? `in ${parameter.in}`),
  }));
  const media = about.requestBody?.content["application/json"];
  const body = media ? make("textarea", { rows: 6, spellcheck: "false", "aria-label": "Body" }) : null;
  if (body) body.value = example(api, media.schema);
  const result = make("pre", { hidden: "", "aria-live": "polite" });
  const send = make("button", { type: "button" }, "Send");
  send.addEventListener("click", () => run(path, method, parameters, body, result));
  return make(
    "details", {},
    make("summary", {}, make("code", {}, `${method.toUpperCase()} ${path}`), ` ${about.summary}`),
    ...parameters.map((parameter) => parameter.text),
    ...(body ? [body] : []),
    send, result,
  );
}

async function run(path, method, parameters, body, result) {
  const headers = {};
  const query = new URLSearchParams();
  let target = path;
  for (const { name, in: where, field } of parameters) {
    const value = field.value.trim();
    if (where === "path") target = target.replace(`{${name}}`, encodeURIComponent(value));
    else if (value && where === "query") query.set(name, value);
    else if (value && where === "header") headers[name] = value;
  }
  if (find("key").value) headers.Authorization = `Bearer ${find("key").value}`;
  if (body) headers["Content-Type"] = "application/json";
  result.hidden = false;
  result.textContent = "…";
  try {
    const url = query.size ? `${target}?${query}` : target;
    const response = await fetch(url, { method: method.toUpperCase(), headers, body: body?.value });
    result.textContent = `${response.status} ${response.statusText}\n\n${pretty(await response.text())}`;
  } catch (error) {
    result.textContent = String(error);
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const api = await (await fetch("/openapi.json")).json();
find("summary").textContent = api.info.summary;
for (const [path, methods] of Object.entries(api.paths)) {
  for (const [method, about] of Object.entries(methods)) {
    find("operations").append(operation(api, path, method, about));
  }
}
