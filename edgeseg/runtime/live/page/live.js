// Owns the way to the server, one WebSocket, and what a viewer may do. Changes nothing at the other end.

import { byId, say, setLink, view } from "./page.js";
import { hideAll, makeLegend, refresh, takePicture } from "./picture.js";
import { plots } from "./plots.js";
import { showState } from "./state.js";

const RETRY_MS = [500, 1000, 2000, 4000];

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket.binaryType = "arraybuffer";
  view.socket = socket;
  view.owed = 0;
  socket.onmessage = (event) => {
    if (typeof event.data === "string") return takeText(JSON.parse(event.data));
    view.turn = view.turn.then(() => takePicture(socket, event.data)).catch((error) => setLink(`bad picture: ${error}`, "is-lost"));
  };
  socket.onclose = (event) => {
    const wait = RETRY_MS[Math.min(view.tries++, RETRY_MS.length - 1)];
    setLink(event.code === 1006 && !view.classes.length ? "not reached, trying again" : "connection lost, trying again", "is-lost");
    setTimeout(connect, wait);
  };
}

function takeText(message) {
  if (message.type === "hello") takeHello(message);
  else if (message.type === "state") showState(message);
}

function takeHello(hello) {
  view.tries = 0;
  setLink("live", "is-live");
  byId("title").textContent = hello.title;
  document.title = `${hello.title} - edgeseg live view`;
  byId("reload").hidden = !hello.has_reload;
  if (JSON.stringify(view.classes) !== JSON.stringify(hello.classes)) {
    view.classes = hello.classes;
    view.hidden.clear();
    makeLegend();
  }
  if (view.source !== 0) say({ source: view.source });
}

// what a viewer may do

function settle() {
  if (view.isHeld || document.hidden) return;
  while (view.owed > 0) { view.owed -= 1; say({ shown: 1 }); }
}

byId("strength").addEventListener("input", refresh);
byId("show-all").addEventListener("click", () => hideAll(false));
byId("hide-all").addEventListener("click", () => hideAll(true));
byId("hold").addEventListener("click", (event) => {
  view.isHeld = !view.isHeld;
  event.currentTarget.setAttribute("aria-pressed", String(view.isHeld));
  settle();
});
byId("source").addEventListener("change", (event) => {
  view.source = Number(event.target.value);
  say({ source: view.source });
  refresh();
});
byId("reload").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("reload", { method: "POST", headers: { Authorization: `Bearer ${byId("token").value}` } })
    .then(async (response) => (response.ok ? "asked for" : (await response.text()).trim()), () => "the server was not reached");
  byId("reload-answer").textContent = answer;
});
document.addEventListener("visibilitychange", settle);
setInterval(() => { if (!document.hidden) Object.values(plots).forEach((plot) => plot.draw()); }, 250);
refresh();
connect();
