// Owns what the parts of the page share: its elements, what this viewer has chosen, a word to the server. Shows nothing.

export const byId = (id) => document.getElementById(id);
export const view = {
  socket: null, tries: 0, classes: [], hidden: new Set(), source: 0, isHeld: false, owed: 0, last: null,
  turn: Promise.resolve(), shownAt: [],
};

export function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

export function say(word) {
  if (view.socket.readyState === WebSocket.OPEN) view.socket.send(JSON.stringify(word));
}

export function setLink(text, className) {
  const link = byId("link");
  if (link.textContent !== text) link.textContent = text;
  link.className = `pill ${className}`;
}
