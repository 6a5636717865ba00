"use strict";
// What the pages of the examples share: finding elements, showing the connection's state, and asking the server.
const $ = (selector, root = document) => root.querySelector(selector);

function state(name, text) {
  $("#state").dataset.state = name;
  $("#state").textContent = text;
}

// ---- Requests. The page does not show what it sends: the stream brings it, here as everywhere.
async function ask(method, address, fields) {
  try {
    const response = await fetch(address, { method, body: fields && new URLSearchParams(fields) });
    const body = await response.json().catch(() => ({}));
    const problems = Array.isArray(body.detail) ? body.detail.map(sentence) : [body.detail ?? `The server answered ${response.status}.`];
    $("#error").textContent = response.ok ? "" : problems.join(" ");
    return response.ok && body;
  } catch {
    $("#error").textContent = "The server doesn't answer. Is it still running?";
    return false;
  }
}

function sentence({ loc, msg }) {  // "title: String should have at most 200 characters" → "The title should have …"
  return `${msg.replace(/^(String|Input)/, `The ${loc.at(-1)}`)}.`;
}
